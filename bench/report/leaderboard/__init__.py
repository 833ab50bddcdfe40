"""The leaderboard of a results directory, and the submission of results from several machines.

`rows` reads records and groups them into tables, `user_scores` reads the scores of users, `ranks` ranks and tests
the rows. `entries` computes what a row shows, with `origin` and `curve`. `columns`, `forms` and `page` render the
tables, and `build` writes the files. `submit` checks and merges results directories.
"""
