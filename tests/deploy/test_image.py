"""The image that deploy/Dockerfile describes, built and run as an engine would, without one."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Container, run
from daemons import DATA
from images import Image, build
from needs import name_spaces, needs

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]

ANALYZE = """
import os, sys, time, urllib.error, urllib.request
url = "http://127.0.0.1:8765/v1/analyze"
request = urllib.request.Request(url, open("/data/talk.flac", "rb").read())
request.add_header("X-API-Key", os.environ["STREAMD_KEY"])
for left in range(10, -1, -1):
    try:
        sys.stdout.write(urllib.request.urlopen(request).read().decode())
        break
    except urllib.error.HTTPError as error:
        # A decoder may have been killed a moment ago; then the server asks for the file again.
        if error.code != 503 or not left:
            raise
        time.sleep(int(error.headers["Retry-After"]))
"""
KILL_DECODERS = r"""
import os, pathlib
for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"decoding.worker\0" in file.read_bytes():
        os.kill(int(file.parent.name), 9)
        print("killed")
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    needs("nsenter", "setpriv")
    if os.geteuid() != 0:
        pytest.skip("the image's user is another one, which takes root")
    name_spaces("--unshare-pid", "--as-pid-1", "--unshare-net", "--unshare-ipc", "--unshare-uts")
    folder = tmp_path_factory.mktemp("image")
    yield build(folder)
    shutil.rmtree(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(DATA / "speech_slt.flac", folder / "talk.flac")
    return folder


def test_without_a_key_the_container_says_how_to_make_one(image: Image, data: Path) -> None:
    code, _, said = run(image, data)
    assert code == 3
    assert "streamd keys create NAME" in said


def test_a_container_with_a_read_only_root_and_no_rights_serves(image: Image, data: Path) -> None:
    code, key, _ = run(image, data, "keys", "create", "kitchen")
    assert code == 0
    with Container(image, data) as container:
        assert container.listening() == "listening on http://0.0.0.0:8765"
        healthy = container.exec(*image.words("HEALTHCHECK"))
        assert (healthy.returncode, healthy.stdout) == (0, "ready\n")
        assert container.exec("id", "--user").stdout == "65532\n"
        for path in ("/new", "/etc/new", "/opt/streamd/new", "/models/new"):
            assert container.exec("touch", path).returncode != 0, path

        spoken = container.exec(
            *("streamd", "stream", "/data/talk.flac", "--fast", "--json"), STREAMD_KEY=key.strip()
        )
        assert spoken.returncode == 0, spoken.stderr
        assert '"speech_end"' in spoken.stdout
        analyzed = container.exec("python", "-c", ANALYZE, STREAMD_KEY=key.strip())
        assert '"speech_end"' in analyzed.stdout, analyzed.stderr
        verified = container.exec("streamd", "models", "verify")
        assert verified.returncode == 0, verified.stdout

        assert container.stop()[0] == 0
    assert {"audit.jsonl", "key", "streamd.db"} <= {file.name for file in data.iterdir()}


def test_the_first_process_leaves_no_zombie_of_a_decoder(image: Image, data: Path) -> None:
    _, key, _ = run(image, data, "keys", "create", "kitchen")
    with Container(image, data) as container:
        container.listening()
        for _ in range(2):
            done = container.exec("python", "-c", ANALYZE, STREAMD_KEY=key.strip())
            assert done.returncode == 0, done.stderr
            killed = container.exec("python", "-c", KILL_DECODERS)
            assert killed.stdout == "killed\n", killed.stderr
        done = container.exec("python", "-c", ANALYZE, STREAMD_KEY=key.strip())
        assert done.returncode == 0, done.stderr
        assert [line for line in container.processes() if line.endswith(" Z")] == []
        assert container.stop()[0] == 0


def test_the_first_process_can_be_stopped_before_it_serves(image: Image, data: Path) -> None:
    with Container(image, data, "keys", "wait") as container:
        assert container.process.stderr is not None
        assert "Waiting for an API key" in container.process.stderr.readline()
        assert container.stop()[0] == 128 + signal.SIGTERM


def test_the_wait_ends_with_the_first_key(image: Image, data: Path) -> None:
    with Container(image, data, "keys", "wait") as container:
        assert container.process.stderr is not None
        assert "Waiting for an API key" in container.process.stderr.readline()
        assert container.exec("streamd", "keys", "create", "kitchen").returncode == 0
        assert container.ended()[0] == 0


def test_configuration_and_certificate_come_from_the_volume(image: Image, data: Path) -> None:
    code, lines, _ = run(image, data, "keys", "certificate", "--host", "streamd")
    assert code == 0
    (data / "streamd.toml").write_text(lines + "port = 8766\n")
    run(image, data, "keys", "create", "kitchen")
    with Container(image, data) as container:
        assert container.listening() == "listening on https://0.0.0.0:8766"
        assert container.exec(*image.words("HEALTHCHECK")).stdout == "ready\n"
