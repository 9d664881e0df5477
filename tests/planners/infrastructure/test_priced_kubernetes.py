"""What objects of Kubernetes cost, by the cloud of the program's cluster."""

from __future__ import annotations

from typing import Any

import pytest
from priced_programs import RoundPrices, costs, parts, state

PRICES = RoundPrices(
    {},
    {
        "lb_classic_hour": (0.025, "hour"),
        "lb_network_hour": (0.0225, "hour"),
        "lb_forwarding_rule_hour": (0.01, "hour"),
        "lb_standard_rule_hour": (0.01, "rule-hour"),
        "public_ip_standard_static": (0.005, "hour"),
        "block_gp3_storage": (0.08, "GB-month"),
        "block_pd_balanced": (0.1, "GB-month"),
        "block_premium_ssd_p10_128gib": (19.71, "disk-month"),
    },
)
EKS = state("aws:eks/cluster:Cluster", "c")
GKE = state("gcp:container/cluster:Cluster", "c", {"enableAutopilot": True})
AKS = state("azure-native:containerservice:ManagedCluster", "c")
SERVICE, CLAIM = "kubernetes:core/v1:Service", "kubernetes:core/v1:PersistentVolumeClaim"
NLB = {"service.beta.kubernetes.io/aws-load-balancer-type": "external"}


def one(kind: str, spec: dict[str, Any], *others: Any, annotations: dict[str, str] | None = None) -> Any:
    inputs = {"metadata": {"name": "it", "annotations": annotations or {}}, "spec": spec}
    return costs(PRICES, state(kind, "it", inputs), *others)["it"]


@pytest.mark.parametrize(
    ("cluster", "annotations", "usd"),
    [
        (EKS, None, 18.25),  # 730 × 0.025
        (EKS, NLB, 16.425),
        (GKE, None, 7.3),
        (AKS, None, 10.95),  # a rule and an address: 7.30 + 3.65
    ],
)
def test_a_load_balancer_costs_what_its_cloud_asks(cluster: Any, annotations: Any, usd: float) -> None:
    cost = one(SERVICE, {"type": "LoadBalancer"}, cluster, annotations=annotations)
    assert cost.usd_per_month == pytest.approx(usd)
    assert cost.is_known
    assert cost.resource.cloud == "kubernetes", "the object stays the program's own"


def test_a_load_balancer_of_a_cluster_elsewhere_is_unknown() -> None:
    for clusters in ((), (EKS, GKE)):
        cost = one(SERVICE, {"type": "LoadBalancer"}, *clusters)
        assert not cost.is_known
        assert "which cloud" in cost.parts[0].why_unknown


def test_volumes_by_storage_class() -> None:
    gp3 = {"storageClassName": "gp3", "resources": {"requests": {"storage": "100Gi"}}}
    assert parts(one(CLAIM, gp3, EKS)) == {"volume, gp3": 8.0}
    default = {"resources": {"requests": {"storage": "100Gi"}}}
    assert parts(one(CLAIM, default, GKE)) == {"volume, pd-balanced": 10.0}
    premium = {"storageClassName": "managed-csi-premium", "resources": {"requests": {"storage": "100Gi"}}}
    assert parts(one(CLAIM, premium, AKS)) == {"volume, P10": 19.71}
    assert not one(CLAIM, {**gp3, "storageClassName": "fast"}, EKS).is_known
    assert not one(CLAIM, default, EKS).is_known, "EKS has no default class"
    assert not one(CLAIM, gp3).is_known


def test_a_stateful_set_has_a_volume_for_each_pod() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"storageClassName": "gp3", "resources": {"requests": {"storage": "50Gi"}}},
    }
    cost = one("kubernetes:apps/v1:StatefulSet", {"replicas": 3, "volumeClaimTemplates": [claim]}, EKS)
    assert parts(cost) == {"volumes data, gp3": 12.0}  # 3 × 50 × 0.08
    assert one("kubernetes:apps/v1:StatefulSet", {"replicas": 3}, EKS).is_free


@pytest.mark.parametrize(
    ("kind", "spec", "known"),
    [
        ("kubernetes:apps/v1:Deployment", {}, True),
        ("kubernetes:core/v1:Namespace", {}, True),
        ("kubernetes:core/v1:Service", {"type": "ClusterIP"}, True),
        ("kubernetes:networking.k8s.io/v1:Ingress", {"ingressClassName": "nginx"}, True),
        ("kubernetes:networking.k8s.io/v1:Ingress", {"ingressClassName": "alb"}, False),
        ("kubernetes:helm.sh/v3:Release", {}, False),
        ("kubernetes:karpenter.sh/v1:NodePool", {}, False),
        ("kubernetes:cert-manager.io/v1:Certificate", {}, True),
    ],
)
def test_what_runs_on_nodes_is_free_and_what_makes_more_is_unknown(
    kind: str, spec: dict[str, Any], known: bool
) -> None:
    cost = one(kind, spec)
    assert cost.is_known is known
    assert cost.is_free is known
