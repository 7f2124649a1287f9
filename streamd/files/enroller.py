"""Enrolment into the store of a running server: from files and from streams alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streamd.access.audited import Audited, changed_by_client
from streamd.access.parts import Access
from streamd.access.principal import Principal
from streamd.files.enrolment import Enrolled, enrol
from streamd.files.voice_reading import VoiceSample, speaker_settings
from streamd.live.enrolling import Sender, Stored
from streamd.modules.kept_voices import SpokenSample
from streamd.modules.registry import Registry
from streamd.store.base import Store

SOURCE = "a live stream"


class Enroller:
    """Writes the enrolments of all tenants, one at a time.

    An enrolment is compared with those before it, so two of one voice must not cross.

    Args:
        store: Voices of every tenant.
        access: Limits of keys, and the audit log.
        registry: The modules of the daemon.
        changed: Has the voices of the store read again at once.
    """

    def __init__(
        self,
        store: Store,
        access: Access,
        registry: Registry,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._access = access
        self._registry = registry
        self._changed = changed
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[tuple[Enrolled, int]]] = set()

    async def enrol(
        self, principal: Principal, peer: str | None, name: str, sample: VoiceSample
    ) -> tuple[Enrolled, int]:
        """Enrol a voice; once this returns, every stream knows it from its next utterance on.

        What was begun is carried out, even if the caller is cancelled.

        Args:
            principal: Who enrols it, in whose tenant.
            peer: Address of the client, for the audit log.
            name: Name of the voice, valid by `check_name`.
            sample: A sample that `is_enough`.

        Returns:
            What became of the sample, and the number of enrolments that the voice has.

        Raises:
            RateExceeded: The key may enrol no more within this hour.
            StreamdError: The store cannot be written, and knows nothing of the sample.
        """
        await self._access.limits.enrolment(principal)
        store = changed_by_client(self._store, principal, peer, self._access.recorder)
        task = asyncio.get_running_loop().create_task(self._write(store, name, sample))
        self._tasks.add(task)
        task.add_done_callback(self._is_done)
        return await asyncio.shield(task)

    async def of_stream(self, sender: Sender, name: str, sample: SpokenSample) -> Stored:
        """Enrol a voice that spoke in a stream; errors as of `enrol`."""
        voice = sample_of_stream(sample, self._registry)
        done, count = await self.enrol(sender.principal, sender.peer, name, voice)
        return Stored(count, done.quality)

    async def close(self) -> None:
        """Wait for what was begun."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _write(self, store: Audited, name: str, sample: VoiceSample) -> tuple[Enrolled, int]:
        async with self._writing:
            written = await asyncio.to_thread(self._enrolled, store, name, sample)
            await self._changed()
            return written

    def _enrolled(self, store: Audited, name: str, sample: VoiceSample) -> tuple[Enrolled, int]:
        """Write to the store, on a thread."""
        before = len(store.enrolments(name))
        (done,) = enrol(store, name, [sample], self._registry)
        return done, before + done.is_new

    def _is_done(self, task: asyncio.Task[tuple[Enrolled, int]]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it, if anybody still waits


def sample_of_stream(sample: SpokenSample, registry: Registry) -> VoiceSample:
    """Return what a stream contributes to a voice, as a file would."""
    return VoiceSample(
        channel=sample.channel,
        speech_ms=sample.speech_ms,
        heard=sample.embeddings,
        is_one=sample.is_one,
        utterances=(),
        minimum_ms=speaker_settings(registry).window_ms,
        source=SOURCE,
        levels=sample.levels,
    )
