"""The wyoming-openwakeword server on its own core, and live clients of it here.

Clients send 1024 samples at a time, as a Wyoming satellite does. Times of detections are of their
arrival, from the first sample on. CPU is the server's.

How far it is behind shows in what it answers to `describe` once a second, in sockets that it does
not read, and in the work that is left after the last chunk. It reads audio long before its models
run, and silently drops what it has no room for (6 to 10 s). A detection's own timestamp is of no
use: it is that of the newest chunk when the features were made, however old they are.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import drain
import job
import numpy as np
import pace
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe
from wyoming.wake import Detect, Detection

STEP = 1024
AFTER_S = 3
"""How long its work and late detections are waited for; so late is as late as it gets."""
ASK_EVERY_S = 1


class Connection:
    def __init__(self, words, port):
        self._words = words
        self._client = AsyncTcpClient("127.0.0.1", port)
        self._reader = None
        self.detections = job.Detections()
        self.pace = pace.Pace()

    async def play(self, samples, offset_s):
        """One live stream, which stays open until it is left."""
        await asyncio.sleep(offset_s)
        form = {"rate": job.RATE_HZ, "width": 2, "channels": 1}
        write = self._client.write_event
        await write(Detect(names=self._words).event())
        await write(AudioStart(**form).event())
        began = time.monotonic()
        self._reader = asyncio.create_task(self._read(began))
        for start in range(0, len(samples), STEP):
            chunk = samples[start : start + STEP]
            await self.pace.until(began + (start + len(chunk)) / job.RATE_HZ)
            sent_ms = start * 1000 // job.RATE_HZ
            event = AudioChunk(audio=chunk.tobytes(), timestamp=sent_ms, **form).event()
            await self.pace.write(write(event))

    async def __aenter__(self):
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *fault):
        if self._reader is not None:
            self._reader.cancel()
        await self._client.__aexit__(*fault)

    async def _read(self, began):
        # It says each step above the threshold: what comes within the refractory is a repeat.
        while (event := await self._client.read_event()) is not None:
            if Detection.is_type(event.type):
                at_ms = round((time.monotonic() - began) * 1000)
                word = Detection.from_event(event).name.removesuffix("_v0.1")
                self.detections.add(word, True, at_ms)
                self.detections.add(word, False, at_ms)


class Asker:
    """Asks what the server is, again and again, on a connection of its own, until cancelled."""

    def __init__(self, port):
        self._client = AsyncTcpClient("127.0.0.1", port)
        self.took_s = []
        """By answer; of the last, until it was no longer waited for."""

    async def ask(self):
        async with self._client:
            while True:
                asked_s = time.monotonic()
                try:
                    await self._client.write_event(Describe().event())
                    await self._client.read_event()
                finally:
                    self.took_s.append(time.monotonic() - asked_s)
                await asyncio.sleep(ASK_EVERY_S)


def run(audio, wanted):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "wyoming_openwakeword", "--uri", f"tcp://127.0.0.1:{port}"]
    for word in wanted["words"]:
        command += ["--preload-model", word]
    with tempfile.TemporaryFile("w+") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            return _run(audio, wanted, server, port, said)
        finally:
            server.kill()
            server.wait()


def _run(audio, wanted, server, port, said):
    os.sched_setaffinity(server.pid, wanted["server_cores"])
    os.sched_setaffinity(0, wanted["client_cores"])
    _await(server, port)
    connections = [Connection(wanted["words"], port) for _ in audio]
    before, core = _cpu_s(server.pid), job.Core(wanted["server_cores"])
    behind_ms = asyncio.run(_play(connections, audio, port, server.pid))
    spent_s = _cpu_s(server.pid) - before
    answer = {"cpu_s": spent_s, "others": core.others(spent_s)}
    said.seek(0)
    # If a thread of its own has ended, the server detects nothing and looks idle.
    if faults := [line for line in said if "Unexpected error" in line]:
        sys.exit(f"wyoming-openwakeword: {faults[0].strip()}")
    paces = [one.pace for one in connections]
    behind_ms["reading"] = pace.held_ms(paces)
    return answer | {
        "rss_bytes": job.rss_bytes(server.pid),
        "found": job.found(connections),
        "live": {"late_ms": pace.late_ms(paces), "behind_ms": behind_ms, "lost": ""},
    }


async def _play(connections, audio, port, pid):
    """All of it; gives how far the server was behind, by what shows it."""
    offsets = np.linspace(0, 1, len(connections), endpoint=False)
    asker = Asker(port)
    async with AsyncExitStack() as opened:
        for connection in connections:
            await opened.enter_async_context(connection)
        asking = asyncio.create_task(asker.ask())
        pairs = zip(connections, audio, offsets, strict=True)
        await asyncio.gather(*(c.play(samples, offset) for c, samples, offset in pairs))
        ended_s = time.monotonic()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        left_s = await drain.until_idle(pid, AFTER_S) - ended_s
    # Not the worst of a dozen: that is any hiccup of the machine.
    answers_ms = 1000 * float(np.percentile(asker.took_s, 90))
    return {"p90 of the answers": answers_ms, "the last of the audio": 1000 * max(left_s, 0.0)}


def _await(server, port):
    for _ in range(300):
        if server.poll() is not None:
            sys.exit(f"wyoming-openwakeword ended with status {server.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("wyoming-openwakeword does not listen after 30 s")


def _cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    job.answer(run)
