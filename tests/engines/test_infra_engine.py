"""The Pulumi program on the real engine with the real SDKs, beside a cloud that is not there: up, up again, resize,
destroy; no capacity; an engine that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "pulumi"
sys.path.insert(0, str(HERE))

from cloud import Cloud  # noqa: E402 - found by the path above

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines"
PYTHON = CACHE / "pulumi/bin/python"
pytestmark = pytest.mark.slow
SPEC = """
name: rlcef
stages:
  - {{kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {{mean: 2000}}}}
fleet: {{targets: [{cloud}], gpus: [H100]}}
limits: {{usd: 60000}}
"""
PLUGIN = """#!/bin/sh
FAKE_CLOUD_NAME={name} exec {python} -u {plugin} "$@"
"""


class Stack:
    """A plan's stack and its cloud, in one folder."""

    def __init__(self, folder: Path, engine: Path, run: Callable[..., Any], cloud: str) -> None:
        self.folder, self.engine, self.plan = folder, engine, folder / "plan.json"
        (folder / "run.yaml").write_text(SPEC.format(cloud=cloud))
        planned = run("plan", str(folder / "run.yaml"), "--out", str(self.plan))
        assert planned.returncode == 0, planned.stderr
        self.pools = json.loads(self.plan.read_text())["pools"]
        self.cloud = Cloud(folder / "cloud.db")
        self.cloud.set(prices={pool["instance_type"]: pool["usd_per_node_hour"] for pool in self.pools})
        (folder / "plugins").mkdir()
        for name in ("aws", "gcp", "azure-native"):
            file = folder / "plugins" / f"pulumi-resource-{name}"
            file.write_text(PLUGIN.format(name=name, python=PYTHON, plugin=HERE / "plugin.py"))
            file.chmod(0o755)

    def act(self, what: str, *settings: str) -> subprocess.CompletedProcess[str]:
        """Runs an act to its end."""
        return subprocess.run(
            [PYTHON, HERE / "stack.py", what, self.folder, self.plan, *settings],
            env={
                **os.environ,
                "PATH": f"{self.folder}/plugins:{self.engine}/bin:{os.environ['PATH']}",
                "FAKE_CLOUD_FILE": f"{self.folder}/cloud.db",
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def changes(self, what: str, *settings: str) -> dict[str, int]:
        """What an act has changed, by kind of change."""
        done = self.act(what, *settings)
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout)["changes"])


@pytest.fixture(scope="module")
def engine() -> Path:
    """The folder of Pulumi's engine, which is built where it is missing."""
    built = subprocess.run(["sh", HERE / "build.sh"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    return Path(built.stdout.strip())


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_up_again_resize_destroy(tmp_path: Path, engine: Path, in_process: Callable[..., Any], cloud: str) -> None:
    stack = Stack(tmp_path, engine, in_process, cloud)
    made = stack.changes("up")
    assert set(made) == {"create"}
    there = len(stack.cloud.held())
    assert there > 15
    assert set(stack.changes("up")) == {"same"}
    emptied = stack.changes("up", "empty=true")
    assert (emptied["update"], set(emptied)) == (len(stack.pools), {"same", "update"}), (
        "in place, and nothing but pools"
    )
    assert len(stack.cloud.held()) == there
    before = stack.cloud.metered_usd()
    assert before > 0
    assert stack.cloud.metered_usd() == pytest.approx(before, abs=Decimal("0.0001")), "no node is paid any more"
    assert set(stack.changes("destroy")) == {"delete"}
    assert stack.cloud.held() == []


def test_no_capacity_is_said_and_the_rest_goes_on(tmp_path: Path, engine: Path, in_process: Callable[..., Any]) -> None:
    stack = Stack(tmp_path, engine, in_process, "aws")
    (gpu,) = [pool["instance_type"] for pool in stack.pools if pool["gpu"]]
    stack.cloud.set(no_capacity=[gpu])
    failed = stack.act("up")
    assert failed.returncode != 0
    assert f"InsufficientInstanceCapacity: no capacity for {gpu}" in failed.stderr
    stack.cloud.set(no_capacity=[])
    assert "create" in stack.changes("up")
    assert set(stack.changes("up")) == {"same"}
    stack.changes("destroy")
    assert stack.cloud.held() == []
