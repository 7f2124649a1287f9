"""Every folder is found by one rule, also by a user without a home or a name."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from daemons import DATA, STREAMD

import streamd
from streamd.errors import ConfigError
from streamd.models.library import default_directory
from streamd.places import absolute, data_dir, eval_dir, key_path, models_dir, store_path

NOBODY_ID = 54_321
HOME = {"HOME": "/home/u"}
FOLDERS: dict[str, tuple[Callable[[Mapping[str, str]], Path], str, str, str, str]] = {
    "data": (
        data_dir,
        "STREAMD_DATA",
        "XDG_DATA_HOME",
        ".local/share/streamd",
        "Library/Application Support/streamd",
    ),
    "models": (
        models_dir,
        "STREAMD_MODELS",
        "XDG_CACHE_HOME",
        ".cache/streamd/models",
        "Library/Caches/streamd/models",
    ),
    "eval": (
        eval_dir,
        "",
        "XDG_CACHE_HOME",
        ".cache/streamd/eval",
        "Library/Caches/streamd/eval",
    ),
}


@pytest.mark.parametrize(
    ("folder", "variable", "xdg", "usual", "macos"), FOLDERS.values(), ids=FOLDERS
)
def test_a_folder_is_where_the_environment_says(
    folder: Callable[[Mapping[str, str]], Path],
    variable: str,
    xdg: str,
    usual: str,
    macos: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert folder(HOME) == Path("/home/u", usual)
    assert folder({**HOME, xdg: "relative"}) == Path("/home/u", usual)
    last = usual.partition("streamd")[2]
    for platform in ("darwin", "linux"):
        monkeypatch.setattr("sys.platform", platform)
        assert folder({**HOME, xdg: "/x"}) == Path(f"/x/streamd{last}")
        if variable:
            assert folder({**HOME, variable: "/d", xdg: "/x"}) == Path("/d")
            assert folder({**HOME, variable: "~/d"}) == Path("/home/u/d")
            assert folder({**HOME, variable: "~"}) == Path("/home/u")
            assert folder({variable: "d"}) == Path.cwd() / "d"
            assert folder({**HOME, variable: ""}) == folder(HOME)
    monkeypatch.setattr("sys.platform", "darwin")
    assert folder(HOME) == Path("/home/u", macos)


def test_without_the_variable_the_home_is_that_of_the_user() -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert absolute("~/x", Path("/b"), {}) == home / "x"
    assert absolute("~root/x", Path("/b"), HOME) == Path(pwd.getpwnam("root").pw_dir, "x")
    assert absolute("x/~", Path("/b"), HOME) == Path("/b/x/~")
    with pytest.raises(ConfigError, match="no user 'nobody-at-all'"):
        absolute("~nobody-at-all/x", Path("/b"), HOME)


def test_store_and_key_are_in_the_data_directory_unless_the_store_is_named() -> None:
    environ = {"STREAMD_DATA": "/d"}
    assert store_path("", environ) == Path("/d/streamd.db")
    assert store_path("/v/voices.db", environ) == Path("/v/voices.db")
    assert key_path(environ) == Path("/d/key")
    assert key_path(environ, "/run/secrets/key") == Path("/run/secrets/key")


def test_a_user_without_a_home_reads_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for folder, variable, xdg, *_ in FOLDERS.values():
        named = f"set {variable} or {xdg}" if variable else f"set {xdg}"
        with pytest.raises(ConfigError, match=f"no home directory: {named}"):
            folder({})
    with pytest.raises(ConfigError, match="set HOME"):
        absolute("~/x", Path("/b"), {})


def test_no_other_file_looks_for_a_home_or_a_folder_of_the_user() -> None:
    root = Path(streamd.__file__).parent
    words = ("Path.home", "expanduser", '"HOME"', '".cache"', "Library/Caches", '"Library"')
    looking = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if any(word in file.read_text(encoding="utf-8") for word in words)
    }
    assert looking == {"places.py"}


# The files of this Python may be closed to others: the new user may read them all the same.
BECOME_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY_ID}",
    f"--regid={NOBODY_ID}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
)


def as_nobody(environ: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user whom the system does not know, with that environment alone."""
    return subprocess.run(
        [*BECOME_NOBODY, *command],
        env={"PATH": os.defpath, **environ},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.models
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root may become a user without a name, by setpriv",
)
def test_a_user_without_a_name_needs_no_more_than_the_folders(tmp_path: Path) -> None:
    data, models = tmp_path / "data", default_directory()
    data.mkdir()
    lost = as_nobody({}, *STREAMD, "speakers")
    assert lost.returncode == ConfigError.exit_code
    assert "set STREAMD_DATA" in lost.stderr
    lost = as_nobody({"STREAMD_DATA": str(data)}, *STREAMD, "models", "verify")
    assert lost.returncode == ConfigError.exit_code
    assert "set STREAMD_MODELS" in lost.stderr

    folders = {"STREAMD_DATA": str(data), "STREAMD_MODELS": str(models)}
    for args in (
        ("config", "check"),
        ("speakers",),
        ("models", "verify"),
        ("enroll", "ada", str(DATA / "speech_slt.flac")),
    ):
        done = as_nobody(folders, *STREAMD, *args)
        assert done.returncode == 0, (args, done.stderr)
        assert "Traceback" not in done.stderr
