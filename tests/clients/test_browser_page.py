"""The page: whole, without foreign hosts or inline code, and alive in a real browser."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from needs import needs
from waiting import HANG_S

pytestmark = pytest.mark.browser

PAGE = Path(__file__).parents[2] / "clients" / "browser"
CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
INFO = {
    "version": "9.9",
    "modules": {"wake": {"words": ["alexa", "hey_jarvis"], "license": "L1"}, "emotion": {}},
}


class Elements(HTMLParser):
    """Collects every element with its attributes, and whatever stands inside script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.cdata_elem in ("script", "style"):
            self.inline.append(data)


@pytest.fixture
def index() -> Elements:
    return Elements((PAGE / "index.html").read_text())


@pytest.fixture
def docs() -> Elements:
    return Elements((PAGE / "docs.html").read_text())


GENERATED = {"openapi.json", "asyncapi.json", "./"}
"""What `docs.html` names that is no file of the page."""


def test_every_asset_is_there_and_every_file_is_used(index, docs):
    used = {"index.html", "docs.html"}
    for _, attributes in [*index.found, *docs.found]:
        used |= {name for key in ("src", "href") if (name := attributes.get(key))}
    used -= GENERATED
    for script in PAGE.glob("*.js"):
        used |= set(re.findall(r'(?:from|new URL\() ?"\./([^"]+)"', script.read_text()))
    assert used == {path.name for path in PAGE.iterdir()}


def test_nothing_is_inline(index, docs):
    assert index.inline == docs.inline == []
    for tag, attributes in [*index.found, *docs.found]:
        assert tag != "style"
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_no_other_host_is_named():
    for path in PAGE.iterdir():
        for url in re.findall(r"(?:https?:|wss?:)?//[\w.-]+\.[\w.]+[^\s\"']*", path.read_text()):
            assert url == "http://www.w3.org/2000/svg", f"{path.name} names {url}"


def test_every_element_that_a_script_asks_for_exists(index):
    ids = {attributes["id"] for _, attributes in index.found if "id" in attributes}
    for script in PAGE.glob("*.js"):
        for name in re.findall(r'(?:\$|put)\("([\w-]+)"', script.read_text()):
            assert name in ids, f"{script.name} asks for #{name}"


def test_the_logic_of_the_page():
    needs("node")
    script = Path(__file__).with_name("page_logic.test.mjs")
    run = ["node", "--test", script]
    done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr


class Server(SimpleHTTPRequestHandler):
    """The page as streamd serves it: with a strict policy and an info to read."""

    def do_GET(self) -> None:
        if self.path != "/v1/info":
            super().do_GET()
            return
        body = json.dumps(INFO).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CSP)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(PAGE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_browser_opens_the_page_under_a_strict_policy(url, tmp_path):
    needs("chromium")
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path}", "--enable-logging=stderr",
            "--virtual-time-budget=5000", "--dump-dom", url,
        ],
        check=False, capture_output=True, text=True, timeout=HANG_S,
    )  # fmt: skip
    dom = done.stdout
    assert '<span id="state">Ready</span>' in dom, done.stderr
    assert 'value="alexa"' in dom
    assert "<span>hey jarvis</span>" in dom
    assert "Models: wake L1" in dom
    assert "streamd 9.9" in dom
    assert 'data-says="surprised"' in dom
    assert "CONSOLE" not in done.stderr, done.stderr
