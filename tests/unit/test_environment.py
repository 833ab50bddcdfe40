"""What a record says of the place where it was made."""

from __future__ import annotations

import pytest

from bench.runs.machine import homepage


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/someone/ludp-bench.git", "https://github.com/someone/ludp-bench"),
        ("https://name:secret@github.com/someone/ludp-bench", "https://github.com/someone/ludp-bench"),
        ("git@github.com:someone/ludp-bench.git", "https://github.com/someone/ludp-bench"),
        ("ssh://git@example.org:2222/group/sub/ludp-bench.git/", "https://example.org/group/sub/ludp-bench"),
        ("/home/someone/ludp-bench", None),
        ("file:///home/someone/ludp-bench", None),
        ("../ludp-bench", None),
        (None, None),
    ],
)
def test_the_page_of_a_repository_without_names_or_passwords(remote: str | None, expected: str | None) -> None:
    assert homepage(remote) == expected
