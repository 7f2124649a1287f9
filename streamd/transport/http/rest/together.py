"""Several files of one request: read at once where they are short, and told of as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from streamd.files.sessions import Progress
from streamd.transport.http.rest.forms import File, Form


class TotalProgress:
    """Adds up how much of each file was read, so that what is reported never falls.

    Args:
        report: Takes the sum. The length of all files is not known before the last has come.
    """

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._sum_ms = 0

    def of_one(self) -> Progress:
        """Return what takes the progress of one more file."""
        before_ms = 0

        async def progress(done_ms: int, total_ms: int | None) -> None:
            nonlocal before_ms
            self._sum_ms += done_ms - before_ms
            before_ms = done_ms
            await self._report(self._sum_ms, None)

        return progress


async def read_all(form: Form, at_once: int, read: Callable[[int, File], Awaitable[None]]) -> None:
    """Read every file of a request, several of them at once.

    A file that is in memory is read beside the others. A long one is read while it comes, before
    the next of the request is looked at. So at most `at_once` files are in work, and at most
    `at_once` times `HELD_BYTES` are kept beyond those that the form keeps.

    Args:
        form: Has the files.
        at_once: Most files in work.
        read: Reads one file, given its number from 0.

    Raises:
        Exception: The first that `read` raises; the other files are then given up.
        BadInput: The body is malformed.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(number: int, file: File) -> None:
        try:
            await read(number, file)
        finally:
            form.release(file)
            slots.release()

    try:
        async with asyncio.TaskGroup() as group, aclosing(form.files()) as files:
            number = 0
            async for file in files:
                await slots.acquire()
                if await form.hold(file):
                    group.create_task(one(number, file))
                else:
                    await one(number, file)
                number += 1
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None
