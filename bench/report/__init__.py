"""Tables, figures, reports and the leaderboard. Reads run records; writes only to the directories it is given.

`scores` looks up means over the records. `tables` builds each table or figure from them as a value.
`render` and `figure` turn that value into files. Numbers keep full precision until they become text.
"""
