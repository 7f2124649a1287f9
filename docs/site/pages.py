"""The pages of the site: which there are, in which order, and what each is called."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDERS = ("docs", "systemd", "deploy", "clients", "training", "tests/vectors")
"""Where the repository keeps Markdown. Each file there must be a page."""
PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")


class SiteError(Exception):
    """The documentation is not in order; the message says where and why."""


@dataclass(frozen=True)
class Section:
    """A group of pages in the navigation."""

    title: str
    about: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """A heading, and what its text is without markup."""

    level: int
    text: str
    anchor: str


class Page:
    """One Markdown file.

    Attributes:
        path: relative to the repository, with slashes.
        text: the Markdown.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    @property
    def markdown_url(self) -> str:
        """Where the Markdown lies in the site; a folder's README is its `index.md`."""
        path = PurePosixPath(self.path.removeprefix("docs/"))
        return str(path.with_name("index.md") if path.name == "README.md" else path)

    @property
    def url(self) -> str:
        """Where the page lies in the site."""
        return str(PurePosixPath(self.markdown_url).with_suffix(".html"))

    @cached_property
    def tokens(self) -> list[Token]:
        """The parsed Markdown."""
        return PARSER.parse(self.text)

    @cached_property
    def headings(self) -> list[Heading]:
        """All headings in their order, with the anchors that GitHub gives them."""
        found: list[Heading] = []
        taken: dict[str, int] = {}
        for token, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if token.type == "heading_open":
                text = plain(inline)
                anchor = slug(text)
                times = taken.get(anchor, 0)
                taken[anchor] = times + 1
                level = int(token.tag[1])
                found.append(Heading(level, text, f"{anchor}-{times}" if times else anchor))
        return found

    @property
    def title(self) -> str:
        """The first heading."""
        if not self.headings or self.headings[0].level != 1:
            raise SiteError(f"{self.path}: the first heading is no title (`# …`)")
        return self.headings[0].text

    @cached_property
    def summary(self) -> str:
        """The first paragraph, as one line without markup."""
        for token, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if token.type == "paragraph_open" and token.level == 0:
                return plain(inline)
        return ""


@dataclass(frozen=True)
class Site:
    """All pages, and where each link leads."""

    root: Path
    names: Mapping[str, str]
    """What the navigation calls a page, by its path, where that is not its title."""
    sections: tuple[Section, ...]
    pages: tuple[Page, ...]

    @cached_property
    def by_path(self) -> dict[str, Page]:
        """The pages by their path in the repository."""
        return {page.path: page for page in self.pages}

    def name(self, page: Page) -> str:
        """What the navigation calls a page: its title up to a colon or a comma, or less."""
        return self.names.get(page.path) or re.split(r"[:,] ", page.title)[0]

    @staticmethod
    def file_url(path: str) -> str:
        """Where a file of the repository that is no page is shown."""
        return f"files/{path}.html"

    @staticmethod
    def folder_url(path: str) -> str:
        """Where a folder of the repository that has no README is listed."""
        return f"files/{path}/index.html"

    def files_in(self, path: str) -> list[str]:
        """The files of text below a folder, without hidden and built ones."""
        folder = self.root / path
        found = (file for file in folder.rglob("*") if file.is_file() and _is_text(file))
        return sorted(
            file.relative_to(self.root).as_posix()
            for file in found
            if not any(_is_left_out(part) for part in file.relative_to(folder).parts)
        )

    @staticmethod
    def picture_url(path: str) -> str:
        """Where a picture of the repository lies."""
        return path.removeprefix("docs/")


def read_site(root: Path, navigation: Path) -> Site:
    """Read every page.

    Raises:
        SiteError: the navigation names a file that is not there, or lacks one.
    """
    there = {*(str(p.name) for p in root.glob("*.md")), *_below(root)}
    sections: list[Section] = []
    named: set[str] = set()
    table = tomllib.loads(navigation.read_text(encoding="utf-8"))
    for section in table["section"]:
        paths: list[str] = []
        for pattern in section["pages"]:
            found = [pattern]
            if pattern.endswith("*"):
                found = sorted(p for p in there - named if p.startswith(pattern[:-1]))
            paths += found
            named |= set(found)
        sections.append(Section(section["title"], section["about"], tuple(paths)))
    named_only = set(table.get("names", {})) - there
    wrong = [f"{path}: there is no such file" for path in sorted((named - there) | named_only)]
    wrong += [f"{path}: in no section of {navigation.name}" for path in sorted(there - named)]
    if wrong:
        raise SiteError("\n".join(wrong))
    pages = tuple(
        Page(path, (root / path).read_text(encoding="utf-8")) for s in sections for path in s.paths
    )
    return Site(root, table.get("names", {}), tuple(sections), pages)


def _is_left_out(part: str) -> bool:
    return part.startswith(".") or part in ("build", "__pycache__")


def _is_text(file: Path) -> bool:
    return b"\0" not in file.read_bytes()[:4096]


def _below(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for folder in FOLDERS
        for path in (root / folder).rglob("*.md")
    }


def plain(inline: Token) -> str:
    """The text of an inline token without its markup."""
    parts = [
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in inline.children or []
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    ]
    return "".join(parts).strip()


def slug(text: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
