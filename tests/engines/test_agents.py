"""mini-swe-agent's rollouts in repositories of their own, graded by swebench; a scripted model, since a small one can't."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from job_programs import LIBRARY, reports, result, run_program, scripted_model

AGENTS = ["-m", "clusterctl_agents", "--config", "agents.json"]
START, END = ">>>>> Start Test Output", ">>>>> End Test Output"
TASK = {
    "instance_id": "own__calc-1",
    "problem_statement": "add(a, b) of calc.py subtracts.",
    "files": {
        "calc.py": "def add(a, b):\n    return a - b\n",
        "test_calc.py": "import calc\n\n\ndef test_add():\n    assert calc.add(2, 3) == 5\n\n\ndef test_zero():\n    assert calc.add(0, 0) == 0\n",
    },
    "eval_script": f"cd /testbed\n: '{START}'\npython -m pytest -rA -p no:cacheprovider test_calc.py\n: '{END}'\n",
    "FAIL_TO_PASS": ["test_calc.py::test_add"],
    "PASS_TO_PASS": ["test_calc.py::test_zero"],
    "log_parser": "parse_log_pytest",
}


def call(command: str) -> dict[str, Any]:
    """A turn that runs a command."""
    arguments = json.dumps({"command": command})
    return {
        "content": "Look.",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "bash", "arguments": arguments}}],
    }


SUBMIT = call("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")


def script(*turns: dict[str, Any]) -> Any:
    return lambda messages: turns[min(sum(message["role"] == "assistant" for message in messages), len(turns) - 1)]


def settings(folder: Path, **more: Any) -> None:
    (folder / "tasks.jsonl").write_text(json.dumps(TASK) + "\n", encoding="utf-8")
    said = {"tasks": str(folder / "tasks.jsonl"), "output": str(folder / "out"), "step_limit": 6, **more}
    text = json.dumps({"settings": said, "model": {"urls": "MODEL", "model": "scripted"}})
    (folder / "agents.json").write_text(text, encoding="utf-8")


def test_a_right_patch_is_resolved_and_state_lasts_from_turn_to_turn(tmp_path: Path) -> None:
    settings(tmp_path)
    turns = script(
        call("pwd && cat calc.py && touch ../escaped /usr/escaped; ls /root | head -2"),
        call("sed -i 's/a - b/a + b/' calc.py"),
        call("python3 -c 'import calc; assert calc.add(2, 3) == 5' && git diff --stat"),
        SUBMIT,
    )
    with scripted_model(turns) as url:
        run_program("benchmarks", AGENTS, tmp_path, variables={"MODEL": url})
        told = result(tmp_path)
        run_program("benchmarks", AGENTS, tmp_path, variables={"MODEL": url})  # nothing is left to do
    assert (told["attempts"], told["resolved_share"], told["submitted_share"], told["turns"]) == (1, 1.0, 1.0, 4.0)
    assert (told["input_tokens"], told["output_tokens"], told["usd"]) == (200.0, 40.0, 0.0)
    (report,) = reports(tmp_path)
    assert report["metrics"]["resolved_share"] == 1.0
    trajectory = json.loads((tmp_path / "out" / "own__calc-1-0.traj.json").read_text(encoding="utf-8"))
    said = [message["content"] for message in trajectory["messages"] if message["role"] == "tool"]
    assert "/testbed" in said[0]
    assert "cannot touch" in said[0] or "Read-only" in said[0]
    assert "1 file changed" in said[2]
    assert not list(tmp_path.rglob("escaped"))


def test_what_is_not_solved_is_told_with_its_reason(tmp_path: Path) -> None:
    settings(tmp_path, attempts=2, step_limit=2, at_once=1)
    turns = script(call("sed -i 's/a - b/a * b/' calc.py"), call("true"))
    with scripted_model(turns) as url:
        run_program("benchmarks", AGENTS, tmp_path, variables={"MODEL": url})
    told = result(tmp_path)
    assert (told["attempts"], told["resolved_share"], told["submitted_share"]) == (2, 0.0, 0.0)
    rows = [json.loads(line) for line in (tmp_path / "out" / "attempts.jsonl").read_text("utf-8").splitlines()]
    assert [row["exit_status"] for row in rows] == ["LimitsExceeded"] * 2
    assert "+    return a * b" in rows[0]["patch"]


GRADE = """
import json, sys
from pathlib import Path
from clusterctl_swebench import grade
task, patches = json.loads(Path("grade.json").read_text())
print(json.dumps([grade(task, patch, Path("graded") / str(number)) for number, patch in enumerate(patches)]))
"""
DIFF = "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return {right}\n"


@pytest.mark.parametrize("way", ["files", "repository"])
def test_swebench_grades_patches_in_our_isolation(tmp_path: Path, way: str) -> None:
    task: dict[str, Any] = dict(TASK)
    if way == "repository":
        for name, text in TASK["files"].items():  # type: ignore[attr-defined]
            (tmp_path / "repo").mkdir(exist_ok=True)
            (tmp_path / "repo" / name).write_text(text, encoding="utf-8")
        task |= {"files": {}, "repository": str(tmp_path / "repo")}
    cheat = DIFF.format(right="a + b") + (
        "diff --git a/conftest.py b/conftest.py\nnew file mode 100644\n--- /dev/null\n+++ b/conftest.py\n@@ -0,0 +1,2 @@\n"
        "+import os\n+open('/testbed/../usr/x', 'w')\n"
    )
    patches = [DIFF.format(right="a + b"), DIFF.format(right="a * b"), "no patch", "", cheat]
    (tmp_path / "grade.json").write_text(json.dumps([task, patches]), encoding="utf-8")
    done = run_program("benchmarks", ["-c", GRADE], tmp_path, variables={"PYTHONPATH": str(LIBRARY)})
    right, wrong, none, empty, escaping = json.loads(done.stdout.splitlines()[-1])
    assert right["resolved"]
    assert right["tests_status"]["FAIL_TO_PASS"]["success"] == ["test_calc.py::test_add"]
    assert not wrong["resolved"]
    assert wrong["patch_successfully_applied"]
    assert wrong["tests_status"]["PASS_TO_PASS"]["success"] == ["test_calc.py::test_zero"]
    assert not none["patch_successfully_applied"]
    assert not empty["patch_exists"]
    assert not escaping["resolved"]
    assert sys.platform == "linux"
