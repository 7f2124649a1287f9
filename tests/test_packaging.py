"""The distribution is `streamd-voice`; `streamd` on the package index is another project."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
FOR_MODELS = (ROOT / "constraints-models.txt").read_text()
TOOLKIT_EXTRAS = {"mindspore", "torch"}
"""Extras whose packages do not go with the pins of constraints.txt: MindSpore needs NumPy 1."""
OURS = {"streamd", "streamd-voice"}
INSTALLS_A_STRANGER = re.compile(r"\bstreamd\\*\[|pip install (?:\S+ )*'?streamd\b(?!-voice)")


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_nothing_that_is_installed_asks_for_streamd_itself(extra: str | None) -> None:
    assert not names(EXTRAS[extra] if extra else PROJECT["dependencies"]) & OURS


def test_dev_has_all_that_the_tests_and_the_plots_need() -> None:
    assert {*EXTRAS["test"], *EXTRAS["plot"]} <= {*EXTRAS["dev"]}


@pytest.mark.parametrize(
    "text", ["pip install 'streamd[mic]'", "pip install -U streamd", r"needs streamd\\[plot]"]
)
def test_a_hint_to_install_another_package_is_found(text: str) -> None:
    assert INSTALLS_A_STRANGER.search(text)


def test_no_message_and_no_page_says_to_install_another_package() -> None:
    folders = ("streamd", "docs", "config", "clients", "benchmarks", "training")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    pages = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    for file in [*files, *pages]:
        if file.suffix in (".py", ".md", ".toml", ".html", ".js", ".txt", ".sh", ""):
            found = INSTALLS_A_STRANGER.search(file.read_text())
            assert found is None, f"{file}: {found}"


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_every_direct_requirement_is_pinned_within_its_bounds() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    ours = [text for name in EXTRAS.keys() - TOOLKIT_EXTRAS for text in EXTRAS[name]]
    by_name = pins(CONSTRAINTS)
    for requirement in map(Requirement, [*PROJECT["dependencies"], *ours, *build]):
        name = canonicalize_name(requirement.name)
        assert name == "pip" or by_name[name] in requirement.specifier, requirement


def test_what_the_tests_with_toolkits_install_is_pinned_within_its_bounds() -> None:
    chosen = [name for name in EXTRAS if name in {*TOOLKIT_EXTRAS, "modelscope", "test"}]
    wanted = [*PROJECT["dependencies"], *(text for name in chosen for text in EXTRAS[name])]
    by_name = pins(FOR_MODELS)
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name == "pip" or by_name[name] in requirement.specifier, requirement


@pytest.mark.parametrize("text", [CONSTRAINTS, FOR_MODELS], ids=["constraints", "models"])
def test_constraints_are_exact_pins(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==(\d+!)?[\w.]+", line) for line in lines)


FRAMEWORKS = {"torch", "torchaudio", "tensorflow", "mindspore", "funasr", "modelscope", "scipy"}
MOST_BASE_MB = 350
"""Of the packages that a base install brings, without bytecode and pip: 328 MB in 2026-11."""


def test_a_base_install_brings_no_framework_and_stays_small() -> None:
    brought, todo = {}, list(PROJECT["dependencies"])
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name in brought or not (requirement.marker is None or requirement.marker.evaluate()):
            continue
        brought[name] = distribution(name)
        wanted = map(Requirement, brought[name].requires or ())
        todo += [
            str(one) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    assert {"numpy", "onnxruntime", "aiohttp", "rich"} <= brought.keys()
    assert not brought.keys() & FRAMEWORKS
    paths = {
        Path(one.locate_file(file))
        for name, one in brought.items()
        if name != "pip"
        for file in one.files or ()
    }
    size = sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())
    assert size / 1e6 < MOST_BASE_MB
