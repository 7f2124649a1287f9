"""The messages of the sockets that earlier callers know, one struct each."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from streamd.transport.http.rest.openapi import ErrorDetail


class AsrConfig(msgspec.Struct, kw_only=True):
    """What an ASR client says of its audio."""

    encoding: str = "LINEAR16"
    """`LINEAR16`, in any case."""
    sample_rate: int = 16_000
    """8000 to 48000 Hz."""
    language: str | None = None
    """BCP 47."""


class AsrInit(msgspec.Struct, tag="INIT", kw_only=True):
    """The first message, which has no answer."""

    config: AsrConfig = msgspec.field(default_factory=AsrConfig)


class AsrAudio(msgspec.Struct, tag="AUDIO", kw_only=True):
    """A piece of audio, which gets one `PARTIAL`."""

    audio: str
    """Samples in base64."""


class AsrEnd(msgspec.Struct, tag="END", kw_only=True):
    """The end of the audio, which gets `FINAL` and a close."""


AsrSent = AsrInit | AsrAudio | AsrEnd
"""What an ASR client sends."""


class AsrText(msgspec.Struct, kw_only=True):
    """The base of what an ASR client is answered."""

    transcript: str
    """The text so far."""
    code: str | UnsetType = UNSET
    """Why there is no text, where no transcriber is loaded."""
    message: str | UnsetType = UNSET
    """The same for people."""


class AsrPartial(AsrText, tag="PARTIAL", kw_only=True):
    """The answer to `AUDIO`, at once."""


class AsrFinal(AsrText, tag="FINAL", kw_only=True):
    """The answer to `END`."""


class AsrError(msgspec.Struct, tag="ERROR", kw_only=True):
    """A fault, before the socket closes."""

    code: str
    message: str


class VerifyResult(msgspec.Struct, kw_only=True):
    """The answer to a file that comes after the reference."""

    similarity: float
    """-1 to 1."""
    verification_result: bool
    """Whether it is the same voice."""


class VerifyError(msgspec.Struct, kw_only=True):
    """A file that cannot be used. The socket goes on."""

    error: ErrorDetail
    similarity: float | UnsetType = UNSET
    """0.0, once there is a reference."""
    verification_result: bool | UnsetType = UNSET
    """False, once there is a reference."""
