"""Voices of files that were sent before, by the hash of their bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from streamd.modules.gallery import Channel
from streamd.observability.metrics import Metrics
from streamd.types import Floats


class FileVoice(NamedTuple):
    """The voice in a file."""

    embedding: Floats | None
    """By the model that decides: `[dim]`, a unit vector; None without one window of speech."""
    speech_ms: int
    """Milliseconds of speech in the file."""
    channel: Channel
    others: Mapping[str, Floats] = MappingProxyType({})
    """Embeddings by further models, by their catalogue id."""


class VoiceCache(Protocol):
    """Remembers voices of files, for each tenant apart.

    One tenant never learns, not even by the time that a reply takes, which files another one sent.
    """

    async def get(self, tenant: str, digest: bytes) -> FileVoice | None:
        """Return the voice of a file; None if it is not known.

        Args:
            tenant: Whose file it is.
            digest: Hash of the file, the model and its settings.
        """

    async def put(self, tenant: str, digest: bytes, voice: FileVoice) -> None:
        """Remember the voice of a file."""

    async def forget(self, tenant: str) -> None:
        """Forget every voice of a tenant's files."""

    async def close(self) -> None:
        """Let go of what the cache uses. No other call may follow."""


class MemoryVoiceCache:
    """Voices in the memory of this process; of too many, the one longest unused goes.

    Args:
        entries: Most voices, about 1.3 KB each; 0 remembers none.
        metrics: Counts hits and misses.
    """

    def __init__(self, entries: int, metrics: Metrics) -> None:
        self._most = entries
        self._voices: OrderedDict[tuple[str, bytes], FileVoice] = OrderedDict()
        self._hits = metrics.voice_cache.labels("hit")
        self._misses = metrics.voice_cache.labels("miss")
        metrics.voice_cache_limit.set(entries)
        metrics.voice_cache_entries.set_function(self._voices.__len__)

    async def get(self, tenant: str, digest: bytes) -> FileVoice | None:
        """Return the voice of a file; None if it is not known."""
        found = self._voices.get((tenant, digest))
        if found is None:
            self._misses.inc()
            return None
        self._hits.inc()
        self._voices.move_to_end((tenant, digest))
        return found

    async def put(self, tenant: str, digest: bytes, voice: FileVoice) -> None:
        """Remember the voice of a file."""
        self._voices[tenant, digest] = voice
        self._voices.move_to_end((tenant, digest))
        while len(self._voices) > self._most:
            self._voices.popitem(last=False)

    async def forget(self, tenant: str) -> None:
        """Forget every voice of a tenant's files."""
        for key in [key for key in self._voices if key[0] == tenant]:
            del self._voices[key]

    async def close(self) -> None:
        """Do nothing: the memory is freed with the cache."""
