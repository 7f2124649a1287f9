"""Recognises files and other data that a client sends in place of samples."""

from __future__ import annotations

DESCRIPTIONS = {
    "wav": "a RIFF header",
    "aiff": "an AIFF header",
    "webm": "a WebM or Matroska header",
    "mp4": "an MP4 header",
    "ogg": "an Ogg page",
    "flac": "a FLAC header",
    "mp3": "MP3 frames",
    "aac": "AAC frames",
    "json": "JSON text",
}
"""Name of each format in a warning, by its name in the code `looks_like_…`."""

_BYTES = 12
"""Enough for all formats but MP3 without a tag and AAC: `RIFF`, four bytes of length, `WAVE`."""
_HEADER_BYTES = 6
"""Bytes that are read of a frame header of MP3 or AAC."""
_KBIT = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1, layer III
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
)
_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISORS = {3: 1, 2: 2, 0: 4}
"""By the version bits: MPEG-1, 2 and 2.5."""
_ALIKE = ((0, 0xFF), (1, 0xFE), (2, 0x0C))
"""Bits that are equal in all headers of an MP3 or AAC stream: sync, version, layer and rate."""


class Signature:
    """Examines the first bytes of a stream, in messages of any length."""

    def __init__(self) -> None:
        self.looks_like: str | None = None
        """A key of `DESCRIPTIONS`, "" for none of them; None while too few bytes came."""
        self._bytes = b""
        self._wanted = _BYTES

    def push(self, data: bytes | memoryview) -> None:
        """Take the next bytes; only to be called while `looks_like` is None."""
        while self.looks_like is None:
            missing = self._wanted - len(self._bytes)
            self._bytes += data[:missing]
            data = data[missing:]
            if len(self._bytes) < self._wanted:
                return
            self._judge()

    def _judge(self) -> None:
        if self._wanted > _BYTES:
            second = self._bytes[-_HEADER_BYTES:]
            is_alike = all(self._bytes[i] & mask == second[i] & mask for i, mask in _ALIKE)
            if is_alike and _mp3_frame(second):
                self._decide("mp3")
            else:
                self._decide("aac" if is_alike and _aac_frame(second) else "")
        elif name := _by_first_bytes(self._bytes):
            self._decide(name)
        elif frame := _mp3_frame(self._bytes) or _aac_frame(self._bytes):
            # Samples may look like one frame header by chance, but not like two at the right
            # distance.
            self._wanted = frame + _HEADER_BYTES
        else:
            self._decide("")

    def _decide(self, name: str) -> None:
        self.looks_like = name
        self._bytes = b""


def _by_first_bytes(start: bytes) -> str:
    if start[:4] in (b"RIFF", b"RF64") and start[8:] == b"WAVE":
        return "wav"
    if start[:4] == b"FORM" and start[8:] in (b"AIFF", b"AIFC"):
        return "aiff"
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if start[4:8] == b"ftyp":
        return "mp4"
    if start[:5] == b"OggS\0":
        return "ogg"
    if start[:4] == b"fLaC":
        return "flac"
    if start[:3] == b"ID3" and start[3] in (2, 3, 4) and all(byte < 0x80 for byte in start[6:10]):
        return "mp3"
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    if is_text and start[:1] == b"{" and start[1:].lstrip()[:1] == b'"':
        return "json"
    return ""


def _mp3_frame(header: bytes) -> int:
    """Return the length of the frame of an MPEG layer III header; 0 if it is no header."""
    sync, second, third = header[0], header[1], header[2]
    version, layer = second >> 3 & 3, second >> 1 & 3
    kbit, rate = third >> 4, third >> 2 & 3
    if sync != 0xFF or second < 0xE0 or version == 1 or layer != 1:
        return 0
    if kbit in (0, 15) or rate == 3:
        return 0
    is_first = version == 3
    rate_hz = _RATES_HZ[rate] // _RATE_DIVISORS[version]
    bits = (144 if is_first else 72) * _KBIT[not is_first][kbit] * 1000
    return bits // rate_hz + (third >> 1 & 1)


def _aac_frame(header: bytes) -> int:
    """Return the length of the frame of an ADTS header; 0 if it is no header."""
    if header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size > _BYTES else 0
