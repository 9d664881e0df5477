"""Runs the steps of the composite action as GitHub's runner does: inputs and defaults, expressions of the environment,
`bash --noprofile --norc -eo pipefail`, and the files by which steps speak to the runner."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[3]
ACTION = yaml.safe_load((REPO / "action.yml").read_text(encoding="utf-8"))


@dataclass
class ActionRun:
    """What a run of the action gave."""

    exit_code: int
    outputs: dict[str, str]
    log: str


def run_action(
    checkout: Path, temp: Path, inputs: dict[str, str], github: dict[str, Any], environment: dict[str, str]
) -> ActionRun:
    """Run all steps in a checkout.  github: the context of expressions.  environment: of the runner."""
    given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
    assert set(inputs) <= set(given)
    context: dict[str, Any] = {"github": {"action_path": str(REPO), **github}, "steps": {}}
    context["inputs"] = {name: evaluated(text, context) for name, text in {**given, **inputs}.items()}
    log = ""
    for step in ACTION["runs"]["steps"]:
        if step.get("if") == "inputs.command == ''" and context["inputs"]["command"]:
            continue
        output = temp / f"output-{step['id']}"
        output.touch()
        script = temp / f"{step['id']}.sh"
        script.write_text(step["run"], encoding="utf-8")
        said = {name: evaluated(text, context) for name, text in step["env"].items()}
        paths = {"RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(output), "GITHUB_RUN_ID": "1", "GITHUB_ACTIONS": "true"}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "HOME": str(temp), **environment, **paths, **said},
            capture_output=True,
            text=True,
            check=False,
        )
        log += done.stdout + done.stderr
        lines = output.read_text(encoding="utf-8").splitlines()
        context["steps"][step["id"]] = {"outputs": dict(line.split("=", 1) for line in lines)}
        if done.returncode:
            break
    outputs = {name: evaluated(entry["value"], context) for name, entry in ACTION["outputs"].items()}
    return ActionRun(done.returncode, outputs, log)


def evaluated(text: str, context: dict[str, Any]) -> str:
    """Text with its expressions in place: `a.b.c`, and `||` between such."""

    def value(found: re.Match[str]) -> str:
        return next((said for name in found[1].split("||") if (said := _looked_up(name.strip(), context))), "")

    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


def _looked_up(name: str, context: dict[str, Any]) -> str:
    here: Any = context
    for part in name.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    return "" if here is None else str(here)
