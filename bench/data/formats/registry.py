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
from bench.data.formats.place import Layout, SourceFormat


def _by_name(*modules: Layout) -> dict[str, Layout]:
    return {module.NAME: module for module in modules}


def _sources_by_name(*modules: SourceFormat) -> dict[str, SourceFormat]:
    return {module.NAME: module for module in modules}


# in the order of detection: a plain table comes last, since most others would pass for one
LAYOUTS = _by_name(normalised, pickled, user_lists, recbole, mmrec, table)
# by the field `layout` of a source in a data card
SOURCES = _sources_by_name(normalised, pickled, mmrec, ratings, ml100k, surrogate)
