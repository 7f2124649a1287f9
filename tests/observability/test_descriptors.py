"""How many files a process may open; each case is a process of its own."""

import resource
import subprocess
import sys

import pytest

HARD = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)


def allowed(soft: int, hard: int, wanted: int) -> tuple[int, int]:
    """What `allow` returns, and the soft limit after it."""
    script = f"""
import resource
from streamd.observability.descriptors import allow
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(allow({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    returned, in_force = done.stdout.split()
    return int(returned), int(in_force)


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "expected"),
    [
        (256, HARD, 300, HARD),  # the soft limit does not suffice
        (256, HARD, 256, 256),  # it does, and is left alone
        (128, 256, 300, 256),  # not even the hard one does
    ],
)
def test_the_soft_limit_is_raised_only_where_it_does_not_suffice(soft, hard, wanted, expected):
    assert allowed(soft, hard, wanted) == (expected, expected)
