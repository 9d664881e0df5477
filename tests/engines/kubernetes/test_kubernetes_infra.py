"""What the Pulumi program puts into a cluster is taken by a real API server; by Pulumi's own provider where that is built."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane

from clusterctl.targets.kubernetes_manifests import objects

HERE = Path(__file__).parents[1] / "pulumi"
sys.path.insert(0, str(HERE))

from fleet import PYTHON, build_engine, make_plan  # noqa: E402 - found by the path above

NAMESPACE = "clusterctl-rlcef-123456"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:clusterctl"


def rights(rules: list[Mapping[str, list[str]]]) -> set[tuple[str, str, str]]:
    """Group, resource, verb."""
    return {right for rule in rules for right in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])}


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_a_real_api_takes_every_object(
    plane: ControlPlane, tmp_path: Path, in_process: Callable[..., Any], cloud: str
) -> None:
    plan, script = make_plan(tmp_path, in_process, cloud), HERE / "resources_of_plan.py"
    asked = subprocess.run(
        [PYTHON, script, plan, 'images=["python:3.12"]'], capture_output=True, text=True, timeout=300, check=False
    )
    assert asked.returncode == 0, asked.stderr
    rows = [row for row in json.loads(asked.stdout) if row["type"].startswith("kubernetes:")]
    manifests = [row["inputs"] for row in rows]
    assert len(manifests) > 9
    (space,) = [each for each in manifests if each["kind"] == "Namespace"]
    plane.kubectl("create", "namespace", space["metadata"]["name"])
    try:
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=given)
    finally:
        plane.kubectl("delete", "namespace", space["metadata"]["name"])
    (role,) = [each for each in manifests if each["kind"] == "Role"]
    (place,) = [
        each
        for each in objects(
            "place",
            labels={},
            annotations={},
            name="clusterctl",
            image="i",
            namespace="n",
            kueue=False,
            volume_gib=0,
            agents=False,
            metrics=True,
        )
        if each["kind"] == "Role"
    ]
    assert rights(role["rules"]) == rights(place["rules"]), "what `clusterctl up` gives to a supervisor"


@pytest.fixture(scope="module")
def provider() -> Path:
    """The folder of Pulumi's Kubernetes provider.  Nobody waits for it: it takes a quarter of an hour to build."""
    found = subprocess.run(["sh", HERE / "build_kubernetes.sh", "--made"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"Pulumi's Kubernetes provider is not built: run `sh {HERE / 'build_kubernetes.sh'}` first")
    return Path(found.stdout.strip())


class Equipped:
    """A cluster, and Pulumi's acts on it."""

    def __init__(self, folder: Path, plane: ControlPlane, provider: Path, plan: Path) -> None:
        self.folder, self.plan = folder, plan
        pki = plane.pki
        token = folder / "token.json"
        status = {
            "clientCertificateData": (pki / "admin.crt").read_text(),
            "clientKeyData": (pki / "admin.key").read_text(),
        }
        token.write_text(
            json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
        )
        way_in = {
            "endpoint": f"https://{plane.address}:{plane.port}",
            "certificate": base64.b64encode((pki / "ca.crt").read_bytes()).decode(),
            "token_command": ["cat", str(token)],
        }
        (folder / "way_in.json").write_text(json.dumps(way_in))
        self.environment = {**os.environ, "PATH": f"{provider}:{build_engine()}/bin:{os.environ['PATH']}"}

    def changes(self, act: str) -> dict[str, int]:
        """What an act has changed, by kind of change."""
        command = [PYTHON, HERE / "equip_cluster.py", act, self.folder, self.plan]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout))


def test_up_again_refresh_destroy_by_the_real_provider(
    plane: ControlPlane, provider: Path, tmp_path: Path, in_process: Callable[..., Any]
) -> None:
    cluster = Equipped(tmp_path, plane, provider, make_plan(tmp_path, in_process, "aws"))
    assert set(cluster.changes("up")) == {"create"}

    def can(verb: str, what: str, namespace: str) -> bool:
        said = plane.kubectl("auth", "can-i", verb, what, "-n", namespace, "--as", ACCOUNT, check=False)
        return said.strip().startswith("yes")

    assert can("create", "deployments.apps", NAMESPACE)
    assert can("update", "leases.coordination.k8s.io", NAMESPACE)
    assert not can("get", "secrets", "default")
    assert not can("create", "clusterroles", NAMESPACE)
    assert set(cluster.changes("up")) == {"same"}
    assert set(cluster.changes("refresh")) == {"same"}
    assert set(cluster.changes("destroy")) == {"delete"}
    left = plane.kubectl("get", "namespaces,runtimeclasses,storageclasses", "-o", "name", "-l", "clusterctl.dev/run")
    assert left == ""
