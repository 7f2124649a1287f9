"""The command line: one file a command, errors to exit codes in one place."""

from streamd.cli.main import main

__all__ = ["main"]
