"""Rows to the audio of one session: extracts parts, joins rows, applies conditions."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamd.audio.decode import Decoder
from streamd.audio.files import as_pcm16, read
from streamd.audio.resample import Resampler
from streamd.errors import BadManifest, NotAudio
from streamd.evaluation.codecs import NARROW_HZ
from streamd.evaluation.conditions import Conditions, Piece, carry
from streamd.evaluation.manifest import BEYOND_MS, Manifest, Row, beyond
from streamd.types import RATE_HZ, AudioFormat, Samples

PAUSE_MS = 700
"""Silence between two rows of a session, and behind an extracted part: the VAD's hangover of 384 ms
ends the utterance there, and a late event still belongs to its row."""
_PER_MS = RATE_HZ // 1000


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one session."""

    rows: tuple[Row, ...]
    is_whole: bool = False
    """Whether the rows annotate one file, which is used whole; else each row's part is extracted,
    and the parts are joined in their order."""
    lead_out_ms: int = 0
    """Milliseconds after a part in its file that are used too."""

    @property
    def name(self) -> str:
        """For progress and messages."""
        first = self.rows[0]
        return first.session or first.path


class Audio(NamedTuple):
    """A stream, ready to be sent."""

    data: bytes
    format: AudioFormat
    spans: tuple[tuple[int, int], ...]
    """Start and end of each row in it, ms."""
    duration_ms: int


def open_stream(stream: Stream, manifest: Manifest, conditions: Conditions) -> Audio:
    """Decode, extract, join, and apply conditions.

    Raises:
        BadManifest: a row begins or ends beyond its file, or its file is not audio.
        Unavailable: a file cannot be read.
    """
    files: dict[Path, tuple[Samples, bool]] = {}
    for row in stream.rows:
        file = manifest.file(row)
        if file not in files:
            files[file] = _load(file, manifest.where(row))
    if stream.is_whole:
        (samples, is_narrow), *others = files.values()
        assert not others
        spans = [_span(row, len(samples), manifest) for row in stream.rows]
        pieces = [Piece(stream.rows[0].path, 0, len(samples), 0, len(samples))]
    else:
        samples, spans, pieces = _join(stream, files, manifest)
        is_narrow = all(narrow for _, narrow in files.values())
    data, audio = carry(samples, pieces, conditions, is_narrow)
    in_ms = tuple((start // _PER_MS, stop // _PER_MS) for start, stop in spans)
    return Audio(data, audio, in_ms, len(samples) // _PER_MS)


@lru_cache(maxsize=4)
def _load(file: Path, where: str) -> tuple[Samples, bool]:
    """Return all of a file at 16 kHz, and whether it is telephone audio.

    It is decoded and resampled as by a session, and no more: the session that receives it does
    the rest.
    """
    try:
        opened = read(file)
        decoder, resampler = Decoder(opened.format), Resampler(opened.rate_hz)
        parts = [resampler.push(decoder.push(as_pcm16(block))) for block in opened.blocks]
    except NotAudio as error:
        raise BadManifest(f"{where}: {error}") from error
    return np.concatenate([*parts, resampler.tail()]), opened.rate_hz <= NARROW_HZ


def _span(row: Row, count: int, manifest: Manifest) -> tuple[int, int]:
    start = (row.start_ms or 0) * _PER_MS
    stop = count if row.end_ms is None else row.end_ms * _PER_MS
    if start >= count or stop > count + BEYOND_MS * _PER_MS:
        raise BadManifest(f"{manifest.where(row)}: {beyond(row, count // _PER_MS)}")
    return start, min(stop, count)


def _join(
    stream: Stream, files: dict[Path, tuple[Samples, bool]], manifest: Manifest
) -> tuple[Samples, list[tuple[int, int]], list[Piece]]:
    parts: list[Samples] = []
    spans, pieces = [], []
    position = 0
    for number, row in enumerate(stream.rows):
        samples, _ = files[manifest.file(row)]
        start, stop = _span(row, len(samples), manifest)
        used = samples[start : stop + stream.lead_out_ms * _PER_MS]
        is_last = number == len(stream.rows) - 1
        pause = 0 if is_last and row.end_ms is None else PAUSE_MS * _PER_MS
        parts += [used, np.zeros(pause, np.int16)]
        end = position + len(used) + pause
        spans.append((position, position + stop - start))
        seed = f"{row.path} {row.start_ms} {row.end_ms}"
        pieces.append(Piece(seed, position, end, 0, stop - start))
        position = end
    return np.concatenate(parts), spans, pieces
