"""The files of a JSON request, in base64."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

import msgspec

from streamd.audio.header import wav_header
from streamd.errors import BadInput, TooLarge
from streamd.transport.http.rest.fields import AUDIO_FIELDS, FILE_FIELDS, MAX_PARTS

MAX_JSON_BYTES = 64 << 20
"""Bytes of a JSON request, which is in memory as a whole."""
RAW_FORMATS = frozenset({"pcm", "raw", "s16le", "pcm_s16le"})
_OF_URLS = str.maketrans("-_", "+/")
"""The digits of base64 that differ in its form for URLs."""
_AT_ONCE_BYTES = 1 << 20
"""JSON up to this is decoded on the event loop: a few milliseconds."""


async def parsed(text: bytes) -> tuple[list[tuple[str, str, bytes]], dict[str, Any]]:
    """Return the files of a JSON request, each with its field and a name, and the fields.

    Raises:
        BadInput: It is not JSON, or not of this form.
        TooLarge: There are too many files.
    """
    if len(text) > _AT_ONCE_BYTES:
        return await asyncio.to_thread(_parse, text)
    return _parse(text)


def _parse(text: bytes) -> tuple[list[tuple[str, str, bytes]], dict[str, Any]]:
    try:
        sent = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = (
            str(error) if isinstance(error, msgspec.DecodeError) else "it is no UTF-8, or too deep"
        )
        raise BadInput(
            f"the body is not JSON: {why}. Base64 in it may have no line breaks (`base64 -w0`)"
        ) from None
    if not isinstance(sent, dict):
        raise BadInput("the body must be a JSON object, with the fields of this path by name")
    files = []
    for field in [name for name in sent if name in FILE_FIELDS]:
        value = sent.pop(field)
        if isinstance(value, list):
            each = [(f"{field}[{number}]", one) for number, one in enumerate(value)]
        else:
            each = [("the file" if field in AUDIO_FIELDS else field, value)]
        files += [(field, name, one) for name, one in each]
    if len(files) > MAX_PARTS:
        raise TooLarge(f"the request has more than {MAX_PARTS} files")
    return [(field, name, _decoded(one, field, sent)) for field, name, one in files], sent


def _decoded(encoded: object, name: str, sent: dict[str, Any]) -> bytes:
    """Return the file in base64, as a data URL may have it; raw samples get a header.

    The form for URLs is taken too, and no padding.
    """
    if not isinstance(encoded, str):
        raise BadInput(f"the field {name!r} must be a string: the file in base64", ref=name)
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    digits = "".join(encoded.split()).translate(_OF_URLS).rstrip("=")
    try:
        audio = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(
            f"the field {name!r} is not base64; encode the bytes of the file", ref=name
        ) from None
    if str(sent.get("format", "")).lower() in RAW_FORMATS:
        rate = sent.get("sample_rate", 16_000)
        if not isinstance(rate, int) or isinstance(rate, bool) or not 8000 <= rate <= 48_000:
            raise BadInput("`sample_rate` must be a whole number from 8000 to 48000")
        return wav_header(rate, len(audio)) + audio
    return audio
