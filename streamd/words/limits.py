"""What a wake word may be made from."""

MIN_CLIPS, MAX_CLIPS = 3, 50
"""Recordings of the phrase."""
MAX_CLIP_S = 15.0
"""Length of one recording."""
