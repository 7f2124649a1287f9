"""An image without a container engine.

The instructions of a Dockerfile are carried out one after the other. Each stage has a root folder
of its own, in which `bwrap` runs the commands. /usr and Python are this machine's, in the place of
those of the base image.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE_PATH = "/base/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
OF_THE_MACHINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl")
"""What an engine gives every container, and the authorities of the base image."""
OF_CONTAINERS = (
    "CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER", "VOLUME",
)  # fmt: skip
CACHE = "/root/.cache/pip"
OF_PIP = re.compile(
    r"PIP_.*INDEX.*|PIP_FIND_LINKS|.*_proxy|SSL_CERT_.*|REQUESTS_CA_BUNDLE", re.IGNORECASE
)
"""The variables by which this machine's pip reaches its index."""


@dataclass(frozen=True)
class Image:
    """A stage of a Dockerfile, as far as it was carried out."""

    root: Path
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    folder: str = "/"
    settings: dict[str, str] = field(default_factory=dict)
    """Text of the instructions that say how a container runs, by their names."""

    def words(self, instruction: str) -> list[str]:
        """The words of ENTRYPOINT, CMD or the command of HEALTHCHECK, in their exec form."""
        text = self.settings[instruction]
        found: list[str] = json.loads(text[text.index("[") :])
        return found

    @property
    def user(self) -> tuple[int, int]:
        uid, gid = self.settings["USER"].split(":")
        return int(uid), int(gid)


def build(folder: Path, **chosen: str) -> Image:
    """Carry out deploy/Dockerfile below a folder, with these build arguments."""
    from dockerfile_parse import DockerfileParser  # of streamd-voice[services]

    parser = DockerfileParser(str(ROOT / "deploy/Dockerfile"), env_replace=False)
    shared: dict[str, str] = {}
    stages: dict[str, Image] = {}
    image = None
    for step in parser.structure:
        name, value = step["instruction"], step["value"]
        if name == "COMMENT":
            continue
        if name == "FROM":
            words = value.split()
            root = folder / f"stage-{len(stages)}"
            image = Image(root)
            _lay_base(root)
            stages[words[2] if len(words) == 3 else ""] = image
        elif image is None:
            assert name == "ARG"
            shared |= _pairs(value)
        else:
            image = _carry_out(name, value, image, stages, chosen)
            stages = {k: image if v.root == image.root else v for k, v in stages.items()}
    assert image is not None
    assert "PYTHON" in shared
    return image


def _carry_out(
    name: str, value: str, image: Image, stages: dict[str, Image], chosen: dict[str, str]
) -> Image:
    match name:
        case "ARG":
            given = {key: chosen.get(key, text) for key, text in _pairs(value).items()}
            return replace(image, arguments=image.arguments | given)
        case "ENV":
            new = {key: _filled(text, image) for key, text in _pairs(value).items()}
            return replace(image, environment=image.environment | new)
        case "WORKDIR":
            (image.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
            return replace(image, folder=value)
        case "COPY":
            _copy(value, image, stages)
            return image
        case "RUN":
            _run(value, image)
            return image
        case _ if name in OF_CONTAINERS:
            return replace(image, settings=image.settings | {name: value})
        case _:
            raise AssertionError(f"{name} is not carried out here")


def _pairs(value: str) -> dict[str, str]:
    parts = (part.partition("=") for part in shlex.split(value))
    return {name: text for name, _, text in parts}


def _filled(text: str, image: Image) -> str:
    known = image.arguments | image.environment
    return re.sub(r"\$\{?(\w+)\}?", lambda match: known.get(match[1], ""), text)


def _lay_base(root: Path) -> None:
    """Make what the base image brings, as folders and links to this machine's."""
    for name in ("base/bin", "dev", "etc", "proc", "root", "tmp", "usr", "var"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("python", "python3"):
        (root / "base/bin" / name).symlink_to(Path(sys.base_prefix) / "bin/python3")
    if not _is_in_usr(sys.base_prefix):
        (root / sys.base_prefix[1:]).mkdir(parents=True)  # open to every user, unlike a home


def _copy(value: str, image: Image, stages: dict[str, Image]) -> None:
    words = value.split()
    flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    source, target = (word for word in words if not word.startswith("--"))
    there = image.root / os.path.join(image.folder, target).lstrip("/")
    if "from" in flags:
        built = stages[flags["from"]].root / source.lstrip("/")
        shutil.copytree(built, there, symlinks=True, copy_function=os.link)
    else:
        assert source == "."
        for file in context():
            (there / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, there / file)
    if "chown" in flags:
        uid, gid = map(int, flags["chown"].split(":"))
        for path in (there, *there.rglob("*")):
            os.lchown(path, uid, gid)


def context() -> Iterator[Path]:
    """The files that `.dockerignore` leaves of the repository."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return (Path(name) for name in tracked.split("\0") if name and is_sent(name))


def is_sent(name: str) -> bool:
    """Whether a file of the repository is part of the context: the last rule that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule = line.lstrip("!").removeprefix("**/")
        if line and not line.startswith("#"):
            places = [name, *map(str, Path(name).parents)]
            nested = Path(name).parts if line.startswith("**/") else ()
            if any(fnmatch.fnmatchcase(place, rule) for place in (*places, *nested)):
                sent = line.startswith("!")
    return sent


def _run(value: str, image: Image) -> None:
    """Run a command of the build. It may use the network, and pip's cache and configuration."""
    mounts = re.findall(r"--mount=(\S+)", value)
    command = re.sub(r"--mount=\S+\s*", "", value)
    options: list[str] = []
    for mount in mounts:
        parts = dict(part.split("=", 1) for part in mount.split(","))
        match parts["type"]:
            case "cache":
                assert parts["target"] == CACHE
                (image.root / CACHE[1:]).mkdir(parents=True, exist_ok=True)
                options += _bound("--bind", _pip_cache(), CACHE)
            case "secret":
                file = Path(os.environ.get("PIP_CONFIG_FILE", "/etc/pip.conf"))
                options += _bound("--ro-bind", file, parts["target"])
            case kind:
                raise AssertionError(f"a mount of type {kind} is not made here")
    of_pip = {name: value for name, value in os.environ.items() if OF_PIP.fullmatch(name)}
    done = subprocess.run(
        [*sandbox(image, "--bind"), *options, "--chdir", image.folder, "sh", "-ec", command],
        env={"HOME": "/root", **of_pip, **image.environment, **image.arguments},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _pip_cache() -> Path:
    command = [sys.executable, "-m", "pip", "cache", "dir"]
    found = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    found.mkdir(parents=True, exist_ok=True)
    return found


def _is_in_usr(path: str) -> bool:
    return Path(path).is_relative_to("/usr")


def _bound(how: str, source: Path, target: str) -> list[str]:
    return [how, str(source), target] if source.exists() else []


def sandbox(image: Image, how: str) -> list[str]:
    """The command that runs another in the root of an image, which is bound as `how` says."""
    command = ["bwrap", how, str(image.root), "/", "--ro-bind", "/usr", "/usr"]
    if not _is_in_usr(sys.base_prefix):
        command += ["--ro-bind", sys.base_prefix, sys.base_prefix]
    for path in OF_THE_MACHINE:
        command += _bound("--ro-bind", Path(path), path)
    return [
        *command,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--perms",
        "1777",
        "--tmpfs",
        "/tmp",
        "--die-with-parent",
    ]
