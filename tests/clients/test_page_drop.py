"""The page in a browser, with a microphone, before a real daemon whose connections break."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from daemons import RATE_HZ, Daemon, as_samples, assert_same_log, converse, cut, silence, speech
from fakes.chromium import Page, Socket, chromium
from fakes.proxy import Fate, proxied
from needs import needs

pytestmark = pytest.mark.browser

END = {"type": "end"}
LOG = '[...document.querySelectorAll("#log code")].map((row) => JSON.parse(row.textContent))'
OPEN = f'{LOG}.filter((e) => e.type.startsWith("speech_")).at(-1)?.type === "speech_start"'
Event = dict[str, Any]


async def shown(page: Page) -> list[Event]:
    """Return the events that the page lists; interims are hidden at first."""
    events: list[Event] = json.loads(await page.evaluate(f"JSON.stringify({LOG})"))
    return events


async def drop_in_mid_sentence(page: Page, reset: Any) -> None:
    """Break the page's connections while somebody speaks, and wait until the sentence is over.

    A busy machine may show the beginning of a sentence only after its end; then it is done again.
    """
    is_within = False
    while not is_within:
        await page.until(OPEN)
        before = len(page.sockets)
        reset()
        resumed = f"{LOG}.filter((e) => e.resumed).length >= {before}"
        await page.until(f"{resumed} && !({OPEN})")
        *_, ready = [e for e in await shown(page) if e.get("resumed")]
        dropped_ms = 1000 * ready["have_samples"] // ready["audio"]["rate"]
        ends = [e for e in await shown(page) if e["type"] == "speech_end"]
        is_within = any(e["t0"] < dropped_ms < e["t1"] for e in ends)


def taken(sockets: list[Socket]) -> bytes:
    """Return the audio that the server has taken, from what every connection sent of it."""
    audio = bytearray()
    for socket in sockets:
        ready = next((e for e in socket.events if e["type"] == "ready"), None)
        if ready is not None:
            del audio[2 * ready.get("have_samples", 0) :]
            audio += socket.audio
    return bytes(audio)


def as_sent(heard: np.ndarray) -> bytes:
    """Return samples of the microphone as s16le, rounded as in the page."""
    return np.floor(np.clip(heard.astype(np.float64), -1, 1) * 32767 + 0.5).astype("<i2").tobytes()


async def test_a_drop_in_mid_sentence_ends_in_a_browser_with_the_log_of_an_unbroken_run(
    daemon: Daemon, tmp_path: Path
):
    needs("chromium")
    spoken = tmp_path / "spoken.wav"
    soundfile.write(spoken, as_samples(speech("slt", 6.0) + silence(1.5)), RATE_HZ)
    async with (
        proxied(daemon.url, lambda number: Fate()) as proxy,
        chromium(tmp_path, spoken) as page,
    ):
        await page.open(proxy.url.replace("ws", "http", 1).removesuffix("v1/stream"))
        await page.until('document.getElementById("state")?.textContent === "Ready"')
        await page.evaluate('document.getElementById("listen").click()')
        await drop_in_mid_sentence(page, proxy.reset)
        await drop_in_mid_sentence(page, proxy.reset)
        await page.evaluate('document.getElementById("listen").click()')
        await page.until('document.body.dataset.phase === "idle"')
        events, heard = await shown(page), as_sent(await page.heard())
    assert page.complaints == []
    assert events[-1]["type"] == "bye"
    hello = page.sockets[0].texts[0]
    audio = heard[: 2 * events[-1]["samples"]]
    assert taken(page.sockets) == audio
    unbroken = await converse(daemon.url, hello, cut(audio), END)
    assert unbroken.code == 1000
    assert_same_log(events, [e for e in unbroken.events if e.get("final", True)])
    assert {"speech_start", "speech_end", "speaker"} <= {e["type"] for e in events}
    assert "gap" not in [e["type"] for e in events]
    numbers = [event["seq"] for event in events if "seq" in event]
    assert numbers == sorted(set(numbers))
