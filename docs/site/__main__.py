"""Build the documentation as a static site: `python docs/site OUT`.

The pages are the Markdown files that `navigation.toml` names. The site works from `file://` and
offline, and asks no other host for anything. A link that leads nowhere fails the build.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import layout
import llms
import search
from markup import Renderer
from pages import Site, SiteError, read_site

HERE = Path(__file__).parent


def build(site: Site, out: Path) -> None:
    """Write the site into an empty folder.

    Raises:
        SiteError: a link leads nowhere; the message names all of them.
    """
    renderer = Renderer(site)
    rendered = [(page, renderer.render(page)) for page in site.pages]
    if renderer.broken:
        raise SiteError("\n".join(["links that lead nowhere:", *renderer.broken]))
    for page, html in rendered:
        _write(out / page.url, layout.page(site, page, html))
    for path in sorted(renderer.files):
        _write(out / site.file_url(path), layout.source(site, path))
    for path in sorted(renderer.folders):
        _write(out / site.folder_url(path), layout.folder(site, path))
    for path in sorted(renderer.pictures):
        target = out / site.picture_url(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site.root / path, target)
    shutil.copytree(HERE / "assets", out / "assets")
    shutil.copyfile(site.root / "clients" / "browser" / "icon.svg", out / "assets" / "icon.svg")
    _write(out / "assets" / "search-index.js", search.index(site.pages))
    for page in site.pages:
        _write(out / page.markdown_url, llms.markdown(site, page))
    _write(out / "llms.txt", llms.short(site))
    _write(out / "llms-full.txt", llms.full(site))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Build the site that the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the documentation as a static site.")
    parser.add_argument("out", type=Path, help="a folder; what is in it is replaced")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the repository")
    parser.add_argument("--navigation", type=Path, default=HERE / "navigation.toml")
    args = parser.parse_args()
    if args.out.exists() and not (args.out / "llms.txt").exists() and any(args.out.iterdir()):
        print(f"{args.out} is not empty and holds no such site: name another", file=sys.stderr)
        return 2
    shutil.rmtree(args.out, ignore_errors=True)
    try:
        site = read_site(args.root.resolve(), args.navigation)
        build(site, args.out)
    except SiteError as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"{len(site.pages)} pages: {(args.out / 'index.html').resolve().as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
