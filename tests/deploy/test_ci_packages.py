"""`.ci/run` installs the Debian packages that are missing, and no others."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = """#!/bin/sh
[ "$3" = there ] && echo "install ok installed"
"""
WRITES = """#!/bin/sh
echo "$0" "$@" >> "$LOG"
"""
LISTED = """# a comment
gone  # make test
kubernetes-client:kubectl  # make test-services
other:no-such-program
there
"""


def test_a_package_is_installed_unless_it_or_its_program_is_there(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "dpkg-query": INSTALLED, "apt-get": WRITES, "make": WRITES, "sudo": '#!/bin/sh\n"$@"\n',
        "kubectl": WRITES,
    }.items():  # fmt: skip
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / ".ci/packages").write_text(LISTED)
    log = tmp_path / "log"
    subprocess.run(
        ["bash", tmp_path / ".ci/run"],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(log)},
        check=True,
    )
    update, install, make = log.read_text().replace(f"{programs}/", "").splitlines()
    assert update == "apt-get update"
    assert install == "apt-get install --yes --no-install-recommends gone other"
    assert make == "make ci"
