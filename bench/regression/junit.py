"""Layer 7. The comparisons as JUnit XML, which every CI shows. Writes the one file that it is told to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from bench.errors import ResultsError
from bench.files import write_bytes
from bench.regression.compare import Row

SUITE = "ludp-bench"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, rows: Sequence[Row], seconds: float, properties: Mapping[str, str]) -> None:
    """One test case a comparison.

    Args:
        path: written whole or not at all.
        rows: the comparisons.
        seconds: the whole check took.
        properties: facts for the reader, such as versions.

    Raises:
        ResultsError: it cannot be written.
    """
    failed = sum(not row.holds for row in rows)
    counts = {"tests": str(len(rows)), "failures": str(failed), "errors": "0", "time": f"{seconds:.1f}"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, "skipped": "0", **counts})
    listed = ElementTree.SubElement(suite, "properties")
    for name, value in properties.items():
        ElementTree.SubElement(listed, "property", {"name": name, "value": _allowed(value)})
    for row in rows:
        names = {"classname": f"{SUITE}.{row.model or 'suite'}", "name": f"{row.number} ({row.against})"}
        case = ElementTree.SubElement(suite, "testcase", {**names, "time": "0"})
        if not row.holds:
            message = f"expected {row.expected}, got {row.got}{row.tolerance and f', tolerance {row.tolerance}'}"
            failure = ElementTree.SubElement(case, "failure", {"type": row.against, "message": _allowed(message)})
            failure.text = _allowed(f"{row.model} {row.number}: {message}".strip())
    ElementTree.indent(root)
    content = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    try:
        write_bytes(path, content + b"\n")
    except OSError as problem:
        raise ResultsError(
            f"The JUnit file {path} cannot be written ({problem.strerror or problem}). Make its folder writable, "
            f"or name another file."
        ) from problem


def _allowed(text: str) -> str:
    """Text without the characters that XML has no way to write, such as colours of a traceback."""
    return NOT_IN_XML.sub("�", text)
