"""A path that the environment names means the same place to a command and to all that it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clusterctl.errors import SpecError
from clusterctl.ledger import ledger_url
from clusterctl.paths import absolute, resolve_path_variables, user_data_dir
from clusterctl.store import default_store_url


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a home beside it, and none of our variables."""
    for name in ("CLUSTERCTL_HOME", "CLUSTERCTL_LEDGER", "CLUSTERCTL_TELEMETRY", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data", "{here}/data"),
        ("./a/../data", "{here}/data"),
        ("~/data", "{home}/data"),
        ("~nobody-of-this-name/data", "{here}/~nobody-of-this-name/data"),
        ("/data", "/data"),
        ("sqlite:///runs.db", "sqlite:///{here}/runs.db"),
        ("sqlite:///~/runs.db", "sqlite:///{home}/runs.db"),
        ("sqlite:////runs.db", "sqlite:////runs.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://user@host/runs", "postgresql://user@host/runs"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("off", "off"),
    ],
)
def test_a_relative_path_is_made_absolute_and_a_url_is_not(here: Path, text: str, expected: str) -> None:
    assert absolute(text) == expected.format(here=here, home=here.parent / "home")


def test_variables_keep_their_meaning_in_another_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("CLUSTERCTL_HOME", "a"), ("CLUSTERCTL_LEDGER", "l.db"), ("CLUSTERCTL_TELEMETRY", "../t")):
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("XDG_DATA_HOME", "~/x")
    resolve_path_variables()
    monkeypatch.chdir("/")
    assert user_data_dir() == here / "a"
    assert ledger_url() == str(here / "l.db")
    assert default_store_url() == str(here.parent / "t")
    monkeypatch.delenv("CLUSTERCTL_HOME")
    assert user_data_dir() == here.parent / "home" / "x" / "clusterctl"


def test_the_data_folder_is_absolute_without_a_command_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_data_dir() == here.parent / "home/.local/share/clusterctl"
    monkeypatch.setenv("CLUSTERCTL_HOME", "~/here")
    assert user_data_dir() == here.parent / "home/here"
    monkeypatch.setenv("HOME", "home")
    monkeypatch.setenv("CLUSTERCTL_HOME", "")
    assert user_data_dir() == here / "home/.local/share/clusterctl"


def test_a_path_in_a_folder_that_is_gone_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here.rmdir()
    monkeypatch.setenv("CLUSTERCTL_HOME", "/data")
    resolve_path_variables()
    monkeypatch.setenv("CLUSTERCTL_HOME", "data")
    with pytest.raises(SpecError, match="CLUSTERCTL_HOME is relative to the current folder, which is gone"):
        resolve_path_variables()


def test_a_user_without_a_home_must_name_a_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(SpecError, match="no home folder") as refused:
        user_data_dir()
    assert refused.value.hint == "name a folder for data with CLUSTERCTL_HOME"
