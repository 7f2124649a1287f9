"""Landlock: Linux keeps this process from files, TCP and signals, even if a file takes it over.

A limit on descriptors keeps honest code from opening a file. Code that a malformed file smuggles in
could close a descriptor first, and read the store and its key, which belong to the same user.
See https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""Numbers of the system calls, on every machine that streamd has wheels for."""
_ASK_FOR_VERSION = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Rights on files and folders that the kernel knows, by the first version that knows as many."""
_TCP_RIGHTS = 2
"""To bind and to connect, from version 4 on."""
_SCOPES = 2
"""Abstract sockets of others and signals to them, from version 6 on."""
_WITH_TCP, _WITH_SCOPES = 4, 6


def version() -> int:
    """Return the version of Landlock that this kernel has; 0 for none."""
    if sys.platform != "linux":
        return 0
    found: int = ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _ASK_FOR_VERSION)
    return max(found, 0)


def restrict() -> bool:
    """Give up all rights that Landlock knows, for this thread and those that it starts.

    It takes a file descriptor for a moment. `no_new_privs` must be set.

    Returns:
        Whether the kernel does it.
    """
    known = version()
    if not known:
        return False
    files = max(count for since, count in _FILE_RIGHTS.items() if since <= known)
    fields = [_all(files)]
    if known >= _WITH_TCP:
        fields.append(_all(_TCP_RIGHTS))
    if known >= _WITH_SCOPES:
        fields.append(_all(_SCOPES))
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    system = ctypes.CDLL(None)
    ruleset: int = system.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        return bool(system.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _all(count: int) -> int:
    """Return the lowest bits, so many."""
    return (1 << count) - 1
