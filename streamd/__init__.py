"""streamd: one self-hosted daemon and one socket for voice events."""

__version__ = "0.1.0"
