"""A process that has cancelled an echo ends as any other."""

import subprocess
import sys

from needs import front_end

PROGRAM = """
import threading, time
from livekit.rtc import _ffi_client
theirs = _ffi_client.ffi_event_callback
called = threading.Event()

@type(theirs)
def in_python(data, size):
    called.set()

_ffi_client.ffi_event_callback = in_python
{ours}
import numpy as np
from livekit.rtc.apm import AudioProcessingModule
AudioProcessingModule(echo_cancellation=True)
print(called.wait({seconds}))
"""


def python_is_called(ours: str, seconds: float) -> str:
    program = PROGRAM.format(ours=ours, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_no_python_code_runs_in_a_thread_of_the_library() -> None:
    front_end("echo")
    # Without streamd's precaution, the library reports its log within a second or so.
    assert python_is_called("", 60) == "True"
    assert python_is_called("import streamd.audio.frontend.echo", 2.5) == "False"
