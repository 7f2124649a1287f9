"""The quick starts and recipes do what their pages say."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import DATA, DEFAULT, Daemon
from needs import needs
from quickstarts import PAGES, ROOT, STEP, forget_everybody, is_like, run, steps
from rest_examples import curl

pytestmark = pytest.mark.docs

NAMES = {page: page.relative_to(ROOT / "docs").as_posix() for page in PAGES}
RUN = [page for page in PAGES if steps(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("home"), **DEFAULT, limits__max_lag_ms=0) as daemon:
        yield daemon


@pytest.mark.parametrize("page", RUN, ids=NAMES.get)
def test_every_command_prints_what_the_page_says(daemon: Daemon, page: Path) -> None:
    needs("bash", "curl")
    forget_everybody(daemon)
    for step, output in run(page.read_text(encoding="utf-8"), daemon):
        if step["kind"]:
            assert is_like(step, output), (
                f"{step['command']}\n{output}\nrun: python tests/quickstarts.py"
            )


@pytest.mark.parametrize("page", RUN, ids=NAMES.get)
def test_every_block_of_a_page_is_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = list(STEP.finditer(text))
    run_blocks = sum(1 + bool(step["kind"]) for step in found)
    assert run_blocks == len(re.findall(r"^```(?:sh|python|json|text)$", text, re.MULTILINE))


def test_home_assistant_sends_what_the_server_understands(daemon: Daemon) -> None:
    """The two commands of the file, with the templates filled in as Home Assistant does."""
    needs("curl")
    yaml = pytest.importorskip("yaml")
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!secret", lambda _, node: f"secret {node.value}")
    text = (ROOT / "docs" / "recipes" / "home_assistant.yaml").read_text(encoding="utf-8")
    parts = yaml.load(text, Loader=loader)
    address = "http://192.168.1.20:8765"

    command = parts["shell_command"]["streamd_identify"]
    command = command.replace("{{ file }}", shlex.quote(str(DATA / "speech_slt.flac")))
    command = command.replace("--header @/config/streamd_key", "").replace(address, daemon.http_url)
    assert "decision" in json.loads(curl(command, daemon, ROOT))

    mood = parts["rest_command"]["streamd_mood"]
    assert mood["method"] == "post"
    body = json.loads(mood["payload"].replace("{{ audio }}", "UklGRg=="))
    assert body == {"audio": "UklGRg==", "format": "wav"}
    assert mood["url"] == f"{address}/v1/emotion"
    assert mood["headers"] == {"Authorization": "secret streamd_authorization"}

    (automation,) = parts["automation"]
    action = automation["actions"][0]
    assert action["action"].split(".") == ["shell_command", "streamd_identify"]
    assert action["data"].keys() == {"file"}
