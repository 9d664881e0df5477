"""What objects in a Kubernetes cluster cost: what runs on its nodes is free, what the cloud makes for them isn't."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from planners.infrastructure import azure_machines
from planners.infrastructure.bill import AFTER_APPLY, ResourceBill
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.tables import Pricer
from planners.infrastructure.value import UNKNOWN

CLUSTERS: Final = {
    "eks:cluster": "aws",
    "container:cluster": "gcp",
    "containerservice:managedcluster": "azure",
    "containerservice:kubernetescluster": "azure",
}
CLASSES: Final = {
    ("aws", "gp2"): "gp2",
    ("aws", "gp3"): "gp3",
    ("gcp", ""): "pd-balanced",
    ("gcp", "standard-rwo"): "pd-balanced",
    ("gcp", "premium-rwo"): "pd-ssd",
    ("gcp", "standard"): "pd-standard",
    ("azure", ""): "StandardSSD_LRS",
    ("azure", "default"): "StandardSSD_LRS",
    ("azure", "managed-csi"): "StandardSSD_LRS",
    ("azure", "managed-csi-premium"): "Premium_LRS",
    ("azure", "managed-premium"): "Premium_LRS",
}
"""Storage classes that clusters come with → the disk they make.  https://cloud.google.com/kubernetes-engine/docs/concepts/
persistent-volumes, https://learn.microsoft.com/azure/aks/concepts-storage; EKS has no default class since 1.30."""
AWS_DISKS: Final = {"gp2": "block_gp2_storage", "gp3": "block_gp3_storage"}
GCP_DISKS: Final = {"pd-balanced": "block_pd_balanced", "pd-ssd": "block_pd_ssd", "pd-standard": "block_pd_standard"}
_SIZE = re.compile(r"^([0-9.]+)([KMGTPE]i?)?$")
_GIB: Final = {
    "Ki": 2.0**-20,
    "Mi": 2.0**-10,
    "Gi": 1.0,
    "Ti": 1024.0,
    "Pi": 2.0**20,
    "K": 1e3 / 2**30,
    "M": 1e6 / 2**30,
    "G": 1e9 / 2**30,
    "T": 1e12 / 2**30,
    "P": 1e15 / 2**30,
}


def _where(bill: ResourceBill) -> str:
    """The cloud of the program's only cluster; the bill then asks its prices there.  Empty = unknown."""
    clusters = bill.program.of_kind(*CLUSTERS)
    if len({(one.cloud, one.region) for one in clusters}) != 1:
        return ""
    cluster = clusters[0]
    bill.region = cluster.region
    bill.resource = replace(bill.resource, cloud=cluster.cloud, region=cluster.region)
    return cluster.cloud


def _service(bill: ResourceBill) -> None:
    own = bill.properties
    if own.is_unknown("spec.type"):
        bill.unpriced("load balancer", "hour", why=f"whether it is a load balancer is {AFTER_APPLY}")
        return
    if own.text("spec.type") != "LoadBalancer":
        bill.free()
        return
    notes = own.under("metadata.annotations").values
    cloud = _where(bill)
    if cloud == "aws":
        kind = str(notes.get("service.beta.kubernetes.io/aws-load-balancer-type", ""))
        item, name = ("lb_network_hour", "network") if kind else ("lb_classic_hour", "classic")
        words = () if kind else ("the kind that EKS makes without a controller of its own",)
        bill.item(f"{name} load balancer", item, 1, assumed=words)
        bill.by_use("data through it", "lb_network_nlcu" if kind else "lb_classic_data")
    elif cloud == "gcp":
        bill.item("forwarding rule", "lb_forwarding_rule_hour", 1)
        bill.by_use("data through it", "lb_forwarding_rule_data")
    elif cloud == "azure":
        ports = len(own.list("spec.ports")) or 1
        bill.item("rules on the cluster's load balancer", "lb_standard_rule_hour", ports, unit="rule-hour")
        if notes.get("service.beta.kubernetes.io/azure-load-balancer-internal") not in ("true", True):
            bill.item("public IPv4 address", "public_ip_standard_static", 1)
    else:
        bill.unpriced("load balancer", "hour", why="which cloud its cluster is in is not in the preview")


def _claim(bill: ResourceBill) -> None:
    _volume(bill, bill.properties.under("spec"), 1.0, "volume")


def _stateful_set(bill: ResourceBill) -> None:
    """Its pods run on nodes; each has the volumes of its claim templates."""
    spec = bill.properties.under("spec")
    templates = spec.each("volumeClaimTemplates")
    if not templates:
        bill.free()
        return
    replicas = spec.number("replicas")
    for each in templates:
        name = each.text("metadata.name") or "volume"
        _volume(bill, each.under("spec"), 1.0 if replicas is None else replicas, f"volumes {name}")


def _volume(bill: ResourceBill, spec: Properties, copies: Number, name: str) -> None:
    size = _gib(spec.get("resources.requests.storage"))
    total: Number = size * copies if isinstance(size, float) and isinstance(copies, float) else UNKNOWN
    storage_class = spec.text("storageClassName")
    cloud = _where(bill)
    kind = CLASSES.get((cloud, storage_class))
    words = () if storage_class else ("the cluster's default storage class",)
    if kind is None or spec.is_unknown("storageClassName"):
        why = f"what disks the storage class {storage_class or 'that is the default'} makes is not known here"
        bill.unpriced(name, "GB-month", total, why=why if cloud else "which cloud its cluster is in is not known")
    elif cloud == "azure":
        bill.nodes(copies)
        azure_machines.disk(bill, name, size, kind, per="node", assumed=words)
        bill.nodes(None)
    else:
        bill.item(f"{name}, {kind}", (AWS_DISKS if cloud == "aws" else GCP_DISKS)[kind], total, assumed=words)


def _gib(text: object) -> Number:
    """GiB of a Kubernetes quantity: `100Gi`, `1T`, a number of bytes."""
    if text is None or text is UNKNOWN:
        return UNKNOWN
    found = _SIZE.match(str(text))
    if not found:
        return UNKNOWN
    return float(found.group(1)) * (_GIB.get(found.group(2), 2.0**30) if found.group(2) else 2.0**-30)


def _ingress(bill: ResourceBill) -> None:
    own = bill.properties
    name = own.text("spec.ingressClassName") or str(
        own.under("metadata.annotations").values.get("kubernetes.io/ingress.class", "")
    )
    if name in ("alb", "gce", "gce-internal", "azure-application-gateway", "webapprouting.kubernetes.azure.com", ""):
        bill.unpriced("load balancer of its controller", "hour", why="what its controller makes is not in the preview")
    else:
        bill.free()


def _release(bill: ResourceBill) -> None:
    bill.unknown("children unknown: what the chart makes is not in the preview")


def _by_controller(bill: ResourceBill) -> None:
    bill.unknown("children unknown: its controller makes machines or other resources by itself")


PRICERS: Final[dict[str, Pricer]] = {
    "core/v1:service": _service,
    "core/v1:persistentvolumeclaim": _claim,
    "apps/v1:statefulset": _stateful_set,
    "networking.k8s.io/v1:ingress": _ingress,
    "extensions/v1beta1:ingress": _ingress,
    "networking.k8s.io/v1beta1:ingress": _ingress,
    "helm.sh/v3:release": _release,
    "yaml/v2:configgroup": _release,
    "kustomize/v2:directory": _release,
}
MAKES_RESOURCES: Final = (
    "karpenter",
    "cluster.x-k8s.io",
    "upbound.io",
    "crossplane.io",
    "services.k8s.aws",
    "cnrm.cloud.google.com",
    "gateway.networking.k8s.io",
    "azure.com",
)
"""Groups of custom resources whose controllers make what a cloud bills."""


def pricer_of(kind: str) -> Pricer:
    """Of any kind: objects that no line above prices run on the cluster's nodes."""
    if kind in PRICERS:
        return PRICERS[kind]
    group = kind.partition("/")[0]
    if any(word in group for word in MAKES_RESOURCES):
        return _by_controller
    return lambda bill: bill.free()
