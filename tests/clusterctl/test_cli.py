"""The command line as a person meets it: run as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from clusterctl import __version__, cli
from clusterctl.command_table import COMMANDS

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_version(clusterctl: Run) -> None:
    done = clusterctl("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"clusterctl {__version__}\n", "")


def test_help_lists_every_command_with_its_summary(clusterctl: Run) -> None:
    shown = clusterctl("--help", COLUMNS="200").stdout
    for entry in COMMANDS:
        assert f"  {entry.name}" in shown
        assert entry.summary.split(":")[0].rstrip(".") in shown


def test_help_imports_no_command_and_nothing_heavy() -> None:
    heavy = ["polars", "numpy", "pydantic", "httpx", "rich", "yaml", *(entry.module for entry in COMMANDS)]
    program = (
        "import sys; from clusterctl import cli\n"
        "try: cli.main(['--help'])\n"
        f"except SystemExit: print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        (["doctr"], "no such command `doctr`", "did you mean `doctor`? `clusterctl --help` lists what it takes"),
        (["zzz"], "no such command `zzz`", "`clusterctl --help` lists what it takes"),
        (
            ["--vrsion"],
            "no such option `--vrsion`",
            "did you mean `--version`? `clusterctl --help` lists what it takes",
        ),
        (
            ["doctor", "--jsn"],
            "no such option `--jsn`",
            "did you mean `--json`? `clusterctl doctor --help` lists what it takes",
        ),
        (["doctor", "x"], "unexpected argument `x`", "`clusterctl doctor --help` lists what it takes"),
        (["completion"], "missing argument `shell`", "`clusterctl completion --help` lists what it takes"),
        (["--verbose"], "missing command", "`clusterctl --help` lists what it takes"),
        (
            ["completion", "bsh"],
            "invalid value for `shell`: `bsh` is not one of `bash`, `zsh`, `fish`",
            "did you mean `bash`? `clusterctl completion --help` lists what it takes",
        ),
    ],
)
def test_a_wrong_command_line_names_the_nearest_right_one(
    clusterctl: Run, args: list[str], error: str, hint: str
) -> None:
    done = clusterctl(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {error}\n\nhint: {hint}\n"


def test_no_command_shows_the_help_on_stderr(clusterctl: Run) -> None:
    done = clusterctl()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: clusterctl [OPTIONS] COMMAND")


@pytest.mark.parametrize("args", ["--help", "doctor", "doctor --json"])
def test_a_reader_who_stops_reading_is_no_failure(scripts: object, args: str) -> None:
    command = f"{scripts}/clusterctl {args} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout in {"0\n", "141\n"}  # 0 when the output fitted the pipe before it was closed


def test_doctor_finds_this_installation_whole(clusterctl: Run) -> None:
    done = clusterctl("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["version"] == __version__
    assert {check["status"] for check in report["checks"]} <= {"ok", "absent", "weaker"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(clusterctl: Run, shell: str) -> None:
    done = clusterctl("completion", shell)
    assert done.returncode == 0
    assert "_CLUSTERCTL_COMPLETE" in done.stdout


def test_completion_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_CLUSTERCTL_COMPLETE", raising=False)
    with pytest.raises(SystemExit):
        cli.main(["completion", "bash"])
    assert "_CLUSTERCTL_COMPLETE" not in os.environ


def test_the_shell_completes_commands_and_options(clusterctl: Run) -> None:
    def complete(words: str, index: int) -> list[str]:
        return clusterctl(_CLUSTERCTL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(index)).stdout.split()

    assert complete("clusterctl doc", 1) == ["doctor"]
    assert complete("clusterctl doctor --j", 2) == ["--json"]
    assert complete("clusterctl completion b", 2) == ["bash"]
