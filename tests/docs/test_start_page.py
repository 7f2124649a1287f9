"""`docs/start/listen.html`: a page of one's own, from an origin of its own, in Chromium."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import RATE_HZ, Daemon, silence, speech
from fakes.chromium import chromium
from needs import needs
from quickstarts import ROOT, here

pytestmark = pytest.mark.docs
LOG = 'document.getElementById("log").textContent'


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A web server of another origin: its folder and its origin."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_the_page_shows_the_wake_word_of_its_microphone(
    tmp_path: Path, site: tuple[Path, str]
) -> None:
    needs("chromium")
    folder, origin = site
    microphone = tmp_path / "microphone.wav"
    pcm = silence(1) + speech(seconds=2.6) + silence(2)
    soundfile.write(microphone, np.frombuffer(pcm, np.int16), RATE_HZ)
    profile, home = tmp_path / "profile", tmp_path / "home"
    profile.mkdir()
    home.mkdir()
    text = (ROOT / "docs" / "start" / "listen.html").read_text(encoding="utf-8")
    with Daemon(home, limits__max_lag_ms=0, server__origins=json.dumps([origin])) as daemon:
        (folder / "listen.html").write_text(here(daemon, text), encoding="utf-8")
        async with chromium(profile, microphone) as page:
            await page.open(f"{origin}/listen.html")
            await page.until('document.getElementById("log") !== null')
            await page.evaluate('document.getElementById("start").click()')
            await page.until(f"/ms: alexa/.test({LOG}) && /ms: (S1|unknown)/.test({LOG})")
            assert page.complaints == []
