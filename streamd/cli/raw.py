"""Options of raw audio on stdin, which has no header to say what it is."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import typer

from streamd.errors import WrongUsage
from streamd.types import Codec

RateOption = Annotated[
    int | None,
    typer.Option(help="Sample rate of raw audio on stdin, in Hz.", show_default="16000"),
]
ChannelsOption = Annotated[
    int | None,
    typer.Option(help="Interleaved channels of raw audio on stdin.", show_default="1"),
]
OPUS = "opus"
_CODECS = ", ".join(codec for codec in get_args(Codec) if codec != OPUS)
CODEC_HELP = f"Codec of raw audio on stdin: {_CODECS}."
CodecOption = Annotated[
    str | None,
    typer.Option(
        help=CODEC_HELP,
        show_default="pcm_s16le",
    ),
]


def raw_format(
    file: str, rate: int | None, channels: int | None, codec: str | None
) -> dict[str, Any]:
    """Return `hello.audio` for raw audio.

    Raises:
        WrongUsage: An option is given with a file, whose header says it; or the codec is Opus.
    """
    given = {"--rate": rate, "--channels": channels, "--codec": codec}
    if codec == OPUS:
        raise WrongUsage(
            "--codec opus is for `streamd stream FILE`, which sends the packets of an Opus file as "
            "they are; a pipe does not say where a packet ends"
        )
    for option, value in given.items():
        if value is not None and file != "-":
            raise WrongUsage(
                f"{option} is for raw audio on stdin (-); {file} is decoded as its header says"
            )
    return {
        "codec": codec or "pcm_s16le",
        "rate": 16_000 if rate is None else rate,
        "channels": 1 if channels is None else channels,
    }
