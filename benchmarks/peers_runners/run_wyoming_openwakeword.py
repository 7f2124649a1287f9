"""The wyoming-openwakeword server on its own core, and live clients of it here.

Clients send 1024 samples at a time, as a Wyoming satellite does. Times of detections are of their
arrival, from the first sample on. CPU is the server's.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import job
import numpy as np
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncTcpClient
from wyoming.wake import Detect, Detection

STEP = 1024
AFTER_S = 3
"""How long late detections are waited for."""


class Connection:
    def __init__(self, words, port):
        self._words = words
        self._client = AsyncTcpClient("127.0.0.1", port)
        self.detections = job.Detections()
        self.lag_s = 0.0

    async def play(self, samples, offset_s):
        """One live stream; `lag_s` is how late its last chunk could be sent."""
        await asyncio.sleep(offset_s)
        form = {"rate": job.RATE_HZ, "width": 2, "channels": 1}
        async with self._client as client:
            await client.write_event(Detect(names=self._words).event())
            await client.write_event(AudioStart(**form).event())
            began = time.monotonic()
            reader = asyncio.create_task(self._read(began))
            for start in range(0, len(samples), STEP):
                chunk = samples[start : start + STEP]
                due = began + (start + len(chunk)) / job.RATE_HZ
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                sent_ms = start * 1000 // job.RATE_HZ
                event = AudioChunk(audio=chunk.tobytes(), timestamp=sent_ms, **form).event()
                await client.write_event(event)
            self.lag_s = time.monotonic() - due
            await asyncio.sleep(AFTER_S)
            reader.cancel()

    async def _read(self, began):
        # It says each step above the threshold: what comes within the refractory is a repeat.
        while (event := await self._client.read_event()) is not None:
            if Detection.is_type(event.type):
                at_ms = round((time.monotonic() - began) * 1000)
                word = Detection.from_event(event).name.removesuffix("_v0.1")
                self.detections.add(word, True, at_ms)
                self.detections.add(word, False, at_ms)


def run(audio, wanted):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "wyoming_openwakeword", "--uri", f"tcp://127.0.0.1:{port}"]
    for word in wanted["words"]:
        command += ["--preload-model", word]
    server = subprocess.Popen(command, stdout=sys.stderr)
    os.sched_setaffinity(server.pid, wanted["server_cores"])
    os.sched_setaffinity(0, wanted["client_cores"])
    try:
        _await(server, port)
        connections = [Connection(wanted["words"], port) for _ in audio]
        before, core = _cpu_s(server.pid), job.Core(wanted["server_cores"])
        asyncio.run(_play(connections, audio))
        spent_s = _cpu_s(server.pid) - before
        return {
            "cpu_s": spent_s,
            "others": core.others(spent_s),
            "rss_bytes": job.rss_bytes(server.pid),
            "found": job.found(connections),
            "lag_s": max(c.lag_s for c in connections),
        }
    finally:
        server.kill()
        server.wait()


async def _play(connections, audio):
    offsets = np.linspace(0, 1, len(connections), endpoint=False)
    pairs = zip(connections, audio, offsets, strict=True)
    await asyncio.gather(*(c.play(samples, offset) for c, samples, offset in pairs))


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
