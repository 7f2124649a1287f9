"""`docs/start/listen.html`: a page of one's own, from an origin of its own, in Chromium."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import RATE_HZ, Daemon, silence, speech
from fakes.chromium import chromium
from fakes.web import website
from needs import needs
from quickstarts import ROOT, here

pytestmark = pytest.mark.docs
LOG = 'document.getElementById("log").textContent'


async def test_the_page_shows_the_wake_word_of_its_microphone(tmp_path: Path) -> None:
    needs("chromium")
    microphone = tmp_path / "microphone.wav"
    pcm = silence(1) + speech(seconds=2.6) + silence(2)
    soundfile.write(microphone, np.frombuffer(pcm, np.int16), RATE_HZ)
    folder, profile, home = (tmp_path / name for name in ("site", "profile", "home"))
    for one in (folder, profile, home):
        one.mkdir()
    text = (ROOT / "docs" / "start" / "listen.html").read_text(encoding="utf-8")
    with (
        website(folder) as origin,
        Daemon(home, limits__max_lag_ms=0, server__origins=json.dumps([origin])) as daemon,
    ):
        (folder / "listen.html").write_text(here(daemon, text), encoding="utf-8")
        async with chromium(profile, microphone) as page:
            await page.open(f"{origin}/listen.html")
            await page.until('document.getElementById("log") !== null')
            await page.evaluate('document.getElementById("start").click()')
            await page.until(f"/ms: alexa/.test({LOG}) && /ms: (S1|unknown)/.test({LOG})")
            assert page.complaints == []
