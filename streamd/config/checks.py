"""What must hold between keys; each key alone is checked by its type."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from streamd.config.sections import Sections

_NOT_ABOVE = (
    ("vad.off", "vad.on"),
    ("speaker.new", "speaker.assign"),
    ("speaker.thresholds.wide.reject", "speaker.thresholds.wide.accept"),
    ("speaker.thresholds.narrow.reject", "speaker.thresholds.narrow.accept"),
)


def contradictions(config: Sections) -> Iterator[tuple[tuple[str, ...], str]]:
    """Pairs of (keys involved, the one at fault first; what is wrong with that one)."""
    for low, high in _NOT_ABOVE:
        low_value, high_value = attrgetter(low)(config), attrgetter(high)(config)
        if low_value > high_value:
            yield (low, high), f"{low_value} is above {high} = {high_value}"

    loaded = ", ".join(config.wake.load) or "empty"
    for key in ("words", "thresholds", "patiences"):
        for word in getattr(config.wake, key):
            if word not in config.wake.load:
                named = "wake.words" if key == "words" else f"wake.{key}.{word}"
                yield (named, "wake.load"), f"{word!r} is not in wake.load ({loaded})"
    if config.wake.load and not config.wake.words:
        yield (
            ("wake.words", "wake.load"),
            "empty: name what a client listens for that names no word; to have no wake words "
            "at all, empty wake.load too",
        )
