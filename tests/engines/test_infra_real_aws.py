"""The whole fleet on AWS by AWS's own provider, where this machine has its program, against an emulator of AWS: up, up again, destroy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

HERE = Path(__file__).parent / "pulumi"
sys.path.insert(0, str(HERE))

from fleet import PYTHON, build_engine, make_plan  # noqa: E402 - found by the path above

PLUGIN = """#!/bin/sh
exec {python} -u {bridge} "$@"
"""
FOLDERS = ("/opt", "/usr/local", "/usr/share", str(Path.home()))
"""Where Terraform's plugins are kept."""


def aws_provider() -> Path:
    """AWS's provider.  Leaves the test out where the machine has none: it can't be had from a package registry."""
    named = os.environ.get("CLUSTERCTL_AWS_PROVIDER")
    found = [Path(named)] if named else []
    for folder in () if named else FOLDERS:
        listed = subprocess.run(
            ["find", folder, "-xdev", "-type", "f", "-name", "terraform-provider-aws_v5*"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found += [Path(line) for line in listed.stdout.splitlines()]
    if not found:
        pytest.skip("no terraform-provider-aws_v5* on this machine; CLUSTERCTL_AWS_PROVIDER names one")
    return found[-1]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[str]:
    """URL of MiniStack, an emulator of AWS."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with (tmp_path / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "ministack"], env={**os.environ, **settings}, cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        for _ in range(240):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


FORGOTTEN = (2, 2, {"same", "update", "replace"})
"""What a second `up` changes, as MiniStack does not tell what it was given: placement and cards of the GPU launch template, the launch template of
both node groups; the supervisor's policy follows their names."""


def left(url: str) -> int:
    """Networks of ours, clusters, buckets and machines in the emulator."""
    sdk = {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    ours = [{"Name": "tag-key", "Values": ["clusterctl.dev/run"]}]
    ec2 = boto3.client("ec2", **sdk)
    found = ec2.describe_vpcs(Filters=ours)["Vpcs"] + ec2.describe_subnets(Filters=ours)["Subnets"]
    found += ec2.describe_instances(Filters=[*ours, {"Name": "instance-state-name", "Values": ["running"]}])[
        "Reservations"
    ]
    return len(
        found
        + boto3.client("eks", **sdk).list_clusters()["clusters"]
        + boto3.client("s3", **sdk).list_buckets()["Buckets"]
    )


class Stack:
    """A plan's stack on the emulator."""

    def __init__(self, folder: Path, plan: Path, url: str) -> None:
        self.folder, self.plan = folder, plan
        self.provider = aws_provider()
        protocol = subprocess.run(
            ["sh", HERE / "build_protocol.sh", PYTHON], capture_output=True, text=True, timeout=200, check=True
        )
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "pulumi-resource-aws").write_text(PLUGIN.format(python=PYTHON, bridge=HERE / "aws_bridge.py"))
        (plugins / "pulumi-resource-aws").chmod(0o755)
        self.environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": url,
            "AWS_PROVIDER": str(self.provider),
            "TERRAFORM_PROTOCOL": protocol.stdout.strip(),
            "PATH": f"{plugins}:{build_engine()}/bin:{os.environ['PATH']}",
        }

    def act(self, what: str, *settings: str) -> dict[str, Any]:
        """What an act has changed, and the outputs."""
        command = [PYTHON, HERE / "stack.py", what, self.folder, self.plan, "inCluster=false", *settings]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_the_whole_fleet_comes_and_goes(tmp_path: Path, in_process: Callable[..., Any], emulator: str) -> None:
    stack = Stack(tmp_path, make_plan(tmp_path, in_process, "aws"), emulator)
    print(f"ran by {stack.provider.name}, against MiniStack")
    made = stack.act("up", "nodes=supervisor")
    assert set(made["changes"]) == {"create"}
    assert made["changes"]["create"] > 50
    assert made["outputs"]["cluster"].startswith("rlcef-123456")
    again = stack.act("up", "nodes=supervisor")["changes"]
    assert (again.get("update"), again.get("replace"), set(again)) == FORGOTTEN
    assert set(stack.act("destroy")["changes"]) == {"delete"}
    assert left(emulator) == 0
