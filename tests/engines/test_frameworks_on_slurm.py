"""The smoke size of each framework through `up`, to its end, in jobs of a real Slurm cluster, with the framework's own package."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from clusterctl.paths import bundle_root

RUN_SECONDS = 3600
AT_ONCE = 2
"""Runs: each has a supervisor and SkyPilot's server beside its jobs, of some 1.5 GB."""
ENVIRONMENTS = {
    "trl-1.16.0-smoke": "trl",
    "skyrl-0.4.0-smoke": "skyrl",
    "torchtitan-0.3.0": "titan",
    "xllamacpp-2026.10.11549": "serve",
    "datasketch-2.0.0": "benchmarks",
    "evalplus-0.3.1": "benchmarks",
    "mini-swe-agent-2.4.6": "benchmarks",
}
"""What a role calls its environment -> the one of install.sh that has the same packages."""
OWN = """
python3 - <<'PYTHON'
import clusterctl_reports, clusterctl_rewards
timer = clusterctl_reports.Phases()
timer.enter("sandbox")
answers = ["def double(x):\\n    return 2 * x", "def double(x):\\n    return x"]
rewards = clusterctl_rewards.passes(["double"] * 2, answers, ["assert double(4) == 8"] * 2)
clusterctl_reports.report(1, 1, timer.take(), {"reward": sum(rewards) / 2})
clusterctl_reports.done(steps=1)
PYTHON
"""
DATA = "/home/skyu/problems.jsonl"
MBPP = [
    {
        "task_id": f"Mbpp/{number}",
        "prompt": f'"""\nWrite a function {name}(x).\nassert {name}({given}) == {answer}\n"""\n',
        "entry_point": name,
        "canonical_solution": f"def {name}(x):\n    return {body}\n",
        "base_input": [[given]],
        "plus_input": [[-5]],
        "assertion": f"assert {name}({given}) == {answer}",
        "atol": 0,
        "contract": "",
    }
    for number, name, body, given, answer in ((8, "twice", "2 * x", 3, 6), (9, "size", "abs(x)", 4, 4))
]


@dataclass(frozen=True)
class Smoke:
    """A smoke spec, and what its run must have come to."""

    spec: str
    steps: int
    metrics: tuple[str, ...]
    """Names, or `name=value` where the value is certain."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """Of its first stage."""
    slow: bool = True


TINY = {"model": "clusterctl/smoke-tiny", "steps": 2}
SWEBENCH = {"benchmark": "swebench-verified", "tasks": 1, "turns": 2}
SMOKES = {
    "trl-grpo": Smoke("smoke-trl-grpo", 2, ("reward", "pass_at_1", "response_tokens"), TINY),
    "skyrl": Smoke("smoke-skyrl", 2, ("reward", "pass_at_1", "sandbox_error_share=0")),
    "torchtitan": Smoke("smoke-pretrain", 3, ("loss",)),
    "sft": Smoke("smoke-sft", 2, ("loss", "token_accuracy")),
    "reward-model": Smoke("smoke-reward-model", 2, ("loss", "accuracy"), slow=False),
    "judged": Smoke("smoke-judged", 1, ("reward", "predicted_share", "judge_readability_unknown_share")),
    "synthesize": Smoke("smoke-synthesize", 2, ("loss",)),
    "agents": Smoke("smoke-agents", 1, ("resolved_share=0", "turns")),
    "humaneval": Smoke("smoke-evaluate", 1, ("pass_at_1", "without_verdict=0")),
    "mbpp": Smoke("smoke-evaluate", 1, ("pass_at_1", "plus_pass_at_1"), {"benchmark": "mbpp", "job": {"data": DATA}}),
    "swebench": Smoke("smoke-evaluate", 1, ("resolved_share=0",), SWEBENCH),
    "own": Smoke("smoke-trl-grpo", 1, ("reward=0.5",), {"job": {"command": OWN}}),
}


@dataclass(frozen=True)
class Ended:
    """A run that is over, or whose time is."""

    run: str
    status: Mapping[str, Any]
    log: str
    queued: str
    """Jobs of it that the scheduler still has."""
    paid_seconds: float
    """Of its allocations, as the scheduler says."""


class Site:
    """The cluster as laptops reach it, each with a home of its own."""

    def __init__(self, cluster: ModuleType, scripts: Path) -> None:
        self.cluster, self.scripts = cluster, scripts

    def say(self, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of clusterctl on a laptop."""
        environment = {
            "PATH": f"{self.scripts}:{os.environ['PATH']}",
            "HOME": str(home),
            "CLUSTERCTL_HOME": str(home / "store"),
            "CLUSTERCTL_SKYPILOT_PYTHON": str(self.cluster.SKYPILOT_PYTHON),
            "CLUSTERCTL_PLACE_PYTHON": self.cluster.PLACE_PYTHON,
        }
        command = [self.scripts / "clusterctl", *words]
        return subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=600
        )

    def run_to_end(self, smoke: Smoke, home: Path) -> Ended:
        """`up`, and `status` until it is over."""
        home.mkdir()
        self.cluster.write_client_files(home)
        name = f"{home.name}-{time.time_ns() % 10**6}"  # a cluster that is kept still knows the last ones' bills
        (home / "run.yaml").write_text(yaml.safe_dump(spec_of(smoke, name)))
        up = self.say(home, "up", "run.yaml", "--yes", "--detach")
        assert up.returncode == 0, up.stderr
        run = up.stdout.splitlines()[-1].split()[0]
        deadline = time.monotonic() + RUN_SECONDS
        row: dict[str, Any] = {}
        while row.get("state") not in {"finished", "failed", "stopped"} and time.monotonic() < deadline:
            time.sleep(8)
            status = self.say(home, "status", run, "--json")
            row = dict(json.loads(status.stdout)[0]) if status.returncode == 0 else row
        deadline = time.monotonic() + 60
        while (queued := self._queued(run)) and time.monotonic() < deadline:
            time.sleep(1)
        return Ended(run, row, self.say(home, "logs", run).stdout, queued, self._paid_seconds(run))

    def _queued(self, run: str) -> str:
        rows = self.cluster.run("login", "squeue", "--noheader", "--format=%j %k", user="skyu").splitlines()
        return "\n".join(row for row in rows if run in row)

    def _paid_seconds(self, run: str) -> float:
        rows = self.cluster.run("login", "scontrol", "show", "job", "-o", user="skyu").splitlines()
        jobs = [dict(pair.split("=", 1) for pair in row.split() if "=" in pair) for row in rows if run in row]
        ours = [job for job in jobs if job["JobName"].startswith("cctl-")]
        return sum(seconds(job["EndTime"]) - seconds(job["StartTime"]) for job in ours)


def seconds(shown: str) -> float:
    return time.mktime(time.strptime(shown, "%Y-%m-%dT%H:%M:%S"))


def spec_of(smoke: Smoke, name: str) -> dict[str, Any]:
    """The smoke spec on this cluster."""
    spec: dict[str, Any] = yaml.safe_load(
        (bundle_root() / "templates" / "specs" / f"{smoke.spec}.yaml").read_text("utf-8")
    )
    spec["name"] = name
    spec["stages"][0] |= smoke.change
    machine = {"name": "cpu", "nodes": 1, "vcpus": 16, "memory_gib": 60, "usd_per_hour": 3.6}
    limits = {"usd": 20, "hours": 3}  # its own are of a machine that does nothing else
    return spec | {"fleet": {"targets": ["slurm:mini"], "machines": [machine]}, "limits": limits}


@pytest.fixture(scope="module")
def ended(
    request: pytest.FixtureRequest, scripts: Path, slurm_cluster: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Ended]]]:
    """The runs of all tests that were selected, two at once."""
    links = [f"ln -sfn /srv/{made} .clusterctl/envs/{name}" for name, made in ENVIRONMENTS.items()]
    rows = "".join(json.dumps(row) + "\n" for row in MBPP)
    script = "\n".join(["cd", "mkdir -p .clusterctl/envs", *links, f"cat >{DATA} <<'ROWS'\n{rows}ROWS"])
    slurm_cluster.run("login", "bash", "-c", script, user="skyu")
    site, folder = Site(slurm_cluster, scripts), tmp_path_factory.mktemp("laptops")
    names = [item.callspec.params["name"] for item in request.session.items if item.path == Path(__file__)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(site.run_to_end, SMOKES[name], folder / name) for name in names}
        pool.shutdown(cancel_futures=True)
    with suppress(subprocess.CalledProcessError):
        slurm_cluster.run("login", "scancel", "--user=skyu")
    slurm_cluster.run("login", "rm", "-rf", "/home/skyu/.clusterctl", user="skyu")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if smoke.slow else []) for name, smoke in SMOKES.items()]
)
def test_a_smoke_size_runs_to_its_end_in_jobs_of_slurm(ended: Mapping[str, Future[Ended]], name: str) -> None:
    smoke, came = SMOKES[name], ended[name].result()
    row = came.status
    assert (row.get("state"), row.get("step")) == ("finished", smoke.steps), (row, came.log[-6000:])
    for metric in smoke.metrics:
        key, _, value = metric.partition("=")
        assert key in row["metrics"], row["metrics"]
        assert not value or row["metrics"][key] == float(value), row["metrics"]
    assert came.queued == ""
    assert came.paid_seconds > 0
    assert float(row["usd"]) == pytest.approx(came.paid_seconds * 3.6 / 3600, abs=0.0021)  # a second: a tenth of a cent
