"""The documentation as a site: whole, without other hosts, with links that lead somewhere."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from waiting import HANG_S

ROOT = Path(__file__).parents[2]
BUILD = (sys.executable, str(ROOT / "docs" / "site"))


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.title = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "title" and not self.title:
            self.title = data

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.found if "id" in attributes]

    def targets(self) -> list[str]:
        """Everything that the page links to or loads."""
        kinds = ("href", "src", "srcset", "data", "action", "poster")
        return [value for _, attrs in self.found for kind in kinds if (value := attrs.get(kind))]


def build(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*BUILD, str(out), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=HANG_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "docs"
    done = build(out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Elements]:
    return {path: Elements(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_link_leads_to_a_file_and_an_anchor_of_the_site(pages):
    dead = []
    for path, page in pages.items():
        for target in page.targets():
            parts = urlsplit(target)
            if parts.scheme:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_dead = not there.is_file()
            if parts.fragment and there in pages:
                is_dead |= unquote(parts.fragment) not in pages[there].ids()
            if is_dead:
                dead.append(f"{path.name}: {target}")
    assert dead == []


def test_nothing_is_loaded_from_another_host(site, pages):
    loaded = {"img", "script", "link", "iframe", "source", "video", "audio", "object", "form"}
    for page in pages.values():
        for tag, attrs in page.found:
            names = [attrs.get(name) for name in ("src", "href", "srcset", "action", "data")]
            assert not (tag in loaded and any(n and "//" in n for n in names)), (tag, attrs)
    for path in [*site.rglob("*.css"), *site.glob("assets/*.js")]:
        if path.name != "search-index.js":
            assert not re.search(r"@import|url\(|fetch\(|//[\w-]+\.\w", path.read_text()), path


def test_every_page_has_a_title_and_anchors_of_its_own(pages):
    titles = [page.title for page in pages.values()]
    assert "" not in titles
    assert len(set(titles)) == len(titles)
    for path, page in pages.items():
        assert len(set(page.ids())) == len(page.ids()), path


def test_the_search_index_names_sections_that_exist(site, pages):
    script = (site / "assets" / "search-index.js").read_text(encoding="utf-8")
    entries = json.loads(script.removeprefix("globalThis.searchIndex = ").rstrip(";\n"))
    assert len(entries) > 200
    for url, title, _heading, _text in entries:
        path, _, anchor = url.partition("#")
        assert title
        assert not anchor or anchor in pages[site / path].ids(), url


def test_llms_txt_lists_every_page_with_a_sentence(site):
    text = (site / "llms.txt").read_text(encoding="utf-8")
    assert re.match(r"# streamd\n\n> \S.*\n\n## ", text)
    listed = dict(re.findall(r"^- \[[^]]+\]\(([^)]+)\): (\S.*)$", text, re.MULTILINE))
    assert listed.keys() == {
        path.relative_to(site).as_posix()
        for path in site.rglob("*.md")
        if "files" not in path.parts
    }
    full = (site / "llms-full.txt").read_text(encoding="utf-8")
    for path in listed:
        title = (site / path).read_text(encoding="utf-8").split("\n", 1)[0]
        assert f"\n\n{title}\n" in full


def small(root: Path, text: str, pages: str = '"README.md"') -> tuple[str, ...]:
    """A repository of one page, and the options that build it."""
    icon = root / "clients" / "browser" / "icon.svg"
    icon.parent.mkdir(parents=True)
    icon.write_text("<svg/>")
    (root / "README.md").write_text(text)
    navigation = root / "navigation.toml"
    navigation.write_text(f'[[section]]\ntitle = "All"\nabout = "All"\npages = [{pages}]\n')
    return "--root", str(root), "--navigation", str(navigation)


@pytest.mark.parametrize(
    "link", ["docs/nowhere.md", "#nowhere", "README.md#nowhere", "docs/", "LICENSE"]
)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, link: str) -> None:
    options = small(tmp_path, f"# One\n\nSee [it]({link}).\n\n## Here\n")
    done = build(tmp_path / "out", *options)
    assert done.returncode == 1
    assert f"README.md: {link}" in done.stderr


def test_a_link_to_a_heading_that_comes_twice_has_a_number(tmp_path: Path) -> None:
    options = small(tmp_path, "# One\n\nSee [it](#here-1).\n\n## Here\n\n## Here\n")
    assert build(tmp_path / "out", *options).returncode == 0


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ('"README.md", "docs/gone.md"', "docs/gone.md: there is no such file"),
        ("", "README.md: in no section of navigation.toml"),
    ],
)
def test_the_navigation_names_every_page_that_there_is(
    tmp_path: Path, pages: str, message: str
) -> None:
    done = build(tmp_path / "out", *small(tmp_path, "# One\n", pages))
    assert done.returncode == 1
    assert message in done.stderr


def test_a_folder_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert build(tmp_path).returncode == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"
