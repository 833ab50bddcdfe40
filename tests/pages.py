"""A page as its elements, for what needs no browser, and in a browser that watches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "img", "br", "input", "link"}


class Page(HTMLParser):
    """The elements of a page in order, each with attributes, text and the elements that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)
        assert not self._open, f"not closed: {[tag for tag, _ in self._open]}"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        text: list[str] = []
        self.elements.append((tag, dict(attrs), text, [name for name, _ in self._open]))
        if tag not in VOID:
            self._open.append((tag, text))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for _, text in self._open:
            text.append(data)

    def all(self, *tags: str) -> list[tuple[dict[str, str], str]]:
        return [(attrs, "".join(text).strip()) for tag, attrs, text, _ in self.elements if tag in tags]


@contextmanager
def watched(browser: Any, address: str) -> Iterator[Any]:
    """The page in the browser; nothing may be requested beside it, and nothing may be complained about."""
    shown = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    said: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda problem: said.append(str(problem)))
    shown.goto(address)
    yield shown
    assert {url.partition("#")[0] for url in asked if not url.startswith(("data:", "blob:"))} == {address}
    assert said == []
    shown.close()
