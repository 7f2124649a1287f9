"""What a client may say, one struct per message, and the way there from a JSON object.

The rules of `docs/wire.md` in short: a text that is no message of the protocol is
`BadMessage` and the stream goes on; a wrong JSON type in `hello` or `config` is `BadConfig`;
audio of the right types that streamd does not take is `UnsupportedAudio`. A number with an
integral value may be written 16000.0; true and false are no numbers. Unknown fields are
ignored. Null stands for "not given" where a field has nothing else to say so: `client`,
`device`, `audio.use`, `resume`; elsewhere it is a wrong type.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from streamd.errors import BadConfig, BadMessage, UnsupportedAudio
from streamd.protocol.fields import (
    as_integer,
    optional_text,
    show,
    want,
    want_integer,
)
from streamd.types import AudioFormat, Codec

MAX_GAP_MS = 3_600_000
"""One message moves the clock by an hour at most."""
MAX_GAP_SAMPLES = MAX_GAP_MS // 1000 * 48_000
"""That hour at the highest rate, in sample frames."""
_MAX_SEQ = 2**63 - 1
_CODECS = get_args(Codec)
_RATES_HZ = range(8_000, 48_001)
_CHANNELS = range(1, 9)

ModuleRequest: TypeAlias = dict[str, Literal[False] | dict[str, Any]]
"""Module name to its options; false is off. What the options mean, the modules say."""


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """The session to go on with."""

    token: str
    last_seq: int = 0
    """The newest log event that the client has."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first message; the defaults are what a client gets that sends none."""

    client: str | None = None
    device: str | None = None
    audio: AudioFormat = AudioFormat()
    modules: ModuleRequest | None = None
    """None: the default modules of the key."""
    resume: Resume | None = None


class Audio(msgspec.Struct, frozen=True):
    """Audio bytes, at least one, cut anywhere."""

    data: bytes


class Gap(msgspec.Struct, frozen=True):
    """The client lost audio here: `samples` of it, where it knows exactly, else `ms`."""

    ms: int = 0
    samples: int = 0
    """Sample frames at the input rate."""


class Flush(msgspec.Struct, frozen=True):
    """End the open utterance here and report everything so far."""

    id: str = ""


class Config(msgspec.Struct, frozen=True):
    """Change modules from here on; those not named stay as they are."""

    modules: ModuleRequest


class End(msgspec.Struct, frozen=True):
    """Nothing more comes."""


class Ping(msgspec.Struct, frozen=True):
    """Asks for a `pong`."""

    t: str | int | float | None = None
    """Echoed as it came."""


Message: TypeAlias = Hello | Audio | Gap | Flush | Config | End | Ping


def read_object(text: str) -> dict[str, Any]:
    """A text message as a JSON object whose `type` is known.

    Raises:
        BadMessage: Not JSON, not an object, no type or an unknown one.
    """
    try:
        fields = msgspec.json.decode(text)
    except RecursionError:
        raise BadMessage("not valid JSON: nested too deeply") from None
    except ValueError:
        raise BadMessage("not valid JSON; a text message is one JSON object") from None
    if not isinstance(fields, dict):
        raise BadMessage(f"expected a JSON object, got {show(fields)}")
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise BadMessage("`type`: missing; expected the type of the message", ref="type")
    if kind not in _PARSERS:
        known = ", ".join(_PARSERS)
        raise BadMessage(f"unknown message type {show(kind)}; known: {known}", ref="type")
    return fields


def parse(fields: Mapping[str, Any]) -> Message:
    """The message in an object from `read_object`.

    Raises:
        BadMessage: A missing field or one that is wrong, but for `hello` and `config`.
        BadConfig: A wrong type in `hello` or `config`; `ref` names the field.
        UnsupportedAudio: Audio in `hello` that streamd does not take; likewise.
    """
    return _PARSERS[fields["type"]](fields)


def _hello(fields: Mapping[str, Any]) -> Hello:
    if (resume := _resume(fields)) is not None:
        return Hello(resume=resume)  # all else is as it was when the stream was opened
    return Hello(
        client=optional_text(fields, "client"),
        device=optional_text(fields, "device"),
        audio=_format(want(fields, "audio", dict, BadConfig, default={})),
        modules=_modules(fields) if "modules" in fields else None,
    )


def _format(audio: Mapping[str, Any]) -> AudioFormat:
    # All types before any value, so that a wrong type is never hidden by a bad value.
    codec = want(audio, "codec", str, BadConfig, default="pcm_s16le", path="audio.")
    rate = want(audio, "rate", (int, float), BadConfig, default=16_000, path="audio.")
    channels = want(audio, "channels", (int, float), BadConfig, default=1, path="audio.")
    use = audio.get("use")
    if use is not None:
        use = want(audio, "use", list, BadConfig, path="audio.")
        for index in range(len(use)):
            want(use, index, (int, float), BadConfig, path="audio.use.")

    if codec not in _CODECS:
        raise _unsupported("codec", f"{show(codec)} is not supported; use {', '.join(_CODECS)}")
    rate_hz, count = as_integer(rate), as_integer(channels)
    if rate_hz is None or rate_hz not in _RATES_HZ:
        raise _unsupported("rate", f"{show(rate)} Hz is not supported; use 8000–48000 Hz")
    if count is None or count not in _CHANNELS:
        raise _unsupported("channels", f"{show(channels)} channels are not supported; use 1–8")
    return AudioFormat(codec=codec, rate=rate_hz, channels=count, use=_use(use, count))


def _use(use: list[Any] | None, channels: int) -> tuple[int, ...] | None:
    if use is None:
        return None
    chosen = tuple(c for c in map(as_integer, use) if c is not None and c in range(channels))
    if not use or len(chosen) < len(use):
        raise _unsupported("use", f"name at least one channel, each from 0 to {channels - 1}")
    if len(set(chosen)) < len(chosen):
        raise _unsupported("use", "each channel may be named once only")
    return chosen


def _unsupported(field: str, what: str) -> UnsupportedAudio:
    return UnsupportedAudio(f"`audio.{field}`: {what}", ref=f"audio.{field}")


def _modules(fields: Mapping[str, Any]) -> ModuleRequest:
    modules = want(fields, "modules", dict, BadConfig)
    request: ModuleRequest = {}
    for name in modules:
        value = want(modules, name, (bool, dict), BadConfig, path="modules.")
        request[name] = {} if value is True else value
    return request


def _resume(fields: Mapping[str, Any]) -> Resume | None:
    if fields.get("resume") is None:
        return None
    resume = want(fields, "resume", dict, BadConfig)
    return Resume(
        token=want(resume, "token", str, BadConfig, path="resume."),
        last_seq=want_integer(
            resume, "last_seq", range(_MAX_SEQ + 1), BadConfig, default=0, path="resume."
        ),
    )


def _audio(fields: Mapping[str, Any]) -> Audio:
    text = want(fields, "data", str, BadMessage)
    try:
        return Audio(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:
        raise BadMessage("`data` is not base64 (RFC 4648, padded)", ref="data") from None


def _gap(fields: Mapping[str, Any]) -> Gap:
    if "samples" in fields:
        samples = want_integer(fields, "samples", range(MAX_GAP_SAMPLES + 1), BadMessage)
        return Gap(samples=samples)
    return Gap(want_integer(fields, "ms", range(MAX_GAP_MS + 1), BadMessage))


def _flush(fields: Mapping[str, Any]) -> Flush:
    return Flush(want(fields, "id", str, BadMessage, default=""))


def _config(fields: Mapping[str, Any]) -> Config:
    return Config(_modules(fields) if "modules" in fields else {})


def _end(_: Mapping[str, Any]) -> End:
    return End()


def _ping(fields: Mapping[str, Any]) -> Ping:
    if fields.get("t") is None:
        return Ping()
    return Ping(want(fields, "t", (str, int, float), BadMessage))


_PARSERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "hello": _hello,
    "audio": _audio,
    "gap": _gap,
    "flush": _flush,
    "config": _config,
    "end": _end,
    "ping": _ping,
}
