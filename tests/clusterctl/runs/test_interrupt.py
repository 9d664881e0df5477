"""Ctrl-C in a real terminal: once ends cleanly and says how to go on; twice at once; what was begun is completed later."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kill_harness import ThisMachine

from clusterctl.targets.processes import kill, tagged

Run = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE_SECONDS = 120.0
CTRL_C = b"\x03"


class Terminal:
    """A command in a terminal of its own, 100 columns wide."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.master, slave = os.openpty()
        termios.tcsetwinsize(slave, (40, 100))

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=own_terminal,  # noqa: PLW1509 - no thread is about
        )
        os.close(slave)
        self.text = ""

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def read(self, until: str) -> str:
        """Until the text has been shown, or the command has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while until not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.master, 4096).decode("utf-8", "replace")
                except OSError as error:  # EIO: nobody writes any more
                    if error.errno != errno.EIO:
                        raise
                    break
        return self.text

    def end(self) -> int:
        """Reads to the end; the exit code."""
        self.read("\0 nothing shows this")
        os.close(self.master)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "killed.yaml").write_text(ThisMachine.spec.replace("steps: 12", "steps: 500"), encoding="utf-8")
    yield tmp_path / ".local" / "share" / "clusterctl"
    for process in tagged(tmp_path / ".local" / "share" / "clusterctl"):
        kill(process)


@pytest.fixture
def in_terminal(scripts: Path, tmp_path: Path) -> Callable[..., Terminal]:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm", "LANG": "C.UTF-8"}
    return lambda *args: Terminal([str(scripts / "clusterctl"), *args], tmp_path, environment)


def test_once_while_it_asks(in_terminal: Callable[..., Terminal], home: Path) -> None:
    up = in_terminal("up", "killed.yaml")
    up.read("start it? [y/N]")
    time.sleep(0.5)  # until it waits for an answer
    up.press(CTRL_C)
    assert up.end() == 130
    assert list(home.glob("runs/*")) == []


def test_once_while_it_follows_and_later_down(
    in_terminal: Callable[..., Terminal], home: Path, in_process: Run
) -> None:
    up = in_terminal("up", "killed.yaml", "--yes")
    assert "\x1b[K" in up.read("reward"), "the line at the bottom"
    up.press(CTRL_C)
    assert up.end() == 130
    assert "finishing what is in progress; Ctrl-C again stops at once" in up.text
    assert "keeps running; an hour costs $0.08" in up.text
    assert "`clusterctl down killed-" in up.text
    assert "trainer" in {process.tags["CLUSTERCTL_ROLE"] for process in tagged(home)}
    again = in_terminal("up", "killed")
    again.read("follows killed-")
    again.press(CTRL_C)
    assert again.end() == 130
    status = in_terminal("status", "--watch")
    status.read("\x1b[2A")
    status.press(CTRL_C)
    assert status.end() == 130
    assert "\x1b[2J" not in status.text, "written over, not cleared"
    down = in_process("down", "--yes", "killed")
    assert (down.returncode, "nothing left running" in down.stdout) == (0, True)


@pytest.mark.parametrize("pause_seconds", [0.0, 0.4, 0.8, 1.2])
def test_twice_at_any_moment_of_the_start(
    in_terminal: Callable[..., Terminal], home: Path, in_process: Run, pause_seconds: float
) -> None:
    up = in_terminal("up", "killed.yaml", "--yes")
    up.read("killed: plan ")
    time.sleep(pause_seconds)
    for _ in range(2):
        up.press(CTRL_C)
        time.sleep(0.05)
    assert up.end() in (130, -signal.SIGINT), "a shell says 130 to both"
    on = in_process("up", "killed.yaml", "--yes", "--detach")
    assert on.returncode == 0, on.stderr
    assert in_process("down", "--yes", "killed").returncode == 0
    assert list(tagged(home)) == []


def test_once_while_down_waits(in_terminal: Callable[..., Terminal], home: Path, in_process: Run) -> None:
    assert in_process("up", "killed.yaml", "--yes", "--detach").returncode == 0
    down = in_terminal("down", "--yes", "killed")
    down.read("are asked to save their work")
    down.press(CTRL_C)
    assert down.end() in (0, 130)
    if "interrupted" in down.text:
        assert "`clusterctl down killed-" in down.text
    assert in_process("down", "--yes", "killed").returncode == 0
    assert list(tagged(home)) == []
