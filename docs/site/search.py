"""The index of the search box: the text of each section of each page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pages import Page, plain


def index(pages: Iterable[Page]) -> str:
    """Return a script, since a page of `file://` may fetch nothing else."""
    entries = [entry for page in pages for entry in _sections(page)]
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    return f"globalThis.searchIndex = {text};\n"


def _sections(page: Page) -> Iterator[list[str]]:
    """Yield URL, title of the page, heading and text of each section."""
    headings = iter(page.headings)
    url, heading, parts = page.url, "", list[str]()
    for before, token in zip([None, *page.tokens], page.tokens, strict=False):
        if token.type == "heading_open":
            if heading:
                yield [url, page.title, heading, " ".join(parts)]
            found = next(headings)
            heading, parts = found.text, []
            url = page.url if found.level == 1 else f"{page.url}#{found.anchor}"
        elif token.type == "inline" and (before is None or before.type != "heading_open"):
            parts.append(plain(token))
        elif token.type == "fence":
            parts.append(" ".join(token.content.split()))
    yield [url, page.title, heading, " ".join(parts)]
