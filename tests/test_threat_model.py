"""docs/threat-model.md: each line that claims something names a test that there is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
CLAIMS = "| attacker | what holds | test |"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def claims() -> list[str]:
    """The rows of all tables that say what holds."""
    found = []
    for table in TEXT.split("\n\n"):
        head, *rows = table.splitlines()
        if head == CLAIMS:
            found += rows[1:]
    return found


def defined(file: Path) -> set[str]:
    """The tests of a file, and its classes of tests."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_there_are_claims() -> None:
    assert len(claims()) > 30


@pytest.mark.parametrize("row", claims(), ids=lambda row: row.split("|")[2].strip()[:40])
def test_each_claim_names_tests_that_there_are(row: str) -> None:
    *_, cell, _ = row.split("|")
    named = TEST.findall(cell)
    assert named
    assert len(named) == cell.count("`") // 2, f"not a test: {cell}"
    for file, name in named:
        assert name.lower().startswith("test")
        assert name in defined(ROOT / file), f"{file}::{name}"
