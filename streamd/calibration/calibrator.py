"""Calibrations for a running server: one at a time, on a thread that leaves room for streams."""

from __future__ import annotations

import asyncio
import time
from functools import cached_property
from pathlib import Path

from streamd.calibration.calibrate import Calibrations, Material, calibrate
from streamd.calibration.cohort import Cohort
from streamd.errors import Overloaded
from streamd.modules.voice_models import VoiceModels
from streamd.observability.metrics import Metrics
from streamd.store.base import Store

MAX_WAITING = 4
"""Calibrations that wait for the one that is made."""
PAUSE_S = 0.0005
"""Seconds between two scores in which other threads of the process run."""
_RETRY_AFTER_MS = 5000


class Calibrator:
    """Calibrates galleries, one after the other. Belongs to the event loop.

    Args:
        models: The voice models of the server.
        metrics: Reports how many calibrations are made or wait.
        key: File of the store's key.
    """

    def __init__(self, models: VoiceModels, metrics: Metrics, key: Path) -> None:
        self._models = models
        self._key = key
        self._turn = asyncio.Lock()
        self._waiting = 0
        metrics.queue("calibrations", 1 + MAX_WAITING, lambda: self._waiting)

    @property
    def model(self) -> str:
        """Return the id of the model that decides."""
        return self._models.deciding

    async def show(self, store: Store, target_far: float | None = None) -> Calibrations:
        """Return the thresholds of a tenant, those in force where there are any.

        Args:
            store: As the tenant sees it.
            target_far: Share of strangers that may be accepted; None takes the stored one.

        Raises:
            Overloaded: Too many calibrations wait.
            ModelMissing: There is no cohort for the model.
            Unavailable: The store cannot be read.
        """
        return await self._run(store, target_far, is_new=False)

    async def apply(self, store: Store, target_far: float) -> Calibrations:
        """Compute the thresholds of a tenant and store them; errors as of `show`."""
        return await self._run(store, target_far, is_new=True)

    async def remove(self, store: Store) -> Calibrations:
        """Have the thresholds of the server hold again, and return what others there could be."""
        await asyncio.to_thread(store.calibrate, self.model, ())
        return await self.show(store)

    async def _run(self, store: Store, target_far: float | None, *, is_new: bool) -> Calibrations:
        if self._waiting > MAX_WAITING:
            raise Overloaded(
                "too many calibrations are being made; try again later",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._made, store, target_far, is_new)
        finally:
            self._waiting -= 1

    def _made(self, store: Store, target_far: float | None, is_new: bool) -> Calibrations:
        """Calibrate, on a thread."""
        material = Material.read(store, self._models)
        if is_new:
            material = material.without_stored()
        found = calibrate(material, self._cohort, self._models, target_far, _pause)
        if not is_new:
            return found
        store.calibrate(self.model, found.chosen())
        return found.in_force()

    @cached_property
    def _cohort(self) -> Cohort:
        return Cohort.of_owner(self._models.ids, self._key)


def _pause(done: int, total: int) -> None:
    time.sleep(PAUSE_S)
