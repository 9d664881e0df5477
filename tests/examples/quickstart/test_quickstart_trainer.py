"""The trainer as a process: killed at any moment, told to stop, without a sandbox, with wrong arguments."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clusterctl.jobs.sandbox_client import SandboxClient
from clusterctl.paths import bundle_root
from examples.quickstart.loop import Settings, run

TRAINER = bundle_root() / "examples" / "quickstart" / "trainer.py"
NOBODY = "http://127.0.0.1:9"
"""The discard port: connections are refused."""
SMALL = ("--prompts", "4", "--samples", "3", "--seed", "2")


def trainer(folder: Path, *args: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-P", TRAINER, "--run-dir", folder, *args],
        env=os.environ | {"PYTHONPATH": str(bundle_root())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_marked(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "reports.jsonl").read_text().splitlines()]


def test_a_run_killed_at_random_moments_equals_one_that_was_not(tmp_path: Path, sandbox_url: str) -> None:
    steps, rng, kills = 6, random.Random(4), 0
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for attempt in range(60):
        process = trainer(killed, "--sandbox-url", sandbox_url, "--steps", str(steps), *SMALL)
        try:  # later and later, so that a slow machine ends it too
            _, errors = process.communicate(timeout=rng.uniform(0.2, 0.8) * (1.0 + 0.2 * attempt))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, errors
        break
    whole.mkdir()

    async def uninterrupted() -> None:
        async with SandboxClient(sandbox_url) as client:
            await run(whole, client, Settings(prompts=4, samples=3, seed=2), steps)

    asyncio.run(uninterrupted())
    assert kills >= 2
    assert steps_marked(killed) == list(range(1, steps + 1))
    with np.load(killed / "checkpoint.npz") as left, np.load(whole / "checkpoint.npz") as right:
        assert left.files == right.files
        assert all(np.array_equal(left[name], right[name]) for name in left.files if name != "about")
    results = [json.loads((folder / "result.json").read_text()) for folder in (killed, whole)]
    assert results[0]["last"] == results[1]["last"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_saves_and_goes_on_later(tmp_path: Path, sandbox_url: str, number: int) -> None:
    folder = tmp_path / "run"
    process = trainer(folder, "--sandbox-url", sandbox_url, "--steps", "500", *SMALL)
    assert process.stdout
    while not process.stdout.readline().startswith("step"):
        assert process.poll() is None
    process.send_signal(number)
    asked = time.monotonic()
    rest, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - asked < 60.0
    assert rest.endswith("stopped; started again, it goes on after the last step shown\n")
    done = len(steps_marked(folder))
    assert not (folder / "result.json").exists()
    again = trainer(folder, "--sandbox-url", sandbox_url, "--steps", str(done + 1), *SMALL)
    said, _ = again.communicate(timeout=240)
    assert f"goes on after step {done}\n" in said
    assert steps_marked(folder) == list(range(1, done + 2))


def test_told_to_stop_while_it_waits_for_a_sandbox(tmp_path: Path) -> None:
    process = trainer(tmp_path / "run", "--sandbox-url", NOBODY)
    assert process.stdout
    assert process.stdout.readline().startswith("quickstart:")
    assert "14 problems" in process.stdout.readline()
    process.terminate()
    process.communicate(timeout=240)
    assert process.returncode == 0


def test_without_a_sandbox_it_ends_with_one_message_after_its_patience(tmp_path: Path) -> None:
    process = trainer(tmp_path / "run", "--sandbox-url", NOBODY, "--patience-seconds", "0.3")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert errors.startswith(f"error: the sandbox at {NOBODY} failed for 0.3 s: ")
    assert errors.count("error:") == errors.count("hint:") == 1
    assert not (tmp_path / "run" / "reports.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sandbox-url", NOBODY, "--samples", "1"], "samples at least 2"),
        (["--sandbox-url", NOBODY, "--steps", "0"], "at least 1"),
        ([], "no sandbox"),
    ],
)
def test_wrong_arguments_are_one_message(tmp_path: Path, arguments: list[str], message: str, monkeypatch) -> None:
    monkeypatch.delenv("CLUSTERCTL_SANDBOX_URL", raising=False)
    process = trainer(tmp_path / "run", *arguments)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
