"""Voices of files outside this process: which entry is whose, and what seals it."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import numpy as np

from streamd.files.voice_cache import FileVoice
from streamd.modules.gallery import Channel
from streamd.store.cipher import KEY_BYTES, Cipher, Damaged
from streamd.types import Floats

_FLOAT = np.dtype("<f4")
_NAME_BYTES = 16
_Packed = tuple[int, Channel, bytes | None, dict[str, bytes]]
"""Milliseconds of speech, channel, embedding of a voice and those by further models, as MessagePack
has them."""


class Place:
    """Where the voices of a tenant are, and what seals them.

    Args:
        tenant: Whose they are.
        everyones: Secret of the store, under which the tenant always has the same keys.
        secret: Secret of the tenant. Without it no entry can be opened or looked for.
    """

    def __init__(self, tenant: str, everyones: bytes, secret: bytes) -> None:
        named = _keyed(everyones, tenant.encode())[:_NAME_BYTES].hex()
        # The braces keep both keys on one node of a cluster.
        voices, used = (f"streamd:{{{named}}}:{part}".encode() for part in ("voices", "used"))
        self.keys = (voices, used)
        """Keys of the voices and of the times of their last use."""
        self._names = _keyed(secret, b"names")
        self._cipher = Cipher(_keyed(secret, b"voices")[:KEY_BYTES])

    def name(self, digest: bytes) -> bytes:
        """Return the name of the entry of a file."""
        return _keyed(self._names, digest)[:_NAME_BYTES]

    def sealed(self, name: bytes, voice: FileVoice) -> bytes:
        """Return the entry of a voice."""
        embedding = None if voice.embedding is None else voice.embedding.astype(_FLOAT).tobytes()
        others = {model: heard.astype(_FLOAT).tobytes() for model, heard in voice.others.items()}
        packed: _Packed = (voice.speech_ms, voice.channel, embedding, others)
        return self._cipher.seal(msgspec.msgpack.encode(packed), name.hex())

    def opened(self, name: bytes, sealed: bytes) -> FileVoice | None:
        """Return the voice of an entry; None if it is another's, or was changed."""
        try:
            plain = self._cipher.open(sealed, name.hex())
        except Damaged:
            return None
        try:
            speech_ms, channel, packed, others = msgspec.msgpack.decode(plain, type=_Packed)
        except msgspec.ValidationError:
            return None  # of an older streamd
        embedding = None if packed is None else _unpacked(packed)
        heard = {model: _unpacked(packed) for model, packed in others.items()}
        return FileVoice(embedding, speech_ms, channel, heard)


def _unpacked(packed: bytes) -> Floats:
    return np.frombuffer(packed, _FLOAT).astype(np.float32)


def _keyed(key: bytes, what: bytes) -> bytes:
    return hmac.digest(key, what, hashlib.sha256)
