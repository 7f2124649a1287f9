"""A daemon that sheds no load: a busy machine is not the fault that these tests inject."""

from pathlib import Path

import daemons

UNSHED = {
    "limits__max_load": 0,
    "limits__max_lag_ms": 0,
    "limits__max_loop_lag_ms": 600_000,
}


class Daemon(daemons.Daemon):
    """A real `streamd serve`, which admits every stream and serves it whole, however late."""

    def __init__(self, home: Path, *args: str, **settings: object) -> None:
        super().__init__(home, *args, **{**UNSHED, **settings})
