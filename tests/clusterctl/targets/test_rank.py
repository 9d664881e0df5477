"""The wrapper of a rank, run as a place runs it: by path, its ranks side by side on this machine."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from role_ranks import Role

from clusterctl.targets import rank as wrapper


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path, "rank.py")


def test_runs_a_command_in_its_folder_and_says_how_it_ended(role: Role) -> None:
    role.write("bash", "-c", "echo $GREETING $CLUSTERCTL_NODE_RANK $CLUSTERCTL_HEAD $PWD; exit 3", setup="echo setup")
    assert role.start().wait(20) == 3
    assert role.log.splitlines() == ["setup", f"hello 0 10.0.0.1 {role.folder}"]
    assert (role.says()["phase"], role.says()["exit_code"], role.says()["told"]) == ("ended", 3, False)


def test_a_second_attempt_leaves_the_first_alone(role: Role) -> None:
    role.write("sleep", "60")
    first = role.start(attempt="a")
    role.wait_for("ready")
    assert role.start(attempt="b").wait(20) == wrapper.HELD
    assert role.says()["phase"] == "ready"
    (role.folder / "stop").write_text("please")
    assert first.wait(20) == 128 + signal.SIGTERM
    assert role.says()["told"] is True


def test_the_end_of_one_rank_ends_the_gang(role: Role) -> None:
    role.write("bash", "-c", "[ $CLUSTERCTL_NODE_RANK = 1 ] && exit 7; sleep 60", nodes=2)
    head, other = role.start(0), role.start(1)
    assert other.wait(20) == 7
    assert head.wait(20) == 128 + signal.SIGTERM
    assert role.says(0)["message"] == "rank 1 has ended with exit code 7"
    assert role.says(0)["told"] is False


def test_ends_at_the_runs_deadline_with_all_that_it_started(role: Role) -> None:
    role.write("bash", "-c", "setsid sleep 61 & sleep 62")
    (role.run / "deadline").write_text(str(int(time.time()) + 1))
    assert role.start().wait(20) == 128 + signal.SIGTERM
    assert role.says()["message"] == "the run's limit is reached"
    assert subprocess.run(["pgrep", "-fx", "sleep 6[12]"], check=False, capture_output=True).stdout == b""


def test_what_ignores_the_signal_is_killed_when_it_is_told_now(role: Role) -> None:
    role.write("bash", "-c", "trap '' TERM; while :; do sleep 1; done")
    process = role.start()
    role.wait_for("ready")
    (role.folder / "stop").write_text("now")
    assert process.wait(20) == 128 + signal.SIGKILL


def test_a_secret_that_is_not_there_is_named(role: Role) -> None:
    role.write("true", secrets=["HF_TOKEN_OF_NOBODY"])
    assert role.start().wait(20) == wrapper.NOT_READY
    assert "the secret HF_TOKEN_OF_NOBODY is not there" in role.says()["message"]


def test_a_setup_that_fails_keeps_the_command_from_starting(role: Role) -> None:
    role.write("bash", "-c", "echo started", setup="echo no room >&2; exit 4")
    assert role.start().wait(20) == 4
    assert role.says()["message"] == "setup ended with exit code 4: no room"
    assert role.log == "no room\n"


def test_a_command_that_is_not_there(role: Role) -> None:
    role.write("no-such-program")
    assert role.start().wait(20) == 127
    assert role.log == "error: no-such-program can't be started: No such file or directory\n"
