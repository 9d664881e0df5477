"""Objects of a run: names, labels, staged fill, what every pod that runs strangers' programs must have."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.targets.kubernetes_manifests import label_value, name_of, next_replicas, objects, owned_by, run_labels

SANDBOX = {
    "run": "rlcef-1", "name": "rlcef-1-sandbox", "image": "registry/clusterctl:1", "port": 8080, "replicas": 3, "cpus": 4,
    "memory_gib": 8, "tolerations": [], "node_selector": {"clusterctl.dev/pool": "cpu"}, "command": ["clusterctl", "sandbox", "serve"], "environment": {"A": "b: [c]"},
    "ready_path": "/v1/ping", "secret": "rlcef-1", "runtime_class": "gvisor",
}  # fmt: skip


def sandbox(isolation: str) -> dict:
    made = objects(
        "sandbox", labels=run_labels("rlcef-1", "sandbox"), annotations={"x": "y"}, isolation=isolation, **SANDBOX
    )
    return {item["kind"]: item for item in made}


@given(st.lists(st.text(max_size=60), min_size=1, max_size=3))
def test_a_name_is_a_dns_label_of_42_characters_at_most(parts: list[str]) -> None:
    name = name_of(*parts)
    assert 0 < len(name) <= 42
    assert re.fullmatch("[a-z][a-z0-9-]*[a-z0-9]|[a-z]", name)
    assert name == name_of(*parts)


def test_different_things_have_different_names() -> None:
    assert name_of("rlcef-1", "trainer") == "rlcef-1-trainer"
    assert len({name_of("run/a"), name_of("run-a"), name_of("Run-a"), name_of("run-a" + "x" * 50)}) == 4


def test_a_label_is_what_kubernetes_takes() -> None:
    assert label_value("trainer+rollout") == "trainer-rollout"
    assert label_value("2026-11-30T10:00:00+00:00") == "2026-11-30T10-00-00-00-00"
    assert len(label_value("x" * 100)) == 63


@pytest.mark.parametrize("isolation", ["gvisor", "user namespaces"])
def test_a_sandbox_pod_has_no_token_no_network_and_one_a_node(isolation: str) -> None:
    made = sandbox(isolation)
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert made["NetworkPolicy"]["spec"]["egress"] == []
    assert made["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == {
        "clusterctl.dev/run": "rlcef-1"
    }
    assert pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert (pod.get("runtimeClassName"), pod["hostUsers"]) == (
        ("gvisor", True) if isolation == "gvisor" else (None, False)
    )
    assert pod["containers"][0]["env"] == [{"name": "A", "value": "b: [c]"}]


def test_every_object_and_pod_is_labelled_by_its_run() -> None:
    for item in sandbox("gvisor").values():
        assert item["metadata"]["labels"]["clusterctl.dev/run"] == "rlcef-1"
        assert item["metadata"]["annotations"] == {"x": "y"}
    assert sandbox("gvisor")["Deployment"]["spec"]["template"]["metadata"]["labels"]["clusterctl.dev/role"] == "sandbox"


def test_what_is_owned_goes_with_its_owner() -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "guard", "uid": "7"}}
    (item,) = owned_by([{"metadata": {"name": "x"}}], owner)
    assert item["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "guard", "uid": "7"}
    ]


@given(st.integers(1, 5000), st.integers(1, 500), st.floats(0.1, 60))
def test_a_staged_fill_never_asks_for_more_than_is_wanted_and_gets_there(
    wanted: int, nodes: int, seconds: float
) -> None:
    ready = asked = 0
    for _ in range(wanted + 1):
        asked = next_replicas(wanted=wanted, ready=ready, nodes=nodes, seconds=seconds)
        assert ready <= asked <= wanted
        assert asked - ready <= max(int(nodes * 4.5 * seconds), 1)
        ready = asked
    assert asked == wanted
