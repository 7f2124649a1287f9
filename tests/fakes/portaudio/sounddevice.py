"""A driver whose one microphone plays a file; there is no sound card where tests run.

FAKE_MIC says what goes wrong: `refuses` to start, `unplugged` at the end of the file, `overflow`
of half a second in the middle of it.
"""

import os
import threading
import time as wall
from types import SimpleNamespace

import numpy as np
import soundfile
import soxr

FAULT = os.environ.get("FAKE_MIC")
RATE_HZ = 44_100


class PortAudioError(Exception):
    pass


def query_devices(device=None, kind=None):
    if FAULT == "none":
        if kind is None:
            return ()
        raise PortAudioError("Error querying device -1")
    if device == "broken":
        raise ValueError("No input device matching 'broken'")
    return "  0 fake, 1 in, 0 out" if kind is None else {"default_samplerate": float(RATE_HZ)}


class RawInputStream:
    def __init__(
        self, samplerate, channels, dtype, device, blocksize, callback, finished_callback=None
    ):
        assert (samplerate, channels, dtype, blocksize) == (RATE_HZ, 1, "int16", RATE_HZ // 50)
        self.callback, self.block = callback, blocksize
        self.finished = finished_callback or (lambda: None)
        self.active = False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        if FAULT == "refuses":
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.active = True
        self.thread.start()

    def __exit__(self, *_):
        self.active = False
        self.thread.join()

    def run(self):
        samples, rate_hz = soundfile.read(os.environ["FAKE_MIC_FILE"], dtype="float32")
        pcm = (soxr.resample(samples, rate_hz, RATE_HZ) * 32767).astype("<i2")
        if FAULT != "unplugged":
            pcm = np.concatenate([pcm, np.zeros(RATE_HZ * 60, "<i2")])
        began, lost = wall.monotonic(), RATE_HZ // 2
        for start in range(0, len(pcm) - self.block, self.block):
            wall.sleep(max(0, began + start / RATE_HZ - wall.monotonic()))
            is_over = FAULT == "overflow" and start >= 50 * self.block
            time = SimpleNamespace(inputBufferAdcTime=100 + (start + lost * is_over) / RATE_HZ)
            status = SimpleNamespace(input_overflow=is_over and start == 50 * self.block)
            if not self.active:
                return
            self.callback(
                memoryview(pcm[start : start + self.block].tobytes()), self.block, time, status
            )
        self.active = False
        self.finished()
