"""The command line: one file per command, and one place that maps errors to exit codes."""

import os

for _name in (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
):
    # Before numpy is imported. streamd has its own compute threads, one per core. Those that
    # numpy starts for a matrix of a few thousand numbers compete with them, at twice the CPU.
    os.environ.setdefault(_name, "1")

from streamd.cli.main import main  # noqa: E402

__all__ = ["main"]
