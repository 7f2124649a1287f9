"""Bounds that the configuration and the protocol share. Imports nothing: commands start fast."""

MAX_SESSION_S = 31_536_000
"""Longest time of a stream that a server may allow, in seconds: a year."""
