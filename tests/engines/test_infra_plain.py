"""Plain `pulumi up`, `preview`, `refresh` and `destroy` in infra/, as people run them, with its policy pack; beside a cloud that is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "pulumi"
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))

from fleet import PYTHON, FakeFleet, build_engine, make_plan  # noqa: E402 - found by the path above

HOST = """#!/bin/sh
exec {python} -u {host} "$@"
"""
BAD_PROGRAM = """
import pulumi_gcp as gcp
gcp.storage.Bucket("open", location="US", uniform_bucket_level_access=True, public_access_prevention="inherited")
gcp.projects.IAMMember("all", project="p", role="roles/owner", member="user:ann@example.com")
"""


class Shell:
    """A person's shell, in a copy of the checkout's infra/."""

    def __init__(self, fleet: FakeFleet, engine: Path) -> None:
        self.fleet, self.folder = fleet, fleet.folder / "checkout/infra"
        for name in ("infra", "planners"):
            shutil.copytree(ROOT / name, fleet.folder / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
        host = fleet.folder / "plugins/pulumi-language-python"
        host.write_text(HOST.format(python=PYTHON, host=HERE / "language_host.py"))
        host.chmod(0o755)
        (fleet.folder / "state").mkdir()
        self.environment = (
            os.environ
            | fleet.environment
            | {
                "PULUMI_BACKEND_URL": f"file://{fleet.folder}/state",
                "PULUMI_HOME": f"{fleet.folder}/home",
                "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            }
        )

    def pulumi(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A command of Pulumi, to its end."""
        return subprocess.run(
            ["pulumi", "--non-interactive", "--color", "never", *arguments],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        """A command that succeeds; what it prints."""
        done = self.pulumi(*arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path, in_process: Callable[..., Any]) -> Shell:
    """With Pulumi, and a plan on Google Cloud."""
    engine = build_engine()
    return Shell(FakeFleet(tmp_path, engine, make_plan(tmp_path, in_process, "gcp")), engine)


def test_people_run_it_as_any_program_and_its_policy_pack_stops_a_bad_one(shell: Shell) -> None:
    shell.must("stack", "init", "rlcef-123456")
    shell.must("config", "set", "plan", "../../plan.json")
    shell.must("config", "set", "--path", "accessCidrs[0]", "203.0.113.7/32")
    preview = json.loads(shell.must("preview", "--json", "--policy-pack", "policy"))
    assert set(preview["changeSummary"]) == {"create"}
    shell.must("up", "--yes", "--skip-preview")
    assert len(shell.fleet.cloud.held()) > 40
    assert json.loads(shell.must("stack", "output", "--json"))["namespace"] == "clusterctl-rlcef-123456"
    again = json.loads(shell.must("preview", "--json", "--expect-no-changes"))
    assert set(again["changeSummary"]) == {"same"}
    shell.must("destroy", "--yes", "--skip-preview")
    assert shell.fleet.cloud.held() == []

    bad = shell.folder.parent / "bad"
    bad.mkdir()
    (bad / "__main__.py").write_text(BAD_PROGRAM)
    (bad / "Pulumi.yaml").write_text("name: bad\nruntime: python\n")
    assert shell.pulumi("stack", "init", "bad", folder=bad).returncode == 0
    stopped = shell.pulumi("preview", "--policy-pack", str(shell.folder / "policy"), folder=bad)
    assert stopped.returncode != 0
    assert 'publicAccessPrevention is "inherited": may be made public' in stopped.stdout
    assert "role is a right to everything (roles/owner)" in stopped.stdout
    assert shell.fleet.cloud.held() == []
