"""Whisper: the text of speech, from features to segments. The network itself runs in a backend."""
