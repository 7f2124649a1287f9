"""What the tests of faults share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unshed import Daemon


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons that shed no load: `serve(limits__idle_s=1)`. They end with the test."""
    started: list[Daemon] = []

    def start(*args: str, **settings: object) -> Daemon:
        home = tmp_path / f"daemon-{len(started)}"
        home.mkdir()
        started.append(Daemon(home, *args, **settings).__enter__())
        return started[-1]

    yield start
    for running in started:
        running.__exit__()
