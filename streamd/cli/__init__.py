"""The command line: one file a command, errors to exit codes in one place."""

import os

for _name in (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
):
    # Before numpy is imported. streamd has compute threads of its own, one per core: those that
    # numpy starts for a matrix of a few thousand numbers only fight with them, at twice the CPU.
    os.environ.setdefault(_name, "1")

from streamd.cli.main import main  # noqa: E402

__all__ = ["main"]
