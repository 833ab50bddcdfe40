"""The leaderboard: all result records of a directory, ranked; and how results of several machines join.

`found` reads, `rows` groups records to tables, `scores` compares users, `entries` says what is shown of a row,
`texts`, `tidy` and `page` are the forms, `build` writes them; `checks` and `merge` are `ludp-bench submit`.
"""
