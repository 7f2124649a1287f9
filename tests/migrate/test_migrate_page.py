"""`docs/migrate.md`: clients of other services run unchanged, and get what they read."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from daemons import Daemon, cut, dial, speech
from migrate_examples import HTML, PAGE, PROGRAM, place, prints_the_same, programs, rewritten, run
from needs import lacking, needs
from rest_examples import curl, examples, is_same, parsed
from uploading import SPEECH, ask, post_json
from waiting import HANG_S
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.docs

TEXT = PAGE.read_text(encoding="utf-8")
MOVES = re.findall(
    r"^\| `(\w+://localhost:8000/\S+)` \| `(\w+://127.0.0.1:8765/\S+)` \|$", TEXT, re.M
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with place() as folder:
        yield folder


@pytest.mark.parametrize("example", examples(TEXT), ids=lambda example: example["command"][:60])
def test_every_curl_line_gets_the_reply_of_the_page(
    daemon: Daemon, folder: Path, example: re.Match[str]
) -> None:
    needs("curl")
    reply = curl(example["command"], daemon, folder)
    assert is_same(parsed(example["reply"], "json"), parsed(reply, "json")), (
        f"{reply}; run: python tests/migrate_examples.py"
    )


@pytest.mark.parametrize("program", programs(TEXT), ids=lambda program: program["name"])
def test_every_program_prints_what_the_page_says(
    daemon: Daemon, folder: Path, program: re.Match[str]
) -> None:
    if "import requests" in program["code"] and find_spec("requests") is None:
        lacking("the Python package requests is not installed; `make test` installs it")
    output = run(program, daemon, folder)
    assert prints_the_same(program["reply"], output), (
        f"{output}; run: python tests/migrate_examples.py"
    )


def test_every_block_of_the_page_is_run() -> None:
    # But those in bash, which need a checkpoint of the reader's own.
    kinds = re.findall(r"^```(\w+)$", TEXT, re.MULTILINE)
    assert kinds.count("sh") == kinds.count("json") == len(examples(TEXT)) >= 6
    assert kinds.count("python") == kinds.count("text") == len(programs(TEXT)) >= 5
    assert kinds.count("html") == len(HTML.findall(TEXT)) == 1
    assert set(kinds) == {"sh", "bash", "json", "python", "text", "html"}


def test_nothing_but_the_address_changes(daemon: Daemon) -> None:
    assert len(MOVES) >= 10
    for before, after in MOVES:
        assert urlsplit(before).path == urlsplit(after).path
        answer = ask(daemon, "OPTIONS", urlsplit(after).path)
        assert answer.status == 405, after


def test_a_reply_that_changed_is_rewritten_alone(daemon: Daemon, folder: Path) -> None:
    program = next(one for one in programs(TEXT) if one["name"] == "asr_client.py")
    line = program["reply"]
    changed = TEXT.replace(line, "something else\n")
    part = changed[changed.index("# asr_client.py") - 10 : changed.index("The same without")]
    assert len(PROGRAM.findall(part)) == 1
    assert rewritten(part, daemon, folder) == part.replace("something else\n", line)
    assert not prints_the_same("similarity 0.91 True", "similarity 0.91 False")
    assert not prints_the_same("0.91", "0.94")
    assert prints_the_same("0.91 True", "0.92 True")


def test_health_is_as_the_page_says(daemon: Daemon) -> None:
    root = json.loads(daemon.get("/", Accept="*/*")[2])
    assert (root["status"], root["model_loaded"]) == ("healthy", True)
    assert json.loads(daemon.get("/health")[2])["status"] == "ready"


@pytest.mark.parametrize("name", [None, "voice", "录音.wav"])
async def test_a_form_of_another_library_is_read_alike(daemon: Daemon, name: str | None) -> None:
    """aiohttp states a type for each field, and may send a file without a name."""
    form = aiohttp.FormData()
    form.add_field("threshold", "0.5")
    form.add_field("audio_file", BytesIO(SPEECH), filename=name, content_type="audio/wav")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{daemon.http_url}/detect", data=form) as answer,
    ):
        found = await answer.json()
    assert (found["success"], found["detected"], found["keyword"]) == (True, True, "alexa")


@pytest.mark.parametrize("path", ["/analyze-emotion", "/v1/emotion", "/analyze", "/upload"])
def test_a_base64_client_may_send_a_data_url(daemon: Daemon, path: str) -> None:
    url = "data:audio/wav;base64," + base64.b64encode(SPEECH).decode()
    found = post_json(daemon, path, {"audio": url, "format": "wav"}).json
    assert found["success"] is True
    assert found["data"]["emotion"] == found["emotion"]
    assert 0 < found["data"]["confidence"] == found["confidence"] < 1


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
async def test_a_verification_client_reads_a_result_of_every_piece(
    daemon: Daemon, seconds: float
) -> None:
    url = daemon.url.replace("/v1/stream", "/ws/stream-verify")
    async with asyncio.timeout(HANG_S), dial(url) as socket:
        await socket.send(SPEECH)
        assert await socket.recv() == "reference_set"
        for piece in cut(speech()[: 4 * 32_000], int(32_000 * seconds)):
            await socket.send(piece)
            result = json.loads(await socket.recv())
            assert -1 <= float(result["similarity"]) <= 1
            assert result["verification_result"] in (True, False)
            if "error" in result:
                assert result["error"]["code"] == "too_short"
                assert (result["similarity"], result["verification_result"]) == (0.0, False)


@pytest.mark.parametrize("sent", [{"type": "AUDIO", "audio": "?"}, {"type": "START"}, 7])
def test_an_asr_client_that_waits_for_one_answer_never_hangs(daemon: Daemon, sent: object) -> None:
    url = daemon.url.replace("/v1/stream", "/v1/asr/stream")
    with connect(url, proxy=None) as socket:
        socket.send(json.dumps({"type": "INIT", "config": {}}))
        socket.send(json.dumps(sent))
        answer = json.loads(socket.recv(HANG_S))
        assert answer["type"] == "ERROR"
        assert answer["message"]
        with pytest.raises(ConnectionClosed):
            socket.recv(HANG_S)
