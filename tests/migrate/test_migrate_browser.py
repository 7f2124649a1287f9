"""The test page of `docs/migrate.md`, served from an origin of its own, in Chromium."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from daemons import RATE_HZ, Daemon, as_samples, silence
from fakes.chromium import Page, chromium
from fakes.web import website
from migrate_examples import HTML, PAGE, at
from needs import needs
from uploading import SPEECH

pytestmark = pytest.mark.browser

CHOOSE = """
  const bytes = Uint8Array.from(atob("%s"), (char) => char.charCodeAt(0));
  const chosen = new DataTransfer();
  chosen.items.add(new File([bytes], "%s"));
  document.getElementById("audio").files = chosen.files;
"""
RESULT = 'document.getElementById("result").textContent'
INFO = 'document.getElementById("info").textContent'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A web server of another origin: its folder and its origin."""
    folder = tmp_path / "site"
    folder.mkdir()
    with website(folder) as origin:
        yield folder, origin


async def shown(page: Page, name: str, audio: bytes) -> str:
    """What the page shows of a file."""
    await page.evaluate(f'{RESULT} = ""')
    await page.evaluate("{" + CHOOSE % (base64.b64encode(audio).decode(), name) + "}")
    await page.evaluate('document.querySelector("button").click()')
    await page.until(f"{RESULT} !== ''")
    found: str = await page.evaluate(RESULT)
    return found


@pytest.mark.parametrize("is_listed", [True, False])
async def test_the_page_works_from_a_listed_origin_alone(
    tmp_path: Path, site: tuple[Path, str], is_listed: bool
) -> None:
    needs("chromium")
    folder, origin = site
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, as_samples(silence(1)), RATE_HZ)
    profile, home = tmp_path / "profile", tmp_path / "home"
    profile.mkdir()
    home.mkdir()
    allowed = [origin] if is_listed else ["http://127.0.0.1:1"]
    found = HTML.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    with Daemon(home, limits__max_lag_ms=0, server__origins=json.dumps(allowed)) as daemon:
        (folder / "test.html").write_text(at(daemon, found["code"]), encoding="utf-8")
        async with chromium(profile, quiet) as page:
            await page.open(f"{origin}/test.html")
            await page.until('document.getElementById("info")?.textContent')
            info = await page.evaluate(INFO)
            talk = await shown(page, "talk.flac", SPEECH)
            if is_listed:
                assert info.startswith("Words: alexa, ")
                assert talk.startswith("alexa (1.00), ")
                assert await shown(page, "quiet.wav", quiet.read_bytes()) == "No wake word"
                error = await shown(page, "notes.txt", b"These are notes. " * 9)
                assert error.startswith("Error: notes.txt: cannot be decoded as audio")
            else:
                assert info == talk == "Failed: Failed to fetch"
            assert page.complaints == []
