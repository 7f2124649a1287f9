"""Whatever the files of a published model hold, a pull says what is wrong and runs nothing.

Each file of a small model is put in the place of a malformed one, in turn: `malformed.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import malformed
import pytest
from waiting import HANG_S

pytestmark = pytest.mark.faults

MOST_MB = 500
"""Memory of a pull of a small model, which is 200 MB of Python packages, and of the largest of the
malformed files in memory."""
MOST_S = 10.0
"""CPU time of one pull; the slowest takes a tenth of a second."""


def test_malformed_files_are_refused_with_a_reason_in_bounded_time_and_memory(tmp_path):
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, malformed.__file__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=HANG_S,
    )
    answers, slowest_s, peak_mb, was_run = json.loads(done.stdout)
    assert not was_run
    assert [what for what, answer in answers.items() if not answer] == []
    for what, answer in answers.items():
        assert len(answer) < 1000, f"{what}: {answer[:300]}"
        assert Path(what.split(", ")[1].split(": ")[0]).name in answer, f"{what}: {answer}"
    assert len(answers) > 130
    assert peak_mb < MOST_MB
    assert slowest_s < MOST_S
