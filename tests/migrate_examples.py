"""The examples of `docs/migrate.md`: clients of other services, run as they are.

    python tests/migrate_examples.py     # rewrite the replies that are different today

A block of `sh` is one curl command and the block of `json` behind it the reply. A block of `python`
is a program, whose first line has its name, and the block of `text` behind it what it prints. The
block of `html` is a page. Nothing but the address of the server is replaced in them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import DEFAULT, RATE_HZ, Daemon, silence, speech
from rest_examples import SERVER, curl, examples, is_same, parsed, shown
from waiting import HANG_S

PAGE = Path(__file__).parents[1] / "docs" / "migrate.md"
PROGRAM = re.compile(
    r"^```python\n(?P<code># (?P<name>\w+\.py)\n.*?)```\n\n```text\n(?P<reply>.*?)```$",
    re.MULTILINE | re.DOTALL,
)
HTML = re.compile(r"^```html\n(?P<code>.*?)```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")
TOLERANCE = 0.021
"""Of scores that a program has rounded: other processors round otherwise."""


def programs(page: str) -> list[re.Match[str]]:
    """Every program of the page with what it prints."""
    return list(PROGRAM.finditer(page))


def prints_the_same(page: str, today: str) -> bool:
    """Whether two outputs differ in nothing but a little in their figures."""
    figures = list(zip(NUMBER.findall(page), NUMBER.findall(today), strict=False))
    return NUMBER.sub("#", page) == NUMBER.sub("#", today) and all(
        abs(float(one) - float(other)) <= TOLERANCE for one, other in figures
    )


@contextmanager
def place() -> Iterator[Path]:
    """A folder with the files that the examples send."""
    half = len(speech()) // 4 * 2
    files = {
        "talk.wav": speech(),
        "ada1.wav": speech()[:half],
        "ada2.wav": speech()[half:],
        "bob.wav": speech("rms", 6),
        "quiet.wav": silence(2),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, pcm in files.items():
            with wave.open(str(folder / file), "wb") as out:
                out.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
                out.writeframes(pcm)
        (folder / "README.md").write_text("# No audio\n")
        yield folder


def at(daemon: Daemon, code: str) -> str:
    """Code with the address of a server in place of the one on the page."""
    address = SERVER.partition("//")[2]
    assert address in code
    return code.replace(address, daemon.http_url.partition("//")[2])


def run(program: re.Match[str], daemon: Daemon, folder: Path) -> str:
    """Run a program as a user would, and return what it prints."""
    file = folder / program["name"]
    file.write_text(at(daemon, program["code"]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, file.name],
        cwd=folder,
        env={**os.environ, "NO_PROXY": "*", "PYTHONPATH": "", "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=HANG_S,
    )
    return done.stdout


def rewritten(page: str, daemon: Daemon, folder: Path) -> str:
    """The page with the replies that are different today."""
    found: list[tuple[re.Match[str], str]] = []
    for example in examples(page):
        reply, old = curl(example["command"], daemon, folder), example["reply"]
        if not old or not is_same(parsed(old, "json"), parsed(reply, "json")):
            found.append((example, shown(reply, "json")))
    for program in programs(page):
        output = run(program, daemon, folder)
        if not prints_the_same(program["reply"], output):
            found.append((program, output))
    for match, reply in sorted(found, key=lambda one: one[0].start(), reverse=True):
        page = page[: match.start("reply")] + reply + page[match.end("reply") :]
    return page


def main() -> None:
    """Rewrite the page."""
    home = Path(tempfile.mkdtemp())
    try:
        with place() as folder, Daemon(home, **DEFAULT, limits__max_lag_ms=0) as daemon:
            text = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(rewritten(text, daemon, folder), encoding="utf-8")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
