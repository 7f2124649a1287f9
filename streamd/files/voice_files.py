"""The voices of files that come over a network."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing

from streamd.files.sessions import FileReading, FileSessions, Progress
from streamd.files.voice_cache import FileVoice, VoiceCache
from streamd.files.voice_reading import (
    EnrolmentReading,
    VoiceReading,
    VoiceSample,
    speaker_settings,
    voice_models,
)
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry

HASHED_BYTES = 1 << 22
"""Most bytes of a file that is looked for among those that were sent before."""


class VoiceFiles:
    """Reads the voice in a file, which is the only one in it.

    Args:
        sessions: Opens a session over each file.
        registry: The modules of the daemon, whose speaker settings it shares.
        cache: Remembers voices of files.
    """

    def __init__(self, sessions: FileSessions, registry: Registry, cache: VoiceCache) -> None:
        self._sessions = sessions
        self._registry = registry
        self._cache = cache
        models = voice_models(registry).ids
        settings = (models, registry.vad.settings, speaker_settings(registry))
        self._seed = hashlib.sha256(repr(settings).encode())
        """Hash of all that the voice of a file depends on besides its bytes."""

    async def voice(
        self, body: AsyncIterable[bytes], name: str, tenant: str, progress: Progress
    ) -> FileVoice:
        """Return the voice of a file; that of a short one which was sent before is remembered.

        Args:
            body: The bytes of the file, as they come.
            name: What messages call it.
            tenant: Whose file it is.
            progress: Takes how much was read.

        Raises:
            Refusal: As `Uploads.open` does.
        """
        pieces = aiter(body)
        first, key = await self._first(pieces)
        if key is not None and (known := await self._cache.get(tenant, key)) is not None:
            self._sessions.remembered()
            return known
        reading = VoiceReading(self._registry)
        async with self._sessions.open(
            _joined(first, pieces), name, reading.modules, Gallery.empty(), reading.registry
        ) as file:
            await _read(file, progress)
            voice = reading.voice(file.format.channel_kind)
        if key is not None:
            await self._cache.put(tenant, key, voice)
        return voice

    async def sample(
        self, body: AsyncIterable[bytes], name: str, progress: Progress
    ) -> VoiceSample:
        """Return what a file contributes to its voice; arguments and errors as of `voice`."""
        reading = EnrolmentReading(self._registry)
        async with self._sessions.open(
            body, name, reading.modules, Gallery.empty(), reading.registry
        ) as file:
            reading.measure(file.format)
            await _read(file, progress, reading)
            return reading.sample(file.format.channel_kind, name)

    async def forget(self, tenant: str) -> None:
        """Forget the voices of a tenant's files."""
        await self._cache.forget(tenant)

    async def _first(self, pieces: AsyncIterator[bytes]) -> tuple[bytes, bytes | None]:
        """Return the first bytes of a file and, if these are all, its key in the cache."""
        first, digest = bytearray(), self._seed.copy()
        async for piece in pieces:
            first += piece
            digest.update(piece)
            if len(first) > HASHED_BYTES:
                return bytes(first), None
        return bytes(first), digest.digest()


async def _read(
    file: FileReading, progress: Progress, reading: EnrolmentReading | None = None
) -> None:
    events = file.events(progress) if reading is None else file.events(progress, reading.add)
    async with aclosing(events) as running:
        async for _ in running:
            pass


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
