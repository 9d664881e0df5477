"""`clusterctl up` of the quickstart by TRL, in an environment made from requirements-train.lock: killed once, it learns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterctl.paths import bundle_root, facts_dir
from clusterctl.targets.processes import ROLE_TAG, tagged

PYTHON = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines/train/bin/python"
SPEC = bundle_root() / "templates" / "specs" / "quickstart-trl.yaml"
MODELS = json.loads((facts_dir() / "models.json").read_text(encoding="utf-8"))
PATIENCE_SECONDS = 1200
"""For a minute and a half of work, on machines that do other work too."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("trl")
    yield folder
    for process in tagged(folder):
        os.kill(process.pid, signal.SIGKILL)


def clusterctl(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CLUSTERCTL_HOME": str(store), "PYTHONPATH": str(bundle_root())}
    command = [PYTHON, "-P", "-c", "from clusterctl.cli import main; main()", *arguments]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_SECONDS,
        check=True,
    )


def marks(store: Path) -> list[dict[str, Any]]:
    lines = [
        line for file in store.glob("runs/*/reports.jsonl") for line in file.read_text(encoding="utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines]


def wait_until_marked(store: Path, steps: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(marks(store)) < steps:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def trainers(store: Path) -> list[int]:
    return [process.pid for process in tagged(store) if process.tags.get(ROLE_TAG) == "trainer"]


def test_up_runs_it_through_a_kill_and_the_reward_rises(store: Path) -> None:
    assert PYTHON.exists(), "tests/engines/install.sh makes this environment"
    clusterctl(store, "up", str(SPEC), "--yes", "--detach")
    wait_until_marked(store, 3)
    killed = trainers(store)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    clusterctl(store, "up", str(SPEC), "--yes")
    assert [mark["step"] for mark in marks(store)] == list(range(1, 41))
    (result,) = (json.loads(file.read_text(encoding="utf-8")) for file in store.glob("runs/*/result.json"))
    assert result["last"]["reward"] > result["first"]["reward"] + 0.2
    assert result["last"]["pass_at_1_hidden"] > result["first"]["pass_at_1_hidden"] + 0.1
    assert result["first"]["not_compiled_share"] > result["last"]["not_compiled_share"]


def test_the_log_says_that_it_went_on_and_how_large_the_model_is(store: Path) -> None:
    said = clusterctl(store, "logs", "quickstart-trl", "--role", "trainer").stdout
    assert "goes on after step" in said
    (model,) = (row for row in MODELS if row["name"] == "clusterctl/quickstart-llama")
    assert f"{model['params_total']:,} parameters, {model['vocab']} tokens" in said
    assert "Traceback" not in said


def test_down_shows_planned_against_actual_by_phase(store: Path) -> None:
    shown = json.loads(clusterctl(store, "down", "--yes", "quickstart-trl", "--json").stdout)
    lines = {line["name"]: line for line in shown["lines"]}
    assert shown["state"] == "finished"
    for phase in ("generate", "sandbox", "train"):
        assert lines[f"{phase} per step"]["planned"] > 0
        assert lines[f"{phase} per step"]["actual"] > 0
