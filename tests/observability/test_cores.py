"""The cores that the process may use: a container's quota counts, not the cores that it sees."""

import os
from math import inf
from pathlib import Path

import pytest

from streamd.observability.cores import quota_cpus, usable_cores, usable_cpus


def groups(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/", {"cpu.max": "max 100000\n"}, inf),
        ("0::/", {}, inf),
        ("", {}, inf),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a/b", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
        # A container without a namespace of its own sees the path that its host gave it.
        ("0::/docker/0a1b", {"cpu.max": "300000 100000"}, 3.0),
        (
            "4:memory:/a\n3:cpu,cpuacct:/a\n0::/",
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, inf),
        ("0::/", {"cpu.max": "nonsense"}, inf),
    ],
)
def test_the_narrowest_quota_of_the_groups_counts(
    tmp_path: Path, own: str, files: dict[str, str], cpus: float
) -> None:
    (tmp_path / "own").write_text(own)
    assert quota_cpus(tmp_path / "own", groups(tmp_path / "groups", files)) == cpus


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota_cpus(tmp_path / "missing", tmp_path) == inf


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_no_more_than_the_cores_of_the_process_are_usable() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == [min(before)]
        assert 0 < usable_cpus() <= 1
    finally:
        os.sched_setaffinity(0, before)
