"""The documentation for language models: `llms.txt` (llmstxt.org) and the pages as Markdown."""

from __future__ import annotations

import posixpath
import re

from markup import SCHEME, relative
from pages import Page, Site

LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def short(site: Site) -> str:
    """Return the list of all pages, with a sentence on each."""
    home = site.by_path["README.md"]
    out = [f"# {home.title}", "", f"> {home.summary}", ""]
    for section in site.sections:
        out += [f"## {section.title}", ""]
        for path in section.paths:
            page = site.by_path[path]
            out.append(f"- [{page.title}]({page.markdown_url}): {_sentence(page.summary)}")
        out.append("")
    return "\n".join(out)


def full(site: Site) -> str:
    """Return all pages, one after the other."""
    return "\n\n".join(f"<!-- {page.path} -->\n\n{page.text.strip()}" for page in site.pages) + "\n"


def markdown(site: Site, page: Page) -> str:
    """Return the Markdown of a page, with links to the Markdown of the others."""

    def lead(match: re.Match[str]) -> str:
        target, mark, anchor = match[2].partition("#")
        if SCHEME.match(match[2]) or not target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), target))
        if path in site.by_path:
            url = site.by_path[path].markdown_url
        elif (site.root / path).suffix in (".svg", ".png"):
            url = site.picture_url(path)
        elif (site.root / path).is_dir():
            readme = site.by_path.get(posixpath.join(path, "README.md"))
            url = readme.markdown_url if readme else site.folder_url(path)
        else:
            url = site.file_url(path)
        return f"{match[1]}{relative(page.markdown_url, url)}{mark}{anchor}{match[3]}"

    return LINK.sub(lead, page.text)


def _sentence(summary: str) -> str:
    """The first sentence, also where a list or code was to follow."""
    first = re.split(r"(?<=\.)\s", summary, maxsplit=1)[0]
    return first[:-1] + "." if first.endswith(":") else first
