"""The site of the documentation, opened from its files in Chromium: search, switch, copy."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import RATE_HZ
from fakes.chromium import chromium
from needs import needs
from test_docs_site import build

pytestmark = pytest.mark.docs
TYPE = """
  const box = document.querySelector(".search input");
  box.focus();
  box.value = "%s";
  box.dispatchEvent(new Event("input"));
"""
RESULTS = 'document.querySelector(".results")'
LOADED = """
  [...document.querySelectorAll("script, link, img")].map((one) => one.src ?? one.href)
"""


async def test_search_switch_and_copy_work_from_files(tmp_path: Path) -> None:
    needs("chromium")
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stderr
    silence, profile = tmp_path / "silence.wav", tmp_path / "profile"
    soundfile.write(silence, np.zeros(RATE_HZ, np.int16), RATE_HZ)
    profile.mkdir()
    async with chromium(profile, silence) as page:
        await page.open((tmp_path / "site" / "wire.html").as_uri())
        await page.until('document.querySelector(".theme:not([hidden])") !== null')

        await page.evaluate("{" + TYPE % "close codes" + "}")
        await page.until(f'{RESULTS}.querySelector("strong")?.textContent === "Close codes"')
        await page.evaluate("{" + TYPE % "qqqq" + "}")
        await page.until(f'{RESULTS}.textContent === "Nothing found."')

        dark = "getComputedStyle(document.body).colorScheme"
        before = await page.evaluate(dark)
        await page.evaluate('document.querySelector(".theme").click()')
        assert await page.evaluate("document.documentElement.dataset.theme") in ("light", "dark")
        assert await page.evaluate(dark) != before

        await page.evaluate('document.querySelector(".copy").click()')
        await page.until('document.querySelector(".copy").textContent === "Copied"')

        loaded = await page.evaluate(LOADED)
        assert loaded
        assert all(url.startswith("file:") for url in loaded)
        assert page.complaints == []
