"""From records to tables: aggregate, compare with the paper, render. Writes only what it is told to.

`aggregate.tidy` makes one frame of all records, `tables` builds each table from it as a value, and `render`
and `latex` turn that value into text. Numbers keep full precision until they become text.
"""
