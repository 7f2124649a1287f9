"""The device that computes: its streams, and copies between it and the host."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
import torch
from torch import Tensor

from streamd.errors import ConfigError

log = structlog.get_logger("streamd.engine.torch")


class Device:
    """One device. Every thread that uses a GPU gets a CUDA stream of its own.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, or `auto` for the first GPU if there is one.

    Raises:
        ConfigError: There is no such device.
    """

    def __init__(self, name: str) -> None:
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        wanted = torch.device(name)
        if wanted.type == "cuda":
            wanted = _gpu(name, wanted)
        self.torch = wanted
        self.is_gpu = wanted.type == "cuda"
        self._local = threading.local()
        name = torch.cuda.get_device_name(wanted) if self.is_gpu else "the CPU"
        log.info("torch computes", device=str(wanted), name=name, version=torch.__version__)

    def enter(self) -> None:
        """Make the calling thread use its own stream; call it before anything else here."""
        if self.is_gpu and not hasattr(self._local, "stream"):
            torch.cuda.set_device(self.torch)
            self._local.stream = torch.cuda.Stream(self.torch)
            torch.cuda.set_stream(self._local.stream)

    def put(self, array: npt.NDArray[Any]) -> Tensor:
        """Return an array as a tensor on the device.

        On the CPU it shares the memory of the array. To a GPU it goes by way of pinned memory, and
        nobody waits for it; torch takes that memory again only after the copy is done.
        """
        tensor = torch.from_numpy(_writable(array))
        if not self.is_gpu:
            return tensor
        return tensor.pin_memory().to(self.torch, non_blocking=True)

    def fetch(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Return a tensor as an array on the host, once the device has computed it."""
        if not self.is_gpu:
            return tensor.numpy()
        self.enter()
        kept = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        kept.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(self.torch).synchronize()
        # A copy, because pinned memory is scarce and some outputs are kept for long.
        return kept.numpy().copy()

    @property
    def stream(self) -> int:
        """Return what tells the CUDA streams of threads apart; 0 on the CPU."""
        return torch.cuda.current_stream(self.torch).cuda_stream if self.is_gpu else 0

    def mark(self) -> torch.cuda.Event | None:
        """Return an event behind all that the calling thread has asked for; None on the CPU."""
        if not self.is_gpu:
            return None
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.torch))
        return event

    def wait(self, events: Sequence[torch.cuda.Event | None]) -> None:
        """Let the device wait, and not the calling thread, until these events have come."""
        for event in events:
            if event is not None:
                event.wait(torch.cuda.current_stream(self.torch))

    def settle(self) -> None:
        """Wait for all that any thread has asked for."""
        if self.is_gpu:
            torch.cuda.synchronize(self.torch)

    def release(self) -> None:
        """Give back memory that is kept for later, after the device had none left."""
        if self.is_gpu:
            torch.cuda.empty_cache()


def _gpu(name: str, wanted: torch.device) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = wanted.index or 0
    if index >= count:
        found = f"finds {count}" if count else "finds none"
        raise ConfigError(
            f"engine.torch.device {name!r}: torch {torch.__version__} {found}. "
            "Check `nvidia-smi`, or choose 'auto' or 'cpu'."
        )
    return torch.device("cuda", index)


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that torch takes: in one piece, and writable, which some inputs are not."""
    array = np.ascontiguousarray(array).reshape(array.shape)
    return array if array.flags.writeable else array.copy()
