"""The toolkits are those of the pins, and run beside streamd in one environment."""

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from needs import toolkit

PINS = dict(
    re.findall(
        r"^([\w.-]+)==(\S+)$",
        (Path(__file__).parents[2] / "constraints-models.txt").read_text(),
        re.MULTILINE,
    )
)
TOOLKITS = ("funasr", "mindspore", "modelscope", "torch")


@pytest.mark.parametrize("name", TOOLKITS)
def test_a_toolkit_has_the_version_of_its_pin(name: str) -> None:
    toolkit(name)
    assert version(name).partition("+")[0] == PINS[name]


def test_mindspore_computes_with_this_numpy() -> None:
    mindspore = toolkit("mindspore")
    tensor = mindspore.Tensor(np.arange(4, dtype=np.float32))
    assert (tensor + 1).asnumpy().tolist() == [1, 2, 3, 4]
