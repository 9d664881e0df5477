"""Output that can't go anywhere, to readers who leave, and in encodings that lack characters: one message, one code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[..., subprocess.CompletedProcess[bytes]]
COMMANDS = (
    "--help", "--version", "plan --help", "completion bash", "schema", "init", "doctor", "prices list", "prices list --json --limit 100",
    "status", "status --json", "cost", "cost --csv", "sweep", "plan $SPEC", "plan $SPEC --json", "up $SPEC --dry-run",
)  # fmt: skip
FULL = "error: stdout can't be written: No space left on device\n\nhint: what was to be done is done as far as it got"


@pytest.fixture
def shell(scripts: Path, repo: Path, tmp_path: Path) -> Shell:
    """A line of bash, in which `clusterctl` is the one under test and $SPEC a run spec."""
    environment = {
        "PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "SPEC": str(repo / "templates/specs/quickstart.yaml"),
        "PYTHONWARNINGS": "error",
    }
    return lambda line, **environ: subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, cwd=tmp_path, env=environment | environ
    )


@pytest.fixture
def into(in_process: Run, repo: Path) -> Run:
    """`into(stream, "status --json")`: a command in this process that prints to a stream."""

    def run(stream: io.TextIOWrapper, command: str) -> subprocess.CompletedProcess[str]:
        with stream, mock.patch.object(sys, "stdout", stream):
            return in_process(*command.replace("$SPEC", str(repo / "templates/specs/quickstart.yaml")).split())

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_said_in_one_message(into: Run, command: str) -> None:
    done = into(io.TextIOWrapper(io.FileIO("/dev/full", "w"), encoding="utf-8"), command)
    assert done.returncode == 74
    assert done.stderr.startswith(FULL)
    assert done.stderr.count("\n") == 3


@pytest.mark.parametrize("command", ["--version", "status", "plan $SPEC --json"])
def test_a_full_disk_is_still_one_message_when_the_interpreter_ends(shell: Shell, command: str) -> None:
    done = shell(f"clusterctl {command} > /dev/full")
    assert done.returncode == 74
    assert done.stderr.decode().startswith(FULL)
    assert done.stderr.count(b"\n") == 3


@pytest.mark.parametrize("command", ["--help", "status", "plan $SPEC --json"])
def test_closed_streams(shell: Shell, command: str, tmp_path: Path) -> None:
    closed = shell(f"clusterctl {command} >&-")
    assert closed.returncode == 74
    assert closed.stderr.decode().startswith("error: stdout can't be written: Bad file descriptor\n")
    silent = shell(f"clusterctl {command} 2>&- <&-")
    assert (silent.returncode, silent.stdout[:1] != b"", silent.stderr) == (0, True, b"")
    assert shell(f"clusterctl {command} >&- 2>&- <&-").returncode == 74


def test_an_error_that_can_t_be_said_has_its_exit_code(shell: Shell) -> None:
    assert shell("clusterctl plan nothing.yaml 2>&-").returncode == 2
    assert shell("clusterctl plan nothing.yaml 2>/dev/full").returncode == 2


def test_what_was_to_be_done_is_done_though_nobody_hears_of_it(shell: Shell, tmp_path: Path) -> None:
    assert shell("clusterctl plan $SPEC --out plan.json --json >/dev/full").returncode == 74
    assert (tmp_path / "plan.json").read_bytes().endswith(b"}\n")


def test_a_run_whose_price_can_t_be_shown_is_not_started(shell: Shell, tmp_path: Path) -> None:
    assert shell("clusterctl up $SPEC --yes >/dev/full").returncode == 74
    assert not (tmp_path / ".local/share/clusterctl/runs").exists()
    assert shell("clusterctl status").stdout.startswith(b"nothing runs")


def test_an_answer_that_can_t_be_given_is_a_no(shell: Shell) -> None:
    done = shell("clusterctl up $SPEC <&-")
    assert done.returncode == 2
    assert b"hint: pass --yes to go on without asking" in done.stderr


@pytest.mark.parametrize(
    "command", ["plan $SPEC", "prices list --json --limit 100", "cost --csv", "up $SPEC --dry-run"]
)
def test_a_reader_who_has_left_ends_the_command_quietly(into: Run, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = into(os.fdopen(writer, "w", encoding="utf-8"), command)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", ["--help", "plan $SPEC --json"])
def test_a_reader_who_leaves_ends_the_command_quietly(shell: Shell, command: str) -> None:
    done = shell(f"clusterctl {command} | exec true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode in {0, 141}, done.stderr) == (True, b"")
    both = shell(f"clusterctl {command} 2>&1 | exec true; exit ${{PIPESTATUS[0]}}")
    assert (both.returncode in {0, 141}, both.stderr) == (True, b"")


def test_every_page_can_be_printed_in_every_encoding(into: Run, repo: Path, tmp_path: Path) -> None:
    spec = repo / "templates/specs/rlcef.yaml"
    for encoding, line in (
        ("ascii", f"plan {spec} --verbose"),
        ("latin-1", f"plan {spec} --explain"),
        ("ascii", f"plan {spec} --markdown"),
        ("latin-1", "doctor"),
        ("cp437", f"plan {spec} --what-if steps=800"),
    ):
        done = into((tmp_path / "page").open("w", encoding=encoding), line)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "page").read_text(encoding)


def test_bars_and_dashes_have_stand_ins(shell: Shell) -> None:
    done = shell("clusterctl plan $SPEC; clusterctl plan –×.yaml", PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert b"1 x " in done.stdout
    assert b"error: -x.yaml: no such file" in done.stderr


def test_names_of_files_control_no_terminal(shell: Shell) -> None:
    done = shell("clusterctl plan $'a\\e[2J\\xff.yaml'")
    assert done.stderr.decode() == "error: a␛[2J�.yaml: no such file\n"
    done = shell("printf 'name: \"a\\033[2J\\302\\233\\342\\200\\256: }' | clusterctl plan -")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert b"\xc2\x9b" not in done.stderr
