"""The page in a browser before a real daemon that asks for keys, and under names of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import soundfile
from daemons import RATE_HZ, Daemon, as_samples, keys, speech
from fakes import chromium as browser
from fakes.chromium import Page, chromium
from needs import needs

pytestmark = pytest.mark.browser

STATE = 'document.getElementById("state")?.textContent'
NOTICE = 'document.getElementById("notice").textContent'
READY = (
    '[...document.querySelectorAll("#log code")]'
    '.filter((row) => JSON.parse(row.textContent).type === "ready").length'
)
UNKNOWN = "sk_0123456789ab_" + "x" * 43


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locked")


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    return keys(home, "create", "page")


@pytest.fixture(scope="module")
def locked(home: Path, key: str) -> Iterator[Daemon]:
    """A daemon that lets nobody in without a key."""
    with Daemon(home, access__keys="always", limits__max_lag_ms=0) as running:
        yield running


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """What the microphone hears."""
    file = tmp_path / "spoken.wav"
    soundfile.write(file, as_samples(speech("slt", 3.0)), RATE_HZ)
    return file


@asynccontextmanager
async def opened(home: Path, spoken: Path, url: str) -> AsyncIterator[Page]:
    needs("chromium")
    profile = home / "profile"
    profile.mkdir()
    async with chromium(profile, spoken) as page:
        await page.open(url)
        yield page
        assert page.complaints == []


async def type_key(page: Page, key: str, *, keep: bool = False) -> None:
    """Type a key as a person does: the field changes, and loses the focus."""
    await page.evaluate(f"""(() => {{
      const box = document.getElementById("keep-key");
      if (box.checked !== {str(keep).lower()}) box.click();
      const field = document.getElementById("key");
      field.value = "{key}";
      field.dispatchEvent(new Event("change"));
    }})()""")


async def click(page: Page, name: str) -> None:
    await page.evaluate(f'document.getElementById("{name}").click()')


async def test_a_key_typed_once_opens_streams_until_it_is_revoked(
    locked: Daemon, key: str, home: Path, tmp_path: Path, spoken: Path
):
    url = f"{locked.http_url}/"
    async with opened(tmp_path, spoken, url) as page:
        await page.until(f'{STATE} === "Needs a key"')
        assert "asks for an API key" in await page.evaluate(NOTICE)
        assert await page.evaluate('document.activeElement.id === "key"')
        await click(page, "listen")  # asks for the key again, and not for the microphone
        assert await page.evaluate("document.body.dataset.phase") == "idle"

        await type_key(page, UNKNOWN)
        await page.until(f'{NOTICE}.includes("unknown, expired or revoked")')
        assert await page.evaluate(f"{STATE}") == "Needs a key"
        assert await page.evaluate("sessionStorage.length") == 0

        await type_key(page, key)
        await page.until(f'{STATE} === "Ready"')
        assert await page.evaluate(NOTICE) == ""
        assert await page.evaluate("sessionStorage.length + localStorage.length") == 0
        for number in (1, 2):  # the ticket of the first stream is used up
            await click(page, "listen")
            await page.until(f"{READY} === {number}")
            await page.until('document.body.dataset.phase === "live"')
            await click(page, "listen")
            await page.until('document.body.dataset.phase === "idle"')

        await type_key(page, key, keep=True)
        await page.until("sessionStorage.length === 1")
        await page.open(url)
        await page.until(f'{STATE} === "Ready"')  # the tab kept the key
        assert await page.evaluate('document.getElementById("key").type') == "password"

        await click(page, "listen")
        await page.until('document.body.dataset.phase === "live"')
        keys(home, "revoke", "page")
        await page.until(f'{NOTICE}.includes("no longer valid")')
        assert await page.evaluate("document.body.dataset.phase") == "idle"


async def test_a_name_that_can_be_rebound_gets_the_page_and_nothing_else(
    daemon: Daemon, tmp_path: Path, spoken: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a foreign page sees that makes its own name resolve to this machine."""
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    monkeypatch.setattr(browser, "QUIET", (*browser.QUIET, rules))
    url = f"http://evil.example:{urlsplit(daemon.http_url).port}/"
    async with opened(tmp_path, spoken, url) as page:
        await page.until(f'{STATE} === "Needs a key"')
        assert "not reached by the name evil.example" in await page.evaluate(NOTICE)
        for path in ("/v1/info", "/metrics", "/info"):
            asked = f'globalThis.answer = undefined; fetch("{path}").then((r) => answer = r.status)'
            await page.evaluate(f"{asked}; undefined")
            await page.until("globalThis.answer !== undefined")
            assert await page.evaluate("answer") == 403, path
        socket = f'new WebSocket("{url.replace("http", "ws", 1)}v1/stream")'
        await page.evaluate(
            f"globalThis.end = undefined; (() => {{ const socket = {socket};"
            'socket.onopen = () => end = "open"; socket.onclose = () => end ??= "closed" })()'
        )
        await page.until("globalThis.end !== undefined")
        assert await page.evaluate("end") == "closed"


async def test_over_plain_http_the_page_says_why_it_has_no_microphone(
    locked: Daemon, home: Path, tmp_path: Path, spoken: Path, monkeypatch: pytest.MonkeyPatch
):
    rules = "--host-resolver-rules=MAP box.lan 127.0.0.1"
    monkeypatch.setattr(browser, "QUIET", (*browser.QUIET, rules))
    key = keys(home, "create", "another")
    url = f"http://box.lan:{urlsplit(locked.http_url).port}/"
    async with opened(tmp_path, spoken, url) as page:
        await page.until(f'{STATE} === "Needs a key"')
        note = 'document.getElementById("key-note").textContent'
        assert "others on the network can read the key" in await page.evaluate(note)
        await type_key(page, key)
        await page.until(f'{NOTICE}.includes("only over https or on localhost")')
        assert "ssh -L" in await page.evaluate(NOTICE)
        await click(page, "listen")
        await page.until(f'{STATE} === "Stopped"')
        assert "only over https or on localhost" in await page.evaluate(NOTICE)
