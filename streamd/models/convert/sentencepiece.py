"""Reads the vocabulary out of a SentencePiece model, without SentencePiece and without protobuf.

Such a file is one protobuf message. In the words of its `sentencepiece_model.proto`::

    ModelProto      1: repeated SentencePiece
    SentencePiece   1: string piece   2: float score   3: Type type (1 if absent)

The scores are for cutting text into pieces; nothing here does that.
"""

from __future__ import annotations

from pathlib import Path

from streamd.models.convert.funasr_files import FunAsrFile
from streamd.models.convert.protobuf import fields
from streamd.models.convert.state_pickle import CheckpointError
from streamd.models.pieces import Kind, Pieces

MAX_FILE_BYTES = 2**24
MAX_PIECES = 2**17
MAX_PIECE_BYTES = 512
_PIECE, _TEXT, _TYPE = 1, 1, 3


def read_pieces(path: Path, hint: str) -> Pieces:
    """Read the pieces of a model.

    Args:
        path: the model, at most 16 MiB.
        hint: what to do about a file that is not one, at the end of the message.

    Raises:
        ModelMissing: it is absent, or no such model.
    """
    file = FunAsrFile(path, hint)
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        file.unreadable(error)
    if len(content) > MAX_FILE_BYTES:
        file.refuse(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return _pieces(memoryview(content))
    except CheckpointError as error:
        file.refuse(str(error))


def _pieces(message: memoryview) -> Pieces:
    texts: list[str] = []
    kinds: list[Kind] = []
    for number, value in fields(message):
        if number != _PIECE:
            continue  # how the model was trained and how it prepares text
        if isinstance(value, int) or len(texts) == MAX_PIECES:
            raise CheckpointError(f"it has no pieces, or more than {MAX_PIECES}")
        text, kind = _piece(value)
        texts.append(text)
        kinds.append(kind)
    if not texts:
        raise CheckpointError("it has no pieces")
    if len(set(texts)) != len(texts):
        raise CheckpointError("two pieces are the same")
    return Pieces(tuple(texts), tuple(kinds))


def _piece(message: memoryview) -> tuple[str, Kind]:
    text, kind = "", Kind.NORMAL
    for number, value in fields(message):
        if number == _TEXT and isinstance(value, memoryview):
            if len(value) > MAX_PIECE_BYTES:
                raise CheckpointError(f"a piece has more than {MAX_PIECE_BYTES} bytes")
            try:
                text = bytes(value).decode()
            except UnicodeDecodeError:
                raise CheckpointError("a piece is no UTF-8 text") from None
        elif number == _TYPE:
            if not isinstance(value, int) or value not in Kind.__members__.values():
                raise CheckpointError("a piece is of an unknown kind")
            kind = Kind(value)
    if not text:
        raise CheckpointError("a piece is empty")
    return text, kind
