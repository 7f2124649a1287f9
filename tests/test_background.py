"""Processes behind all others have their low priority before they import anything."""

import os
import subprocess
import sys
from pathlib import Path

from streamd.background import NICE


def test_a_module_is_imported_at_low_priority_and_gets_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import os, sys\nat_import = os.nice(0)\n"
        "if __name__ == '__main__':\n    print(at_import, *sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "streamd.background", "job", "a", "b c"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    nice = min(os.nice(0) + NICE, 19)
    assert done.stdout.split(maxsplit=1) == [str(nice), "a b c\n"]
