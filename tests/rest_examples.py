"""The examples of `docs/rest.md`: each command is run, and its reply is that of the page.

    python tests/rest_examples.py        # rewrite the replies that are different today

A block of `sh` is one curl command. The block behind it is the reply: JSON, or server-sent events
as text. Figures may differ a little, and times of day altogether.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from daemons import DATA, DEFAULT, VOICES, Daemon
from fakes.keys import store_of
from fakes.own_words import word
from waiting import HANG_S

PAGE = Path(__file__).parents[1] / "docs" / "rest.md"
EXAMPLE = re.compile(
    r"^```sh\n(?P<command>curl [^\n]*)\n```\n\n```(?P<kind>json|text)\n(?P<reply>.*?)```$",
    re.MULTILINE | re.DOTALL,
)
QUIETLY = ("--silent", "--show-error", "--noproxy", "*")
SERVER = "http://127.0.0.1:8765"
VOLATILE = {"processing_time_ms", "created_ms", "done_ms", "id", "audit"}
TOLERANCE = 2e-3
"""Of scores: other processors round otherwise."""


def examples(page: str) -> list[re.Match[str]]:
    """Every command of the page with its reply."""
    return list(EXAMPLE.finditer(page))


def is_same(page: Any, today: Any, name: str = "") -> bool:
    """Whether two replies say the same."""
    if name in VOLATILE:
        return type(page) is type(today)
    if isinstance(page, dict) and isinstance(today, dict):
        return page.keys() == today.keys() and all(is_same(page[k], today[k], k) for k in page)
    if isinstance(page, list) and isinstance(today, list):
        return len(page) == len(today) and all(map(is_same, page, today))
    if isinstance(page, float) and isinstance(today, float):
        return abs(page - today) <= TOLERANCE
    if name == "timestamp" and isinstance(page, str):
        return isinstance(today, str)
    return bool(page == today)


def parsed(reply: str, kind: str) -> Any:
    """A reply as values; of server-sent events, the names and data without repeated progress."""
    if kind == "json":
        return json.loads(reply)
    events = [block.split("\n", 1) for block in reply.strip().split("\n\n")]
    found = [
        [name.removeprefix("event: "), json.loads(data.removeprefix("data: "))]
        for name, data in events
    ]
    return [
        one
        for one, after in zip(found, [*found[1:], None], strict=True)
        if not (after is not None and one[0] == after[0] == "progress")
    ]


def shown(reply: str, kind: str) -> str:
    """A reply as the page has it: a field or an item on each line."""
    if kind == "text":
        return reply.strip() + "\n"
    value = json.loads(reply)
    if isinstance(value, list):
        return "[\n" + ",\n".join("  " + _compact(item) for item in value) + "\n]\n"
    lines = []
    for name, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            inner = ",\n".join("    " + _compact(one) for one in item)
            lines.append(f'  "{name}": [\n{inner}\n  ]')
        else:
            lines.append(f'  "{name}": {_compact(item)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def run_all(page: str) -> Iterator[tuple[re.Match[str], str]]:
    """Run every command in a folder that has the files, and yield its reply."""
    with tempfile.TemporaryDirectory() as folder:
        place, home = Path(folder) / "files", Path(folder) / "home"
        place.mkdir()
        home.mkdir()
        shutil.copy(DATA / "speech_slt.flac", place / "talk.flac")
        shutil.copy(DATA / "speech_rms.flac", place / "other.flac")
        for name, voice in zip("abcd", VOICES, strict=False):
            shutil.copy(DATA / f"phrase_{voice}.flac", place / f"{name}.flac")
        (place / "README.md").write_text("# No audio\n")
        with closing(store_of(home)) as store:
            store.add_word(word("hey_lantern"))
        with Daemon(home, **DEFAULT, limits__max_lag_ms=0) as daemon:
            for example in examples(page):
                yield example, curl(example["command"], daemon, place)


def curl(command: str, daemon: Daemon, place: Path) -> str:
    """Run one curl command in a folder, against a server of its own, and return its reply."""
    is_tls = daemon.http_url.startswith("https:")
    trusted = ["--cacert", os.environ["SSL_CERT_FILE"]] if is_tls else []
    done = subprocess.run(
        [*shlex.split(command.replace(SERVER, daemon.http_url)), *QUIETLY, *trusted],
        cwd=place,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=HANG_S,
    )
    return done.stdout


def rewritten(page: str, replies: list[tuple[re.Match[str], str]]) -> str:
    """The page with the replies that are different today."""
    for example, reply in reversed(replies):
        kind, old = example["kind"], example["reply"]
        if not old or not is_same(parsed(old, kind), parsed(reply, kind)):
            page = (
                page[: example.start("reply")] + shown(reply, kind) + page[example.end("reply") :]
            )
    return page


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(rewritten(text, list(run_all(text))), encoding="utf-8")
