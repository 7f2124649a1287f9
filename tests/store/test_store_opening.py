"""Which store a configuration names."""

import builtins
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases import PostgresPlace, PostgresServer

from streamd.config import StoreConfig
from streamd.errors import ConfigError
from streamd.store.opening import exists, open_configured


def test_a_file_is_made_where_the_configuration_says(tmp_path: Path) -> None:
    environ = {"STREAMD_DATA": str(tmp_path)}
    assert not exists(StoreConfig(), environ)
    open_configured(StoreConfig(), environ).close()
    assert exists(StoreConfig(), environ)
    assert {f.name for f in tmp_path.iterdir()} == {"streamd.db", "key"}
    elsewhere = StoreConfig(path=str(tmp_path / "e" / "v.db"), key_path=str(tmp_path / "k" / "key"))
    open_configured(elsewhere, environ).close()
    assert (tmp_path / "e" / "v.db").exists()
    assert (tmp_path / "k" / "key").exists()


def test_two_stores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="remove one of them"):
        open_configured(StoreConfig(path="v.db", url="postgresql://h/db"), {})


@pytest.mark.parametrize("url", ["sqlite:///v.db", "h/db", "mysql://user:secret@h/db"])
def test_another_kind_of_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="begins with postgresql://") as caught:
        open_configured(StoreConfig(url=url, key_path=str(tmp_path / "key")), {})
    assert "secret" not in str(caught.value)


def test_without_asyncpg_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = builtins.__import__

    def lacking(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "asyncpg":
            raise ModuleNotFoundError(name="asyncpg")
        return really(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.startswith("streamd.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("streamd.store.postgres", raising=False)
    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ConfigError, match=r"pip install 'streamd-voice\[postgres\]'"):
        open_configured(StoreConfig(url="postgresql://h/db", key_path=str(tmp_path / "key")), {})


@pytest.mark.services
def test_a_url_is_a_database(tmp_path: Path, postgres_server: PostgresServer) -> None:
    place = PostgresPlace(tmp_path, postgres_server)
    settings = StoreConfig(url=place.url, key_path=str(tmp_path / "key"))
    assert exists(settings, {})
    with closing(open_configured(settings, {}, "acme")) as store:
        store.access.secret("tickets")
    assert place.sql("SELECT count(*) FROM secrets") == [(2,)]
