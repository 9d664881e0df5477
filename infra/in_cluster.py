"""What a run finds in its cluster, on any cloud: a namespace with its accounts and their rights, sandboxes that reach
nothing, and what the cloud itself doesn't install."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import Namespace, ServiceAccount
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs as Meta
from pulumi_kubernetes.networking.v1 import NetworkPolicy
from pulumi_kubernetes.node.v1 import RuntimeClass
from pulumi_kubernetes.rbac.v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding
from pulumi_kubernetes.storage.v1 import StorageClass

from infra.made import Made
from infra.node_agents import device_plugin, pre_pull
from infra.node_fleet import JOBS, RUN_LABEL, SANDBOX_TAINT, SUPERVISOR, Fleet

METADATA = "169.254.169.254/32"
"""Where clouds tell a machine its credentials.  On GKE it is Google's own server, which tells a pod only its own."""
SANDBOXES = ["sandbox", "sandbox-stateful"]
WRITE = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
READ = ["get", "list", "watch"]
CORE = ["configmaps", "persistentvolumeclaims", "pods", "pods/exec", "pods/portforward", "secrets", "serviceaccounts"]
SUPERVISOR_RULES: Sequence[Mapping[str, Sequence[str]]] = (
    {"apiGroups": [""], "resources": [*CORE, "services"], "verbs": WRITE},
    {"apiGroups": [""], "resources": ["events", "pods/log"], "verbs": READ},
    {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": WRITE},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": WRITE},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": WRITE[:-1]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": WRITE},
    {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": READ[:2]},
)
"""In its namespace alone: what `clusterctl up` gives it (templates/kubernetes/place.yaml.j2), which a test compares."""
NODE_RULES: Sequence[Mapping[str, Sequence[str]]] = (
    {"apiGroups": [""], "resources": ["nodes"], "verbs": READ},
    {"apiGroups": ["node.k8s.io"], "resources": ["runtimeclasses"], "verbs": READ},
)
"""Of the cluster, to read: it asks for pods once their nodes have joined, and SkyPilot looks which GPUs nodes have."""


def equip(fleet: Fleet, made: Made) -> None:
    """Puts all of it into the cluster, through a provider that knows this cluster alone.

    Whoever runs it must reach the cluster's API, and have the program that prints credentials for it.
    """
    provider = kubernetes.Provider("cluster", kubeconfig=kubeconfig(fleet, made), delete_unreachable=True)
    options = pulumi.ResourceOptions(provider=provider)
    labels = {RUN_LABEL: fleet.run, "app.kubernetes.io/managed-by": "clusterctl"}
    space = Namespace("run", metadata=Meta(name=fleet.name_in_cluster, labels=labels), opts=options)
    within = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(parent=space))
    accounts(fleet, made, labels, within)
    policies(fleet, labels, within)
    classes(fleet, made, labels, options)
    for kind in made.device_plugins:
        device_plugin(kind, fleet, within)
    if fleet.settings.images:
        pre_pull(fleet, within)


def kubeconfig(fleet: Fleet, made: Made) -> pulumi.Output[str]:
    """How `kubectl` gets into the cluster, as text: it holds no credential, but the program that prints one."""

    def text(server: str, authority: str, command: list[str]) -> str:
        call = {"apiVersion": "client.authentication.k8s.io/v1", "command": command[0], "args": command[1:]}
        cluster = {"server": server, "certificate-authority-data": authority}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "fleet", "cluster": cluster}],
                "users": [{"name": "you", "user": {"exec": {**call, "interactiveMode": "IfAvailable"}}}],
                "contexts": [{"name": "fleet", "context": {"cluster": "fleet", "user": "you"}}],
                "current-context": "fleet",
            }
        )

    command = made.token_command
    if stated := fleet.settings.token_command:
        command = pulumi.Output.from_input(made.cluster).apply(lambda name: [*stated, name])
    return pulumi.Output.all(made.endpoint, made.certificate, command).apply(lambda found: text(*found))


def accounts(fleet: Fleet, made: Made, labels: Mapping[str, str], options: pulumi.ResourceOptions) -> None:
    """The supervisor's, with its rights in the namespace, and that of the run's pods, which has none."""
    for name, note, has_token in ((SUPERVISOR, made.supervisor_note, True), (JOBS, made.jobs_note, False)):
        meta = Meta(name=name, namespace=fleet.name_in_cluster, labels=labels, annotations=note)
        ServiceAccount(name, metadata=meta, automount_service_account_token=has_token, opts=options)
    meta = Meta(name=SUPERVISOR, namespace=fleet.name_in_cluster, labels=labels)
    supervisor = {"kind": "ServiceAccount", "name": SUPERVISOR, "namespace": fleet.name_in_cluster}
    Role(SUPERVISOR, metadata=meta, rules=list(SUPERVISOR_RULES), opts=options)
    RoleBinding(
        SUPERVISOR,
        metadata=meta,
        role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": SUPERVISOR},
        subjects=[supervisor],
        opts=options,
    )
    meta = Meta(name=fleet.name_in_cluster, labels=labels)
    ClusterRole("nodes", metadata=meta, rules=list(NODE_RULES), opts=options)
    ClusterRoleBinding(
        "nodes",
        metadata=meta,
        role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": fleet.name_in_cluster},
        subjects=[supervisor],
        opts=options,
    )


def policies(fleet: Fleet, labels: Mapping[str, str], options: pulumi.ResourceOptions) -> None:
    """Pods are reached from their namespace alone; none reaches the machine's credentials; sandboxes reach nothing."""
    part = "app.kubernetes.io/component"
    sandboxes = {"matchExpressions": [{"key": part, "operator": "In", "values": SANDBOXES}]}
    others = {"matchExpressions": [{"key": part, "operator": "NotIn", "values": SANDBOXES}]}
    outside = {"cidr": "0.0.0.0/0"} | ({} if fleet.cloud == "gcp" else {"except": [METADATA]})
    from_others = [{"from": [{"podSelector": others}]}]
    for name, spec in {
        "sandboxes": {
            "podSelector": sandboxes,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": from_others,
            "egress": [],
        },
        "no-metadata": {
            "podSelector": others,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": from_others,
            "egress": [{"to": [{"ipBlock": outside}, {"namespaceSelector": {}}]}],
        },
    }.items():
        meta = Meta(name=name, namespace=fleet.name_in_cluster, labels=labels)
        NetworkPolicy(name, metadata=meta, spec=spec, opts=options)


def classes(fleet: Fleet, made: Made, labels: Mapping[str, str], options: pulumi.ResourceOptions) -> None:
    """What sandboxes run in, which brings them to this run's nodes, and what nodes share."""
    meta, found = Meta(name=fleet.name_in_cluster, labels=labels), made.sandbox_class
    taints = {SANDBOX_TAINT: "only", **found.get("taints", {})}
    RuntimeClass(
        "sandbox",
        metadata=meta,
        handler=found["handler"],
        scheduling={
            "nodeSelector": {SANDBOX_TAINT: "only", RUN_LABEL: fleet.run, **found.get("nodes", {})},
            "tolerations": [
                {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
                for key, value in taints.items()
            ],
        },
        opts=options,
    )
    StorageClass(
        "shared",
        metadata=meta,
        provisioner=made.storage_class["provisioner"],
        parameters=made.storage_class["parameters"],
        volume_binding_mode="Immediate",
        reclaim_policy="Delete",
        opts=options,
    )
