"""DaemonSets that nodes want: what makes their devices known to Kubernetes, and what fetches images beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes.apps.v1 import DaemonSet
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs as Meta

from infra.node_fleet import POOL_LABEL, RUN_LABEL, SANDBOX_TAINT, Fleet, NodePool

DEVICE_PLUGINS = {
    "nvidia": "nvcr.io/nvidia/k8s-device-plugin:v0.17.4",
    "efa": "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/aws-efa-k8s-device-plugin:v0.5.6",
}
"""https://github.com/NVIDIA/k8s-device-plugin, https://docs.aws.amazon.com/eks/latest/userguide/node-efa.html"""
PAUSE = "registry.k8s.io/pause:3.10"
LEAST = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
PLUGINS_FOLDER = "/var/lib/kubelet/device-plugins"


def device_plugin(kind: str, fleet: Fleet, options: pulumi.ResourceOptions) -> None:
    """kind: of DEVICE_PLUGINS, on the GPU nodes.  It takes no card itself."""
    container = {
        "name": kind,
        "image": DEVICE_PLUGINS[kind],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": LEAST,
        "volumeMounts": [{"name": "plugins", "mountPath": PLUGINS_FOLDER}],
    }
    if kind == "efa":  # as AWS's own manifest has it: it looks at the cards
        container["securityContext"] = {"privileged": True}
        container["volumeMounts"] = [*container["volumeMounts"], {"name": "cards", "mountPath": "/dev/infiniband"}]
    pod = {
        "automountServiceAccountToken": False,
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [container],
        "volumes": [
            {"name": "plugins", "hostPath": {"path": PLUGINS_FOLDER}},
            {"name": "cards", "hostPath": {"path": "/dev/infiniband"}},
        ],
    }
    _daemon_set(f"{kind}-device-plugin", fleet, fleet.gpu_pools, pod, options)


def pre_pull(fleet: Fleet, options: pulumi.ResourceOptions) -> None:
    """Each image once on every sandbox node, before anybody waits for it."""
    pod = {
        "automountServiceAccountToken": False,
        "tolerations": [{"key": SANDBOX_TAINT, "operator": "Exists", "effect": "NoSchedule"}],
        "initContainers": [
            {"name": f"image-{number}", "image": image, "command": ["true"], "resources": LEAST}
            for number, image in enumerate(fleet.settings.images)
        ],
        "containers": [{"name": "pause", "image": PAUSE, "resources": LEAST}],
    }
    _daemon_set("pre-pull", fleet, tuple(pool for pool in fleet.pools if not pool.gpu), pod, options)


def _daemon_set(
    name: str, fleet: Fleet, pools: tuple[NodePool, ...], pod: Mapping[str, Any], options: pulumi.ResourceOptions
) -> None:
    """On every node of the pools.  Nobody waits for it: pools begin without a node."""
    own = {"app.kubernetes.io/name": name, RUN_LABEL: fleet.run}
    wanted = {POOL_LABEL: [pool.name for pool in pools], RUN_LABEL: [fleet.run]}
    on = [{"key": key, "operator": "In", "values": values} for key, values in wanted.items()]
    terms = {"nodeSelectorTerms": [{"matchExpressions": on}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    DaemonSet(
        name,
        metadata=Meta(
            name=name, namespace=fleet.name_in_cluster, labels=own, annotations={"pulumi.com/skipAwait": "true"}
        ),
        spec={
            "selector": {"matchLabels": own},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {
                "metadata": {"labels": own},
                "spec": {"affinity": affinity, "enableServiceLinks": False, **pod},
            },
        },
        opts=options,
    )
