"""All formats, by name."""

from __future__ import annotations

from bench.data.formats import (
    ml100k,
    mmrec,
    normalised,
    pickled,
    ratings,
    recbole,
    surrogate,
    table,
    user_lists,
)
from bench.data.formats.place import Format, SourceFormat

# in the order of detection: a plain table comes last, since most others would pass for one
_FORMATS: tuple[Format, ...] = (normalised, pickled, user_lists, recbole, mmrec, table)
_SOURCES: tuple[SourceFormat, ...] = (normalised, pickled, mmrec, ratings, ml100k, surrogate)
FORMATS = {each.NAME: each for each in _FORMATS}
SOURCES = {each.NAME: each for each in _SOURCES}  # by the field `layout` of a source in a data card
