"""The names of fields that are files."""

AUDIO_FIELDS = ("audio", "file", "audio_file")
"""Names that a client may give the one file of a request."""
FILE_FIELDS = frozenset({*AUDIO_FIELDS, "reference", "test", "tests", "clips"})
"""Fields of multipart that are files, even without a file name."""
MAX_PARTS = 1000
"""Fields and files of one request."""
