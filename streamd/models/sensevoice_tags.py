"""The tags of SenseVoice: pieces of its vocabulary that stand for no text, as `<|HAPPY|>`."""

from __future__ import annotations

from streamd.models.pieces import Pieces

LANGUAGES = ("zh", "en", "yue", "ja", "ko")
NO_SPEECH = "nospeech"
EMOTIONS = ("ANGRY", "DISGUSTED", "FEARFUL", "HAPPY", "NEUTRAL", "SAD", "SURPRISED")
"""In the order of streamd's labels."""
NO_EMOTION = "EMO_UNKNOWN"
EVENTS = {
    "Speech": None,
    "Event_UNK": None,
    "BGM": "music",
    "Laughter": "laughter",
    "Applause": "applause",
    "Cry": "crying",
    "Sneeze": "sneeze",
    "Breath": "breath",
    "Cough": "cough",
    "Sing": "singing",
    "Speech_Noise": "noise",
}
"""Names of the sounds for clients; None for nothing besides speech."""
REQUIRED = (*LANGUAGES, NO_SPEECH, *EMOTIONS, NO_EMOTION, "Speech")


def known_events(pieces: Pieces) -> tuple[str, ...]:
    """Return those of `EVENTS` that a vocabulary has, in their order."""
    tags = pieces.tags()
    return tuple(name for name in EVENTS if name in tags)
