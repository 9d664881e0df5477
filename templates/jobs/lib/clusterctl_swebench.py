"""SWE-bench's own grading (swebench 5.0.2) without Docker: the evaluation script runs in bubblewrap, swebench judges.

A task is a row of SWE-bench's data with `repository`, a folder at the base commit, or `files`, path -> text, of which
one is made.  The repository is seen as /testbed, as in SWE-bench's images.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterctl_isolated import Ended, run_script

TESTBED = "/testbed"
SECONDS = 1800.0
"""For the tests of a task: SWE-bench's."""
APPLY = ("git apply --verbose", "git apply --verbose --3way", "patch --batch --forward --fuzz=5 -p1 -i")
"""How a patch is tried, one after the other; SWE-bench's, but for the one that applies a part of it."""
PATCH = ".model.patch"


def check_out(task: Mapping[str, Any], folder: Path) -> Path:
    """A copy of the task's repository.  Raises SystemExit for a task without one."""
    shutil.rmtree(folder, ignore_errors=True)
    if task.get("repository"):
        shutil.copytree(task["repository"], folder, symlinks=True)
    elif task.get("files"):
        for name, text in task["files"].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    else:
        raise SystemExit(f"task {task['instance_id']} names no `repository` in the place, and no `files`")
    if not (folder / ".git").exists():
        who = ["-c", "user.name=base", "-c", "user.email=base@localhost"]
        for words in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "base"]):
            subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


def in_testbed(script: str, folder: Path, *, seconds: float, memory_gib: float = 8.0) -> Ended:
    """Run a script in the repository, with the packages of this Python to read."""
    path = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
    git = {f"GIT_CONFIG_{part}_0": value for part, value in (("KEY", "safe.directory"), ("VALUE", "*"))}
    return run_script(
        script,
        folder,
        there=TESTBED,
        seconds=seconds,
        memory_gib=memory_gib,
        readable=[sys.prefix, sys.base_prefix],
        environment={"PATH": path, "GIT_CONFIG_COUNT": "1", "PYTHONDONTWRITEBYTECODE": "1", **git},
    )


def patch_of(folder: Path) -> str:
    """What was changed since the base commit; by git inside, since a repository can name programs of its own."""
    ended = in_testbed("git add --all && git -c core.fileMode=false diff --cached HEAD", folder, seconds=120.0)
    return ended.output if ended.exit_code == 0 else ""


def grade(task: Mapping[str, Any], patch: str, folder: Path, *, seconds: float = SECONDS) -> dict[str, Any]:
    """swebench's report on a patch: `resolved`, `patch_successfully_applied`, `tests_status`."""
    from swebench.harness.grading import get_eval_report
    from swebench.harness.utils import make_test_spec

    prediction = {"instance_id": task["instance_id"], "model_name_or_path": "model", "model_patch": patch}
    report = {"patch_exists": bool(patch.strip()), "patch_successfully_applied": False, "resolved": False}
    if not patch.strip():
        return report
    repository = check_out(task, folder / "testbed")
    (repository / PATCH).write_text(patch, encoding="utf-8")
    if not _applied(repository):
        return report
    ended = in_testbed(make_test_spec(_filled(task)).eval_script, repository, seconds=seconds)
    if ended.exit_code is None:
        return report | {"patch_successfully_applied": True, "timed_out": True}
    log = folder / "test_output.txt"
    log.write_text(ended.output, encoding="utf-8")
    graded: dict[str, Any] = get_eval_report(make_test_spec(_filled(task)), prediction, str(log), True)
    return dict(graded[task["instance_id"]])


def _applied(repository: Path, ways: Sequence[str] = APPLY) -> bool:
    for way in ways:
        if in_testbed(f"{way} {PATCH} && rm -f {PATCH}", repository, seconds=120.0).exit_code == 0:
            return True
        in_testbed(f"git checkout --quiet -- . ; git clean -fdq -e {PATCH}", repository, seconds=120.0)
    return False


def _filled(task: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a task of one's own may leave out."""
    return {"image": "", "repo": "own", "version": "1", "eval_type": "pass_and_fail", **task}
