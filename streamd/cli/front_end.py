"""Options of the audio front end."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
import typer

from streamd.errors import BadConfig, UnsupportedAudio, WrongUsage
from streamd.protocol.messages import Hello, parse
from streamd.types import AudioFormat, Enhance


def known_enhance(name: str | None) -> Enhance | None:
    """Return the noise suppression of this name.

    Raises:
        WrongUsage: There is none.
    """
    known: dict[str, Enhance] = {kind: kind for kind in get_args(Enhance)}
    if name is not None and name not in known:
        raise WrongUsage(f"--enhance: unknown {name!r}; available: {', '.join(known)}")
    return None if name is None else known[name]


EnhanceOption = Annotated[
    str | None,
    typer.Option(
        "--enhance",
        help="Noise suppression: off, webrtc or deep; default: session.enhance of the "
        "configuration.",
        callback=known_enhance,
    ),
]
FarEndOption = Annotated[
    int | None,
    typer.Option(
        "--far-end",
        help="Channel, from 0, with what the loudspeaker plays: its echo is cancelled.",
        min=0,
    ),
]


def asked(enhance: str | None, far_end: int | None = None) -> dict[str, Any]:
    """Return the fields of `hello.audio` that the options set."""
    given = {"enhance": enhance, "far_end": far_end}
    return {name: value for name, value in given.items() if value is not None}


def with_front_end(fmt: AudioFormat, enhance: str | None, far_end: int | None) -> AudioFormat:
    """Return a format with the front end of the options.

    Raises:
        WrongUsage: The audio has no such channel beside another.
    """
    audio = {**msgspec.to_builtins(fmt), **asked(enhance, far_end)}
    try:
        hello = parse({"type": "hello", "audio": audio})
    except (UnsupportedAudio, BadConfig) as error:
        raise WrongUsage(str(error)) from None
    assert isinstance(hello, Hello)
    return hello.audio
