"""Reads the fields of a protobuf message, without protobuf and without a schema.

Source: the encoding at protobuf.dev. Of its types there are three here: a varint, four bytes, and
bytes with their length before them, which a nested message is, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from streamd.models.convert.state_pickle import CheckpointError

_VARINT, _BYTES, _FOUR_BYTES = 0, 2, 5
_MAX_VARINT_BYTES = 10
_BITS = 64

Value: TypeAlias = int | memoryview
"""A number of 64 bits without a sign, or bytes."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Read the fields in their order: each its number and its value.

    Nothing is copied, and no length is believed before it was compared with what there is.

    Args:
        message: the whole message, bytes.

    Raises:
        CheckpointError: it is cut off, or is no message of these types.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in (_VARINT, _BYTES, _FOUR_BYTES):
            raise CheckpointError(f"it has a field {number} of wire type {kind}")
        value, place = (4, place) if kind == _FOUR_BYTES else _varint(message, place)
        if kind == _VARINT:
            yield number, value
            continue
        if value > len(message) - place:
            raise CheckpointError("it is cut off")
        yield number, message[place : place + value]
        place += value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it: seven bits to a byte."""
    value = 0
    for count, byte in enumerate(message[place : place + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if value >> _BITS:
                break
            return value, place + count + 1
    else:
        if len(message) - place < _MAX_VARINT_BYTES:
            raise CheckpointError("it is cut off")
    raise CheckpointError(f"it has a number of more than {_BITS} bits")
