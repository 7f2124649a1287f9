"""`/docs` in a browser: every call is there, and one is tried with a file and a key."""

import base64
import json
from pathlib import Path

import pytest
import soundfile
from daemons import RATE_HZ, Daemon, as_samples, keys, silence
from fakes.chromium import chromium
from needs import needs
from uploading import SPEECH

pytestmark = pytest.mark.browser

FORM = 'document.querySelector("#post_v1_detect form")'
ANSWER = 'document.querySelector("#post_v1_detect pre").textContent'
FILL = """
  const bytes = Uint8Array.from(atob("%s"), (char) => char.charCodeAt(0));
  const chosen = new DataTransfer();
  chosen.items.add(new File([bytes], "talk.flac"));
  %s.elements.audio_file.files = chosen.files;
  %s.elements.words.value = "alexa";
"""


async def test_a_call_is_tried_with_a_file_and_a_key(tmp_path: Path) -> None:
    needs("chromium")
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, as_samples(silence(1)), RATE_HZ)
    profile, home = tmp_path / "profile", tmp_path / "home"
    profile.mkdir()
    home.mkdir()
    key = keys(home, "create", "docs")
    with Daemon(home, access__keys="always", limits__max_lag_ms=0) as daemon:
        described = json.loads(daemon.get("/openapi.json")[2])["paths"]
        async with chromium(profile, quiet) as page:
            await page.open(f"{daemon.http_url}/docs")
            count = sum(map(len, described.values()))
            await page.until(f'document.querySelectorAll("details").length === {count}')
            await page.evaluate(FILL % (base64.b64encode(SPEECH).decode(), FORM, FORM))
            await page.evaluate(f"{FORM}.requestSubmit()")
            await page.until(f'{ANSWER}.startsWith("401")')
            await page.evaluate(f'document.getElementById("key").value = "{key}"')
            await page.evaluate(f"{FORM}.requestSubmit()")
            await page.until(f'{ANSWER}.startsWith("200")')
            found = json.loads((await page.evaluate(ANSWER)).partition("\n")[2])
            assert found["keyword"] == "alexa"
            assert page.complaints == []
