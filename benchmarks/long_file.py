"""What a long file costs in memory: `python benchmarks/long_file.py [--hours 3]`.

Starts a server, posts one FLAC file of speech to `/v1/analyze` with every module, and prints how
much the memory of the server and its decoding processes rose meanwhile, and how fast it went.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np
import soundfile
from streams import CLIPS

from streamd.bench.speech import read_clips
from streamd.types import RATE_HZ

GOAL_MB = 300
LOOK_S = 0.2


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--path", default="/v1/analyze")
    parser.add_argument("--audio", type=Path, default=CLIPS, help="folder of 16 kHz FLAC files")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "long.flac"
        write(file, args)
        figures = asyncio.run(measure(file, home, args))
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def write(path, args):
    clips = read_clips(args.audio)
    rng = np.random.default_rng(1)
    left = round(args.hours * 3600 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, format="FLAC") as file:
        while left > 0:
            clip = clips[rng.integers(len(clips))][:left]
            file.write(clip)
            left -= len(clip)


async def measure(file, home, args):
    environ = os.environ | {
        "STREAMD_DATA": home,
        "STREAMD_LOG__LEVEL": "warning",
        "STREAMD_SERVER__PORT": "0",
    }
    command = [sys.executable, "-m", "streamd", "serve"]
    server = await asyncio.create_subprocess_exec(*command, env=environ, stdout=-1)
    line = (await server.stdout.readline()).decode()
    url = re.search(r"http://[\w.:]+", line)[0] + args.path
    before_mb = peak_mb = resident_mb(server.pid)
    is_over = False

    async def look():
        nonlocal peak_mb
        while not is_over:
            peak_mb = max(peak_mb, resident_mb(server.pid))
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look())
    began_s, received = time.monotonic(), 0
    try:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            headers = {"Content-Type": "audio/flac"}
            with file.open("rb") as body:
                async with client.post(url, data=body, headers=headers) as answer:
                    async for piece in answer.content.iter_any():
                        received += len(piece)
                    status = answer.status
    finally:
        is_over = True
        await looking
        server.terminate()
        await server.wait()
    took_s = time.monotonic() - began_s
    return {
        "hours": args.hours,
        "file_mb": round(file.stat().st_size / 1e6, 1),
        "status": status,
        "reply_mb": round(received / 1e6, 2),
        "times_real_time": round(args.hours * 3600 / took_s, 1),
        "memory_before_mb": round(before_mb),
        "rise_mb": round(peak_mb - before_mb),
        "goal_mb": GOAL_MB,
    }


def resident_mb(pid):
    """Return the memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total_kb = 0
    for each in (pid, *children):
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except OSError:  # it has just ended
            continue
        total_kb += int(re.search(r"VmRSS:\s+(\d+)", status)[1]) if "VmRSS" in status else 0
    return total_kb / 1024


if __name__ == "__main__":
    main()
