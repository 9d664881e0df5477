"""Calls git on a repository that somebody else may have filled: git starts no other program and asks nobody.

A repository's own configuration may name programs for hooks, pagers, filters, diffs, signatures and transports.  Only
commands that read objects and the index are called here; what could start a program on the way is switched off, and no
transport is allowed: a blob that a partial clone left out is missing, not fetched.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from clusterctl.errors import ClusterctlError
from clusterctl.ui.streams import printable

TIMEOUT_SECONDS = 120
OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "protocol.allow=never",
    "-c", "log.showSignature=false",
    "-c", "submodule.recurse=false",
)  # fmt: skip
KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
"""Of git's variables those by which a person or a CI says what they trust; others name folders and programs."""
FIXED = {
    "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_PAGER": "cat", "GIT_ASKPASS": "/bin/false",
}  # fmt: skip


def git_output(folder: str | Path, *args: str) -> bytes:
    """What a git command prints.  Raises ClusterctlError with its reason."""
    result = run_git(folder, *args)
    if result.returncode != 0:
        raise failed(args, result.stderr)
    return result.stdout


def run_git(folder: str | Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    """A git command to its end, whatever its result.  Raises ClusterctlError where it can't be run at all."""
    command = git_command(folder, *args)
    try:
        result = subprocess.run(  # noqa: S603 - a list, no shell
            command, capture_output=True, check=False, env=environment(), timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterctlError(f"`git {args[0]}` has not ended within {TIMEOUT_SECONDS} s") from error
    if b"dubious ownership" in result.stderr:
        raise ClusterctlError(
            "git refuses this repository: it belongs to another user",
            hint="if you trust it: `git config --global --add safe.directory FOLDER` with the folder of the checkout",
        )
    return result


def git_command(folder: str | Path, *args: str) -> list[str]:
    """The command line of a git command in a folder.  Raises ClusterctlError where there is no git."""
    program = which("git")
    if program is None:
        raise ClusterctlError(
            "git is not on PATH: `--base` compares two commits of a checkout",
            hint="install git, or compare Pulumi previews alone with --preview",
        )
    return [program, "-C", str(folder), *OPTIONS, *args]


def environment() -> dict[str, str]:
    """Variables for git: ours, without those that name other folders, programs or traces."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(KEPT)}
    return ours | FIXED


def failed(args: Sequence[str], stderr: bytes) -> ClusterctlError:
    """The error for a git command that failed: its own first words."""
    if b"not allowed" in stderr and b"transport" in stderr:
        return ClusterctlError(
            "this is a partial clone, which lacks objects of the commits that are compared",
            hint="`git fetch --refetch --no-filter` gets them; a review fetches nothing",
        )
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "no reason")
    reason = printable(said.removeprefix("fatal:").removeprefix("error:").strip())[:300]
    return ClusterctlError(f"`git {args[0]}` failed: {reason}", hint="`git fsck` looks for damage in a repository")
