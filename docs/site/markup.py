"""Markdown to HTML: anchors, links between pages, tables that scroll, and highlighted code."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from html import escape

from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from pages import PARSER, Page, Site
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

FORMATTER = HtmlFormatter(nowrap=True)
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:")
BREAKS = re.compile(r"([_/.,=])(?=\w)")
ANCHOR = '<a class="anchor" href="#{0}" aria-label="Link to this section">#</a>'
COPY = '<button type="button" class="copy" hidden>Copy</button>'


class Renderer:
    """Renders pages, and notes what they need and what is wrong with their links.

    Attributes:
        files: paths of files of the repository that a page links to.
        folders: likewise, of folders without a README.
        pictures: paths of pictures that a page shows.
        broken: a line for each link that leads nowhere.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.pictures: set[str] = set()
        self.broken: list[str] = []

    def render(self, page: Page) -> str:
        """Return the HTML of a page's Markdown."""
        tokens = page.tokens
        headings = iter(page.headings)
        for token, inline in zip(tokens, [*tokens[1:], None], strict=True):
            if token.type == "heading_open" and inline is not None:
                heading = next(headings)
                token.attrSet("id", heading.anchor)
                if heading.level > 1:
                    _append(inline, ANCHOR.format(heading.anchor))
            for child in token.children or []:
                self._lead(page, child)
        return _rendered(tokens)

    def _lead(self, page: Page, token: Token) -> None:
        """Point a link or a picture to its place in the site."""
        if token.type == "link_open":
            token.attrSet("href", self._href(page, str(token.attrs["href"])))
        elif token.type == "image":
            path = self._path(page, str(token.attrs["src"]))
            token.attrSet("src", relative(page.url, self._site.picture_url(path)))
            token.attrSet("loading", "lazy")
            if (self._site.root / path).is_file():
                self.pictures.add(path)
            else:
                self.broken.append(f"{page.path}: {token.attrs['src']}")

    def _href(self, page: Page, href: str) -> str:
        if SCHEME.match(href):
            return href
        target, _, anchor = href.partition("#")
        path = self._path(page, target) if target else page.path
        there = self._site.by_path.get(path)
        if there is None and (self._site.root / path).is_dir():
            there = self._site.by_path.get(posixpath.join(path, "README.md"))
        if there is not None:
            if anchor and anchor not in {heading.anchor for heading in there.headings}:
                self.broken.append(f"{page.path}: {href}")
            url = relative(page.url, there.url) if there is not page else ""
            return f"{url}#{anchor}" if anchor else url or "#"
        if (self._site.root / path).is_dir():
            self.folders.add(path)
            self.files |= set(self._site.files_in(path))
            return relative(page.url, self._site.folder_url(path))
        if not (self._site.root / path).is_file():
            self.broken.append(f"{page.path}: {href}")
            return href
        self.files.add(path)
        return relative(page.url, self._site.file_url(path))

    @staticmethod
    def _path(page: Page, target: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(page.path), target))


def relative(origin: str, target: str) -> str:
    """The way from one page of the site to another."""
    return posixpath.relpath(target, posixpath.dirname(origin) or ".")


def code(text: str, language: str) -> str:
    """A block of code with a button that copies it."""
    try:
        lexer = get_lexer_by_name(language) if language else TextLexer()
    except ClassNotFound:
        lexer = TextLexer()
    return _block(highlight(text, lexer, FORMATTER), language)


def source(text: str, name: str) -> str:
    """A whole file as a block of code."""
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        lexer = TextLexer()
    return _block(highlight(text, lexer, FORMATTER), "")


def _block(inner: str, language: str) -> str:
    kind = f' data-language="{escape(language)}"' if language else ""
    return f'<div class="code"{kind}>{COPY}<pre tabindex="0"><code>{inner}</code></pre></div>\n'


def _code_inline(
    _renderer: RendererProtocol, tokens: Sequence[Token], place: int, *_: object
) -> str:
    """Inline code that may go on in the next line behind a sign, as in a narrow table."""
    text = BREAKS.sub(r"\1<wbr>", escape(tokens[place].content, quote=False))
    return f"<code>{text}</code>"


PARSER.add_render_rule("code_inline", _code_inline)


def _append(inline: Token, html: str) -> None:
    token = Token("html_inline", "", 0)
    token.content = html
    inline.children = [*(inline.children or []), token]


def _rendered(tokens: list[Token]) -> str:
    parts: list[str] = []
    kept: list[Token] = []

    def flush() -> None:
        parts.append(PARSER.renderer.render(kept, PARSER.options, {}))
        kept.clear()

    for token in tokens:
        if token.type == "fence":
            flush()
            parts.append(code(token.content, token.info.split(" ")[0]))
        elif token.type == "table_open":
            flush()
            parts.append('<div class="table" tabindex="0">')
            kept.append(token)
        elif token.type == "table_close":
            kept.append(token)
            flush()
            parts.append("</div>\n")
        else:
            kept.append(token)
    flush()
    return "".join(parts)
