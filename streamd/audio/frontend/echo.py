"""Echo cancellation of WebRTC (AEC3), by the package `livekit`."""

from __future__ import annotations

import ctypes

import numpy as np
from livekit.rtc import AudioFrame, _ffi_client
from livekit.rtc.apm import AudioProcessingModule

from streamd.front_ends import FRAME
from streamd.types import RATE_HZ, Samples

# The library reports its log from a thread of its own, and does not wait for that thread when the
# interpreter ends. Python then ends a foreign thread that asks for the interpreter, which the
# library answers with abort(3): now and then, a program that has done all its work dies of SIGABRT.
# So no Python code runs in that thread: the library calls a C function that ignores its arguments.
_ffi_client.ffi_event_callback = ctypes.cast(
    ctypes.CDLL(None).getpid, type(_ffi_client.ffi_event_callback)
)


class EchoCanceller:
    """Takes what a loudspeaker plays out of a microphone's signal."""

    def __init__(self) -> None:
        self._module = AudioProcessingModule(echo_cancellation=True)

    def process(self, near: Samples, far: Samples) -> Samples:
        """Return the next `FRAME` samples of the output, int16.

        Args:
            near: A frame of the microphone.
            far: What the loudspeaker was given at the same time.
        """
        self._module.process_reverse_stream(_frame(far))
        frame = _frame(near)
        self._module.process_stream(frame)
        return np.frombuffer(frame.data, np.int16)


def _frame(samples: Samples) -> AudioFrame:
    return AudioFrame(bytearray(samples.tobytes()), RATE_HZ, 1, FRAME)
