"""The messages of a client, one struct each, and their parsing from JSON objects.

The rules of `docs/wire.md` in short: a text that is no message of the protocol is `BadMessage`, and
the stream goes on. A wrong JSON type in `hello` or `config` is `BadConfig`. Audio of the right
types that streamd does not take is `UnsupportedAudio`. A number with an
integral value may be written 16000.0; true and false are no numbers. Unknown fields are
ignored. Null stands for "not given" where a field has nothing else to say so: `client`,
`device`, `audio.use`, `audio.enhance`, `audio.far_end`, `resume`; elsewhere it is a wrong type.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streamd.bounds import MAX_SESSION_S
from streamd.errors import BadConfig, BadMessage, UnsupportedAudio
from streamd.types import MAX_OPUS_CHANNELS, OPUS_RATES_HZ, AudioFormat
from streamd.validation import Invalid, convert, show

MAX_GAP_MS = MAX_SESSION_S * 1000
"""Milliseconds that one `gap` message may move the clock: no stream is longer."""
MAX_GAP_SAMPLES = MAX_SESSION_S * 48_000
"""Sample frames in that time at the highest rate."""

MAX_ID_CHARS = 65_536
Id: TypeAlias = Annotated[str, Meta(max_length=MAX_ID_CHARS)]
"""What a client calls a message. The log of a stream keeps it with the answer."""

ModuleRequest: TypeAlias = dict[str, bool | dict[str, Any]]
"""Options by module name; false turns the module off, and true becomes no options. The modules
define what the options mean."""


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """The session to resume."""

    token: str
    last_seq: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    """The newest log event that the client has."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first message; its defaults apply to a client that sends none."""

    client: str | None = None
    device: str | None = None
    audio: AudioFormat = AudioFormat()
    modules: ModuleRequest | UnsetType = UNSET
    """Modules to turn on; without it, the default modules of the key."""
    resume: Resume | None = None


class Audio(msgspec.Struct, frozen=True):
    """Audio bytes, divided at any place."""

    data: bytes


class Gap(msgspec.Struct, frozen=True):
    """A gap in the client's audio: of `samples`, if it knows the exact number, else of `ms`."""

    ms: int = 0
    samples: int = 0
    """Length of the gap in sample frames at the input rate."""


class Flush(msgspec.Struct, frozen=True):
    """A request to end the open utterance here and report everything so far."""

    id: Id = ""


class Config(msgspec.Struct, frozen=True):
    """A request to change modules from here on; those not named stay as they are."""

    modules: ModuleRequest = {}


class Enrol(msgspec.Struct, frozen=True, kw_only=True):
    """A request to enrol the voice of utterances that are over here."""

    id: Id = ""
    speaker: str
    """Name of the voice."""
    utterances: Annotated[list[str], Meta(min_length=1)]
    """Ids of the utterances."""


class End(msgspec.Struct, frozen=True):
    """The end of the audio."""


class Ping(msgspec.Struct, frozen=True):
    """A request for a `pong`."""

    t: str | int | float | None = None
    """A value that `pong` echoes."""


class _AudioText(msgspec.Struct, frozen=True):
    data: str


class _GapText(msgspec.Struct, frozen=True):
    ms: Annotated[int, Meta(ge=0, le=MAX_GAP_MS)]


class _GapInSamplesText(msgspec.Struct, frozen=True):
    samples: Annotated[int, Meta(ge=0, le=MAX_GAP_SAMPLES)]


_Text: TypeAlias = _AudioText | _GapText | _GapInSamplesText
"""Messages whose fields in JSON differ from those of their structs."""
Message: TypeAlias = Hello | Audio | Gap | Flush | Config | Enrol | End | Ping


def read_object(text: str) -> dict[str, Any]:
    """Return a text message as a JSON object that has a `type`.

    Raises:
        BadMessage: Not JSON, not an object, or no type.
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
    return fields


def parse(fields: Mapping[str, Any]) -> Message:
    """Return the message in an object from `read_object`.

    Raises:
        BadMessage: An unknown type; a missing or wrong field, except in `hello` and `config`.
        BadConfig: A wrong type in `hello` or `config`; `ref` names the field.
        UnsupportedAudio: Audio in `hello` that streamd does not take; `ref` names the field.
    """
    if (name := fields["type"]) not in _KINDS:
        known = ", ".join(_KINDS)
        raise BadMessage(f"unknown message type {show(name)}; known: {known}", ref="type")
    kind = _KINDS[name]
    if kind is _GapText and "samples" in fields:
        kind = _GapInSamplesText
    if kind is Hello and fields.get("resume") is not None:
        fields = {"resume": fields["resume"]}  # all else is as it was when the stream was opened
    elif kind is Hello and "audio" not in fields and "audio_params" in fields:
        fields = {**fields, **_audio_of_params(fields)}
    try:
        message = convert(fields, kind)
    except Invalid as invalid:
        raise _refusal(kind, invalid) from None
    match message:
        case _AudioText(data=text):
            return Audio(_decoded(text))
        case _GapText(ms=ms):
            return Gap(ms=ms)
        case _GapInSamplesText(samples=samples):
            return Gap(samples=samples)
        case Hello(audio=audio):
            check_audio(audio)
    if isinstance(message, Hello | Config) and message.modules:
        return msgspec.structs.replace(message, modules=_without_true(message.modules))
    return message


_KINDS: dict[str, type[Message | _Text]] = {
    "hello": Hello,
    "audio": _AudioText,
    "gap": _GapText,
    "flush": Flush,
    "config": Config,
    "enrol": Enrol,
    "end": End,
    "ping": Ping,
}


def _refusal(kind: type, invalid: Invalid) -> BadConfig | BadMessage | UnsupportedAudio:
    fault = invalid.first
    if (
        kind is Hello
        and fault.path[0] == "audio"
        and fault.problem == "value"
        and (fault.path[1] != "enhance")
    ):
        # The key of `audio`, not an item in it.
        return _unsupported(fault.path[1], fault.what)
    error = BadConfig if kind in (Hello, Config) else BadMessage
    return error(str(fault), ref=fault.where)


def _audio_of_params(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `audio` that a device means whose firmware describes Opus as `audio_params`.

    Raises:
        UnsupportedAudio: It puts a header of its own before each packet.
    """
    params = fields["audio_params"]
    if not isinstance(params, Mapping) or params.get("format") != "opus":
        return {}
    if fields.get("version", 1) != 1:
        raise UnsupportedAudio(
            f"`version`: {show(fields['version'])} puts a header before each packet; with "
            "`audio_params`, send plain packets, which are version 1",
            ref="version",
        )
    names = {"sample_rate": "rate", "channels": "channels"}
    known = {ours: params[theirs] for theirs, ours in names.items() if theirs in params}
    return {"audio": {"codec": "opus", **known}}


def _without_true(modules: ModuleRequest) -> ModuleRequest:
    return {name: {} if asked is True else asked for name, asked in modules.items()}


def _unsupported(key: str, what: str) -> UnsupportedAudio:
    return UnsupportedAudio(f"`audio.{key}`: {what}", ref=f"audio.{key}")


def check_audio(audio: AudioFormat) -> None:
    """Check that the parts of a format fit each other.

    Raises:
        UnsupportedAudio: A channel is named that does not exist; `far_end` is mixed or has no other
            beside it; Opus does not have the rate, or so many channels.
    """
    if audio.codec == "opus":
        _check_opus(audio)
    _check_use(audio)
    _check_far_end(audio)


def _check_opus(audio: AudioFormat) -> None:
    if audio.rate not in OPUS_RATES_HZ:
        *rates, last = OPUS_RATES_HZ
        known = f"{', '.join(map(str, rates))} or {last}"
        raise _unsupported("rate", f"expected {known} with opus, got {audio.rate}")
    if audio.channels > MAX_OPUS_CHANNELS:
        most = MAX_OPUS_CHANNELS
        raise _unsupported("channels", f"expected 1 or {most} with opus, got {audio.channels}")


def _check_use(audio: AudioFormat) -> None:
    if audio.use is None:
        return
    if max(audio.use) >= audio.channels:
        last = audio.channels - 1
        raise _unsupported("use", f"expected channels from 0 to {last}, got {max(audio.use)}")
    if len(set(audio.use)) < len(audio.use):
        raise _unsupported("use", "expected each channel once")


def _check_far_end(audio: AudioFormat) -> None:
    if audio.far_end is None:
        return
    if audio.channels < 2:
        raise _unsupported("far_end", "expected several channels, one of them the loudspeaker's")
    if audio.far_end >= audio.channels:
        last = audio.channels - 1
        raise _unsupported("far_end", f"expected a channel from 0 to {last}, got {audio.far_end}")
    if audio.use is not None and audio.far_end in audio.use:
        raise _unsupported("far_end", f"channel {audio.far_end} is in `audio.use`, too")


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise BadMessage("`data`: expected base64 (RFC 4648, padded)", ref="data") from None
