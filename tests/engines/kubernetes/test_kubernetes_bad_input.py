"""`up` on a real API server that can't do what it is asked for: one message with the way on, and nothing half done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from control_plane import ControlPlane
from laptop import Laptop
from made_up_nodes import create, node

SPEC = """
name: bad
stages:
  - {kind: sft, name: sft, model: clusterctl/quickstart, tokens: 1e6, job: {command: "true"}}
fleet:
  targets: ["kubernetes:CONTEXT"]
  machines: [{name: gpu, gpu: H100, gpus_per_node: 8, nodes: 16, vcpus: 96, memory_gib: 1000, usd_per_hour: 40}]
  nodes: NODES
limits: {usd: 200, hours: 1}
"""
ADMIN = """
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: dev, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ROLE}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: dev}]
"""
NO_PODS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: no-pods}
rules:
  - {apiGroups: [apps, rbac.authorization.k8s.io], resources: ["*"], verbs: [create, get, patch, list, delete]}
  - {apiGroups: [""], resources: [services, persistentvolumeclaims, serviceaccounts], verbs: ["*"]}
"""


class Refused:
    """A laptop whose `up` is refused."""

    def __init__(self, plane: ControlPlane, home: Path) -> None:
        self.plane, self.home = plane, home

    def up(self, *options: str, context: str = "test", nodes: int = 1, client: str = "admin") -> tuple[int, str]:
        """Exit code, and what it says on stderr."""
        (self.home / "run.yaml").write_text(SPEC.replace("CONTEXT", context).replace("NODES", str(nodes)))
        words = ["up", "run.yaml", "--yes", "--detach", "--allow-over-limit", *options]
        ended = Laptop(self.plane, self.home, client).run(*words)
        return ended.returncode, ended.stderr

    def nothing_is_done(self) -> None:
        """Neither here nor there."""
        assert json.loads(Laptop(self.plane, self.home).must("status", "--json")) == []
        kinds = "pods,deployments,serviceaccounts,roles,rolebindings,secrets,persistentvolumeclaims"
        assert "clusterctl" not in self.plane.kubectl("get", kinds, "-o", "name")


@pytest.fixture(scope="module", autouse=True)
def cluster(plane: ControlPlane) -> None:
    create(plane, [node(f"h100-{index}", gpus=8) for index in range(3)])
    plane.kubectl("apply", "-f", "-", given=NO_PODS)


@pytest.fixture
def laptop(plane: ControlPlane, tmp_path: Path) -> Refused:
    return Refused(plane, tmp_path)


def test_a_context_that_does_not_exist(laptop: Refused) -> None:
    code, says = laptop.up(context="nowhere")
    assert code == 2, says
    assert says.startswith("error: kubernetes:nowhere: no such context in the kubeconfig, which has: test\n\nhint: ")
    laptop.nothing_is_done()


def test_a_gang_that_does_not_fit_at_all(laptop: Refused) -> None:
    code, says = laptop.up(nodes=5)
    assert code == 3, says
    assert "wants 5 nodes, and there are 3 of that kind" in says
    assert says.count("error: ") == 1
    assert "hint: compare fleet.machines with" in says
    laptop.nothing_is_done()


def test_a_user_who_may_not_create_pods(laptop: Refused, plane: ControlPlane) -> None:
    plane.kubectl("apply", "-f", "-", given=ADMIN.replace("ROLE", "no-pods"))
    try:
        code, says = laptop.up(client="dev")
    finally:
        plane.kubectl("delete", "rolebinding", "dev")
    assert code == 1, says
    assert "you may not create pods, create pods/exec, delete pods in the namespace `default`" in says
    assert "hint: an administrator grants them all: `kubectl create rolebinding" in says
    laptop.nothing_is_done()


def test_a_user_who_may_not_make_the_role_of_supervisors(laptop: Refused, plane: ControlPlane) -> None:
    """Nobody can grant what he does not have; `edit` lacks roles, and this one has those but not the rest."""
    rules = '{apiGroups: [""], resources: ["*"], verbs: [create, delete, patch, get, list]}'
    some = NO_PODS.replace("no-pods", "some").replace(
        '{apiGroups: [""], resources: [services, persistentvolumeclaims, serviceaccounts], verbs: ["*"]}', rules
    )
    plane.kubectl("apply", "-f", "-", given=some.replace("[apps, rbac", "[apps, batch, networking.k8s.io, rbac"))
    plane.kubectl("apply", "-f", "-", given=ADMIN.replace("ROLE", "some"))
    try:
        code, says = laptop.up(client="dev")
    finally:
        plane.kubectl("delete", "rolebinding", "dev")
    assert code == 1, says
    assert "`dev` may not make the role `clusterctl` of supervisors, as it lacks rights on" in says
    assert "hint: an administrator grants you the same rights" in says
    laptop.nothing_is_done()


def test_an_administrator_of_a_namespace_may_run_and_a_dry_run_makes_nothing(
    laptop: Laptop, plane: ControlPlane
) -> None:
    """Kubernetes' own role `admin`.  He may not list nodes: the scheduler says what does not fit."""
    plane.kubectl("apply", "-f", "-", given=ADMIN.replace("ROLE", "admin"))
    try:
        dry = laptop.up("--dry-run", nodes=5, client="dev")
    finally:
        plane.kubectl("delete", "rolebinding", "dev")
    assert dry == (0, ""), dry[1]
    laptop.nothing_is_done()
