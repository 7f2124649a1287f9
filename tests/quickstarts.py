"""The commands of `docs/start` and `docs/recipes`, run as a reader would, and what they print.

    python tests/quickstarts.py     # rewrite the output that is different today

Blocks of `sh` run in the order of the page, in a folder that looks like a checkout. Blocks of
`bash` do not: they start servers, or need a microphone or another machine. A block of `python`
behind the words “Save this as `NAME`” is that file. A block of `json` or `text` directly behind a
block of `sh` is its output. Only the address of the server is replaced.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemons import DEFAULT, Daemon, environment
from migrate_examples import prints_the_same
from rest_examples import is_same, shown
from waiting import HANG_S

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page for name in ("start", "recipes") for page in (ROOT / "docs" / name).glob("*.md")
)
STEP = re.compile(
    r"[Ss]ave (?:this|it)\s+as\s+`(?P<name>[\w.]+)`[^\n]*\n\n```python\n(?P<code>.*?)```"
    r"|^```sh\n(?P<command>.*?)```\n(?:\n```(?P<kind>json|text)\n(?P<reply>.*?)```$)?",
    re.MULTILINE | re.DOTALL,
)
BEGIN = """
set -euo pipefail
streamd() {
  if [[ $1 == stream ]]; then command streamd "$@" --url "$STREAM"; else command streamd "$@"; fi
}
curl() { command curl --noproxy '*' "$@"; }
"""
"""What makes the commands of a page reach the server of a test, on whatever port."""


def steps(page: str) -> list[re.Match[str]]:
    """The files and commands of a page, in order."""
    return list(STEP.finditer(page))


def checkout(folder: Path, daemon: Daemon) -> None:
    """What the commands use of a checkout."""
    (folder / "tests").mkdir()
    (folder / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    shutil.copy(ROOT / "README.md", folder)
    recipes = folder / "docs" / "recipes"
    recipes.mkdir(parents=True)
    for program in (ROOT / "docs" / "recipes").glob("*.py"):
        text = program.read_text(encoding="utf-8")
        (recipes / program.name).write_text(here(daemon, text), encoding="utf-8")


def forget_everybody(daemon: Daemon) -> None:
    """Delete every voice, so that a page starts with none."""
    for one in json.loads(daemon.get("/v1/speakers")[2])["speakers"]:
        url = f"{daemon.http_url}/v1/speakers/{one['speaker']}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=HANG_S).close()


def here(daemon: Daemon, text: str) -> str:
    """Commands or code with the address of a server in place of the one on the page."""
    stream = daemon.url.removesuffix("/v1/stream")
    return text.replace("http://127.0.0.1:8765", daemon.http_url).replace(
        "ws://127.0.0.1:8765", stream
    )


def run(page: str, daemon: Daemon) -> Iterator[tuple[re.Match[str], str]]:
    """Run a page from its top, and yield each command with what it prints."""
    programs = Path(sys.executable).parent
    env = environment(daemon.home, **DEFAULT) | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "STREAM": daemon.url,
        "NO_PROXY": "*",
        "TERM": "dumb",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout(folder, daemon)
        for step in steps(page):
            if step["name"]:
                (folder / step["name"]).write_text(here(daemon, step["code"]), encoding="utf-8")
                continue
            script = BEGIN + here(daemon, step["command"])
            done = subprocess.run(
                ["bash", "-c", script], cwd=folder, env=env, check=False,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S,
            )  # fmt: skip
            assert done.returncode == 0, f"{step['command']}\n{done.stdout}\n{done.stderr}"
            yield step, done.stdout


def is_like(step: re.Match[str], output: str) -> bool:
    """Whether a command still prints what the page says."""
    if step["kind"] == "json":
        return is_same(_values(step["reply"]), _values(output))
    return prints_the_same(step["reply"], output)


def _values(text: str) -> Any:
    """One JSON value, or lines of events by type: no order between types is promised."""
    try:
        events = [json.loads(text)]
    except ValueError:
        events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        event.pop("seq", None)
    return sorted(events, key=lambda event: (event.get("type", ""), event.get("at", 0)))


def rewritten(page: str, daemon: Daemon) -> str:
    """The page with the output that is different today."""
    for step, output in reversed(list(run(page, daemon))):
        if not step["kind"]:
            continue
        try:
            is_right = is_like(step, output)
        except ValueError:
            is_right = False
        if not is_right:
            is_reply = output.startswith('{"processing_time_ms"')
            reply = shown(output, "json") if is_reply else output
            page = page[: step.start("reply")] + reply + page[step.end("reply") :]
    return page


def main() -> None:
    """Rewrite the pages."""
    home = Path(tempfile.mkdtemp())
    try:
        with Daemon(home, **DEFAULT, limits__max_lag_ms=0) as daemon:
            for path in PAGES:
                forget_everybody(daemon)
                path.write_text(rewritten(path.read_text("utf-8"), daemon), encoding="utf-8")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
