"""Agent rollouts by mini-swe-agent 2.4: `python clusterctl_agents.py --config agents.json`.

Each attempt has a repository of its own, which lives over all its turns; each command runs in bubblewrap, without a
network.  Trajectories are mini-swe-agent's own files; patches are graded by swebench; an attempt that is through is a
line of attempts.jsonl, and a program that was ended goes on with the others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MSWEA_CONFIGURED", "true")
os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import clusterctl_reports
from clusterctl_chat import read_settings, urls_of
from clusterctl_swebench import TESTBED, check_out, grade, in_testbed, patch_of


@dataclass(frozen=True)
class Settings:
    """What `agents.json` says."""

    tasks: str
    """File of JSON lines: rows of SWE-bench's data with `repository` or `files`."""
    output: str
    num_tasks: int | None = None
    attempts: int = 1
    at_once: int = 16
    step_limit: int = 250
    """Calls of the model per attempt; mini-swe-agent's for SWE-bench."""
    usd_limit: float = 3.0
    """Per attempt; mini-swe-agent's."""
    command_seconds: float = 60.0
    grading_seconds: float = 1800.0
    text_actions: bool = False
    """Commands stand in the text, for models without tool calls."""


def run_attempt(settings: Settings, model: Mapping[str, Any], task: Mapping[str, Any], number: int) -> dict[str, Any]:
    """One attempt, graded.  A model's failure is its exit status, not ours."""
    from minisweagent.agents.default import DefaultAgent

    name = f"{task['instance_id']}-{number}"
    folder = Path(settings.output) / "work" / name
    repository = check_out(task, folder / "repository")
    trajectory = Path(settings.output) / f"{name}.traj.json"
    config = _config(settings)
    agent = DefaultAgent(
        _model(settings, config, model, number),
        _environment(repository, settings.command_seconds, config),
        **config["agent"] | {"output_path": trajectory},
    )
    try:
        status = str(agent.run(task["problem_statement"]).get("exit_status"))
    except Exception as error:  # noqa: BLE001 - any, of any provider: the trajectory says it whole
        status = type(error).__name__
    patch = patch_of(repository)
    report = grade(task, patch, folder, seconds=settings.grading_seconds)
    shutil.rmtree(folder, ignore_errors=True)
    usage = [_usage(message) for message in agent.messages]
    return {
        "instance_id": task["instance_id"],
        "attempt": number,
        "exit_status": status,
        "resolved": report["resolved"],
        "patch": patch,
        "api_calls": agent.n_calls,
        "usd": agent.cost,
        "input_tokens": sum(one[0] for one in usage),
        "output_tokens": sum(one[1] for one in usage),
    }


def _config(settings: Settings) -> dict[str, Any]:
    """mini-swe-agent's own configuration for SWE-bench, with our limits."""
    from minisweagent.config import builtin_config_dir, get_config_from_spec

    name = "swebench_backticks.yaml" if settings.text_actions else "swebench.yaml"
    config: dict[str, Any] = get_config_from_spec(str(builtin_config_dir / "benchmarks" / name))
    config["agent"] |= {"step_limit": settings.step_limit, "cost_limit": settings.usd_limit}
    return config


def _model(settings: Settings, config: Mapping[str, Any], said: Mapping[str, Any], number: int) -> Any:
    """litellm's client, of one of the replicas in turn; a self-hosted model costs nothing per token."""
    from minisweagent.models.litellm_model import LitellmModel
    from minisweagent.models.litellm_textbased_model import LitellmTextbasedModel

    options = dict(config["model"])
    options.pop("model_class", None)
    options["model_name"] = said["model"]
    if said.get("urls"):
        urls = urls_of(said["urls"])
        more = {"api_base": f"{urls[number % len(urls)]}/v1", "api_key": "none", "drop_params": True}
        options |= {"model_name": f"openai/{said['model']}", "cost_tracking": "ignore_errors"}
        options["model_kwargs"] = {**options.get("model_kwargs", {}), **more}
    return (LitellmTextbasedModel if settings.text_actions else LitellmModel)(**options)


def _environment(repository: Path, seconds: float, config: Mapping[str, Any]) -> Any:
    """mini-swe-agent's environment over our bubblewrap."""
    from minisweagent.environments.extra.bubblewrap import BubblewrapEnvironment

    class Repository(BubblewrapEnvironment):  # type: ignore[misc]  # no types come with it
        def execute(self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None) -> dict[str, Any]:
            """Run one command where the last one ended, as far as files go."""
            command = action.get("command", "")
            lines = "".join(f"export {name}='{value}'\n" for name, value in self.config.env.items())
            ended = in_testbed(f"{lines}cd {cwd or TESTBED}\n{command}", repository, seconds=timeout or seconds)
            late = f"the command was ended after {timeout or seconds:g} s" if ended.exit_code is None else ""
            code = -1 if ended.exit_code is None else ended.exit_code
            output = {"output": ended.output, "returncode": code, "exception_info": late}
            self._check_finished(output)
            return output

        def get_template_vars(self, **more: Any) -> dict[str, Any]:
            """What prompts may name."""
            return self.config.model_dump() | dict(platform.uname()._asdict()) | more

    return Repository(cwd=TESTBED, env=config.get("environment", {}).get("env", {}))


def _usage(message: Mapping[str, Any]) -> tuple[int, int]:
    response = (message.get("extra") or {}).get("response")
    usage = (response.get("usage") or {}) if isinstance(response, dict) else {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


class Attempts:
    """What is through, in the order in which it ended; a line each."""

    def __init__(self, file: Path, total: int) -> None:
        self.rows, self._file, self._total = clusterctl_reports.whole_rows(file), file, total
        self._lock = threading.Lock()

    def done(self, task: str, number: int) -> bool:
        """Whether an attempt is through."""
        return any((row["instance_id"], row["attempt"]) == (task, number) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Keep and report an attempt."""
        with self._lock:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            self.rows.append(row)
            clusterctl_reports.report(len(self.rows), self._total, metrics=summary(self.rows))
            sys.stdout.write(
                f"{row['instance_id']} #{row['attempt']}: {row['exit_status']}, {row['api_calls']} calls, "
                f"{'resolved' if row['resolved'] else 'not resolved'}\n"
            )
            sys.stdout.flush()


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the attempts, and sums of what they used."""
    by_task: dict[str, list[bool]] = {}
    for row in rows:
        by_task.setdefault(row["instance_id"], []).append(bool(row["resolved"]))
    return {
        "resolved_share": sum(bool(row["resolved"]) for row in rows) / len(rows),
        "resolved_tasks_share": sum(map(any, by_task.values())) / len(by_task),
        "submitted_share": sum(row["exit_status"] == "Submitted" for row in rows) / len(rows),
        "turns": sum(row["api_calls"] for row in rows) / len(rows),
        "usd": sum(row["usd"] for row in rows),
        "input_tokens": float(sum(row["input_tokens"] for row in rows)),
        "output_tokens": float(sum(row["output_tokens"] for row in rows)),
    }


def main() -> None:
    """Raises SystemExit for settings or tasks that say nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    said = read_settings(parser.parse_args().config)
    settings = Settings(**said["settings"])
    Path(settings.output).mkdir(parents=True, exist_ok=True)
    lines = Path(settings.tasks).read_text(encoding="utf-8").splitlines()
    tasks = [json.loads(line) for line in lines if line.strip()][: settings.num_tasks]
    if not tasks:
        raise SystemExit(f"{settings.tasks} holds no task")
    attempts = Attempts(Path(settings.output) / "attempts.jsonl", len(tasks) * settings.attempts)
    wanted = [(task, number) for number in range(settings.attempts) for task in tasks]
    missing = [(task, number) for task, number in wanted if not attempts.done(task["instance_id"], number)]
    with ThreadPoolExecutor(settings.at_once) as pool:
        for row in pool.map(lambda one: run_attempt(settings, said["model"], *one), missing):
            attempts.add(row)
    clusterctl_reports.done(attempts=len(attempts.rows), **summary(attempts.rows))


if __name__ == "__main__":
    main()
