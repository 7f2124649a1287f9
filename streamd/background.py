"""Runs a module as a process behind all others: `python -m streamd.background MODULE [ARGUMENT]`.

The priority falls before the module is imported: loading the libraries of one takes up to a second
of CPU time, which streams may need.
"""

import os
import runpy
import sys
from contextlib import suppress

NICE = 15

if __name__ == "__main__":
    with suppress(OSError):
        os.nice(NICE)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
