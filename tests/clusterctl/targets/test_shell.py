"""A shell in a place: files whole or not at all, time limits, and ssh's own reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from clusterctl.errors import ClusterctlError
from clusterctl.targets.base import Unreachable
from clusterctl.targets.shell import LocalShell, SshShell


def test_a_file_is_written_whole_and_read_from_an_offset(tmp_path: Path) -> None:
    shell, file = LocalShell(), tmp_path / "a folder" / "it's.bin"
    content = bytes(range(256)) * 1000
    shell.write(str(file), content)
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600
    assert shell.read(str(file)) == content
    assert shell.read(str(file), offset=len(content) - 3) == content[-3:]
    assert shell.read(str(file), offset=len(content) + 5) == b""
    assert shell.read(str(file), offset=1, most=2) == content[1:3]
    assert shell.read(str(tmp_path / "none")) is None
    shell.write(str(tmp_path / "b\nc"), b"")
    assert shell.list(str(tmp_path)) == {"b\nc": 0}
    assert shell.list(str(file.parent)) == {"it's.bin": len(content)}, "no temporary file is left"
    assert shell.list(str(tmp_path / "none")) == {}


def test_what_cant_be_done_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterctlError, match="file/x can't be written: mkdir: cannot create directory"):
        LocalShell().write(str(tmp_path / "file" / "x"), b"x")
    with pytest.raises(ClusterctlError, match="this machine: it can't be: no way"):
        LocalShell().must("echo no way >&2; exit 3", seconds=5, what="it can't be")


def test_a_script_has_a_time_limit_and_takes_what_it_started_with_it(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="no answer within 0 s"):
        LocalShell().run(f"sleep 60 & echo $! >{tmp_path}/pid; wait", seconds=0.4)
    assert time.monotonic() - begun < 5
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < deadline, f"{child} lives"
        time.sleep(0.02)


def test_all_that_a_look_asks_ends_in_time_together(tmp_path: Path) -> None:
    shell, began = LocalShell(), time.monotonic()
    with shell.within(0.6), shell.within(60):
        with pytest.raises(Unreachable, match="this machine can't be asked: no answer within"):
            shell.run("sleep 9", seconds=30)
        with pytest.raises(Unreachable, match="it answers too slowly"):
            shell.run("true", seconds=30)
    assert time.monotonic() - began < 5
    assert shell.run("echo it goes on", seconds=30).text == "it goes on\n"


def test_ssh_says_why_a_host_cant_be_reached(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host login\n  HostName 127.0.0.1\n  Port 1\n  ControlMaster no\n")
    with pytest.raises(
        Unreachable, match=r"login can't be reached: connect to host 127.0.0.1 port 1: .*refused"
    ) as why:
        SshShell("login", config).run("true", seconds=5)
    assert f"ssh -F {config} login" in str(why.value.hint)


def test_ssh_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(Unreachable, match="login can't be asked: ssh: No such file"):
        SshShell("login").run("true", seconds=5)
