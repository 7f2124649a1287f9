"""The frame around each page: header, navigation, contents, and the way on."""

from __future__ import annotations

import posixpath
from html import escape
from pathlib import Path
from string import Template

import markup
from markup import relative
from pages import Page, Section, Site

TEMPLATE = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


def page(site: Site, page: Page, html: str) -> str:
    """Return a page with everything around it."""
    return _filled(
        page.url,
        title="streamd" if page.url == "index.html" else f"{page.title} · streamd",
        summary=page.summary,
        navigation=_navigation(site, page),
        content=html,
        contents=_contents(page),
        onward=_onward(site, page),
    )


def source(site: Site, path: str) -> str:
    """Return a page that shows a file of the repository."""
    text = (site.root / path).read_text(encoding="utf-8")
    return _filled(
        site.file_url(path),
        title=f"{path} · streamd",
        summary=f"The file {path}",
        navigation=_navigation(site, None, site.file_url(path)),
        content=f"<h1><code>{escape(path)}</code></h1>\n{markup.source(text, path)}",
        contents="",
        onward="",
    )


def folder(site: Site, path: str) -> str:
    """Return a page that lists the files below a folder of the repository."""
    url = site.folder_url(path)
    items = "\n".join(
        f'<li><a href="{relative(url, site.file_url(file))}"><code>'
        f"{escape(file.removeprefix(path + '/'))}</code></a></li>"
        for file in site.files_in(path)
    )
    return _filled(
        url,
        title=f"{path}/ · streamd",
        summary=f"The folder {path}",
        navigation=_navigation(site, None, url),
        content=f"<h1><code>{escape(path)}/</code></h1>\n<ul>\n{items}\n</ul>",
        contents="",
        onward="",
    )


def _filled(url: str, *, title: str, summary: str, **parts: str) -> str:
    base = relative(url, "index.html").removesuffix("index.html")
    return TEMPLATE.substitute(
        parts, title=escape(title), summary=escape(summary), base=base, body=_kind(url)
    )


def _kind(url: str) -> str:
    return "home" if url == "index.html" else "page"


def _navigation(site: Site, here: Page | None, url: str = "") -> str:
    origin = here.url if here else url
    out: list[str] = []
    for section in site.sections:
        out.append(f'<h2 title="{escape(section.about)}">{escape(section.title)}</h2>\n<ul>')
        for path in section.paths:
            page = site.by_path[path]
            if _is_folded(section, path, here):
                continue
            current = ' aria-current="page"' if page is here else ""
            name = site.name(page)
            out.append(
                f'<li><a href="{relative(origin, page.url)}"{current}>{escape(name)}</a></li>'
            )
        out.append("</ul>")
    return "\n".join(out)


def _is_folded(section: Section, path: str, here: Page | None) -> bool:
    """Whether a page is shown only beside those of its folder, whose README is in the section."""
    folder = posixpath.dirname(path)
    readme = posixpath.join(folder, "README.md")
    is_here = here is not None and posixpath.dirname(here.path) == folder
    return bool(folder) and path != readme and readme in section.paths and not is_here


def _contents(page: Page) -> str:
    shown = [heading for heading in page.headings if heading.level in (2, 3)]
    if len(shown) < 2:
        return ""
    items = "\n".join(
        f'<li class="level-{heading.level}"><a href="#{heading.anchor}">'
        f"{escape(heading.text)}</a></li>"
        for heading in shown
    )
    return (
        '<nav class="contents" aria-label="On this page"><h2>On this page</h2>\n'
        f"<ul>\n{items}\n</ul></nav>"
    )


def _onward(site: Site, page: Page) -> str:
    place = site.pages.index(page)
    out: list[str] = []
    for step, kind in ((-1, "previous"), (1, "next")):
        if 0 <= place + step < len(site.pages):
            other = site.pages[place + step]
            out.append(
                f'<a class="{kind}" rel="{"prev" if step < 0 else "next"}" '
                f'href="{relative(page.url, other.url)}"><span>{kind.title()}</span>'
                f"{escape(site.name(other))}</a>"
            )
    return "\n".join(out)
