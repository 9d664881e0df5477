"""Commands that are told: one that works, fails, hangs, forks, ignores its input or is not there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from local_receivers import line, message

from clusterctl.alerts.messages import NotDelivered
from clusterctl.alerts.program import run
from clusterctl.alerts.receiver import deliver
from clusterctl.alerts.rules_file import AlertsFile, Command

ENVIRON = {"PATH": os.environ["PATH"]}


def shell(script: str, seconds: float = 20.0) -> Command:
    return Command(kind="command", run=("sh", "-c", script), seconds=seconds)


def test_a_command_gets_json_and_variables(tmp_path: Path) -> None:
    script = f'cat > {tmp_path}/json; printf "%s|" "$CLUSTERCTL_ALERT_RECEIVER" "$CLUSTERCTL_ALERT_LEVEL" '
    script += f'"$CLUSTERCTL_ALERT_COUNT" "$CLUSTERCTL_ALERT_TEXT" > {tmp_path}/variables'
    assert run(shell(script), message(line(text="it's $(rm -rf /) \0 \x1b[2J `id`")), ENVIRON) == ""
    assert json.loads((tmp_path / "json").read_text())["alerts"][0]["about"] == "rlcef-1"
    told = (tmp_path / "variables").read_text()
    assert told == "ops|warn|1|warn: rlcef-1: it's $(rm -rf /) ␀ ␛[2J `id`|"


def test_a_command_does_not_get_the_secrets_of_receivers(tmp_path: Path) -> None:
    rules = AlertsFile.model_validate(
        {
            "receivers": {
                "ops": {"kind": "command", "run": ["sh", "-c", f"env > {tmp_path}/env"]},
                "hook": {"kind": "slack", "url_env": "HOOK_ADDRESS"},
            }
        }
    )
    deliver(rules, message(), {**ENVIRON, "HOOK_ADDRESS": "https://secret", "OTHER": "1"})
    environ = (tmp_path / "env").read_text()
    assert "OTHER=1" in environ
    assert "HOOK_ADDRESS" not in environ


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no such pager >&2; exit 3", "sh ended with code 3: no such pager"),
        ("kill -9 $$", "sh was ended by signal 9"),
        ("exit 1", "sh ended with code 1"),
    ],
)
def test_a_command_that_fails_says_why(script: str, said: str) -> None:
    with pytest.raises(NotDelivered) as refused:
        run(shell(script), message(), ENVIRON)
    assert str(refused.value) == said


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(NotDelivered, match=r"sh took over 0\.3 s, and was ended"):
        run(shell(f"sleep 300 & echo $! > {tmp_path}/pid; wait", seconds=0.3), message(), ENVIRON)
    assert time.monotonic() - began < 10
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while _lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nobody_waits_for_what_a_command_leaves_behind(tmp_path: Path) -> None:
    """Also not where it keeps stdout and stderr open."""
    began = time.monotonic()
    assert run(shell(f"sleep 30 & echo $! > {tmp_path}/pid"), message(), ENVIRON) == ""
    assert time.monotonic() - began < 20
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_command_that_does_not_read_has_been_told() -> None:
    big = [line(text="x" * 400) for _ in range(500)]
    assert run(shell("true"), message(*big), ENVIRON) == ""


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(NotDelivered, match="/no/such/pager can't be started: No such file or directory"):
        run(Command(kind="command", run=("/no/such/pager",)), message(), ENVIRON)
