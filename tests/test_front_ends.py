"""Which front end a stream gets."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamd.front_ends import OFF, PACKAGES, FrontEnds, installed, kind_of
from streamd.types import AudioFormat

ALL = FrontEnds(frozenset(PACKAGES))
STEREO = AudioFormat(channels=2, far_end=1)


def test_a_client_that_asks_for_nothing_gets_what_is_configured() -> None:
    assert kind_of(ALL.in_force(AudioFormat())[0]) == OFF
    configured = FrontEnds(frozenset(PACKAGES), "deep")
    assert kind_of(configured.in_force(AudioFormat())[0]).parts == ("deep",)
    assert kind_of(configured.in_force(AudioFormat(enhance="off"))[0]) == OFF


def test_the_echo_is_cancelled_before_noise_is_suppressed() -> None:
    fmt, warnings = ALL.in_force(AudioFormat(channels=3, far_end=1, enhance="webrtc"))
    assert kind_of(fmt).parts == ("echo", "webrtc")
    assert fmt.described() | {"codec": 0, "rate": 0} == {
        "codec": 0, "rate": 0, "channels": 3, "use": [0, 2], "enhance": "webrtc", "far_end": 1,
    }  # fmt: skip
    assert warnings == []


@pytest.mark.parametrize("enhance", ["webrtc", "deep"])
def test_what_is_not_installed_is_left_out_with_a_warning(enhance: str) -> None:
    fmt, warnings = FrontEnds().in_force(AudioFormat(enhance=enhance))
    assert kind_of(fmt) == OFF
    (warning,) = warnings
    assert enhance in warning
    assert "streamd-voice[enhance]" in warning


def test_the_loudspeaker_is_not_mixed_in_even_where_its_echo_stays() -> None:
    fmt, warnings = FrontEnds(frozenset({"webrtc"})).in_force(STEREO)
    assert (fmt.mixed, fmt.far_end, kind_of(fmt)) == ((0,), None, OFF)
    assert len(warnings) == 1


def test_the_delay_is_that_of_all_parts_and_a_frame() -> None:
    assert OFF.delay_ms == 0
    assert kind_of(ALL.in_force(AudioFormat(enhance="webrtc"))[0]).delay_ms == 16
    assert kind_of(ALL.in_force(AudioFormat(enhance="deep"))[0]).delay_ms == 44
    assert kind_of(ALL.in_force(STEREO)[0]).delay_ms == 18


def test_no_package_of_a_front_end_is_imported_before_a_stream_needs_it() -> None:
    code = (
        "import sys, streamd.compose as c; from streamd.front_ends import *; installed();"
        "print([p for p in PACKAGES.values() if p in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_what_is_installed_is_found() -> None:
    assert installed() <= set(PACKAGES)


@pytest.mark.parametrize("other", ["livekit/api/__init__.py", "unrelated.py"])
def test_another_package_of_the_same_name_is_not_taken_for_the_echo_canceller(
    tmp_path: Path, other: str
) -> None:
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / other).touch()
    code = (
        "import sys, streamd.front_ends as f;"
        f"sys.path[:] = [{str(tmp_path)!r}]; print('echo' in f.installed())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"
