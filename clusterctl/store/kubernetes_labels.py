"""Labels of nodes and pods in a Prometheus: those of kube-state-metrics, and those that an exporter adds to series."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clusterctl.store.promql import quoted
from clusterctl.store.series import node_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from clusterctl.store.series import PrometheusSeries

Labels = dict[str, dict[str, str]]
MOST_PODS = 500
"""That are asked for by name: their pattern has to fit into a query."""
_EXPORTERS = re.compile(
    r"__\w+|gpu|UUID|device|modelName|model|[Hh]ostname|pci_bus_id|run|role|pod|namespace|container|job|instance|endpoint"
    r"|service|prometheus|err_\w+|GPU_I_\w+|DCGM_\w+|pod_uid|vgpu|exported_\w+"
)
"""Labels that say nothing of a pod that holds a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLabels:
    """What a source knows of machines and pods beside measurements: name → label → value; pods are `namespace/pod`."""

    nodes: Labels = field(default_factory=dict)
    pods: Labels = field(default_factory=dict)


def label_queries(pods: Collection[str], seconds: int) -> dict[str, str]:
    """PromQL by what it asks."""
    names = "|".join(re.escape(pod.partition("/")[2]) for pod in list(pods)[:MOST_PODS])
    queries = {
        "node_info": f"last_over_time(kube_node_info[{seconds}s])",
        "node_labels": f"last_over_time(kube_node_labels[{seconds}s])",
        "series": f"last_over_time(DCGM_FI_DEV_FB_USED[{seconds}s])",
    }
    if names:
        queries["pod_labels"] = f"last_over_time(kube_pod_labels{{pod=~{quoted(names)}}}[{seconds}s])"
    return queries


def read_labels(answers: Mapping[str, Sequence[PrometheusSeries]]) -> SourceLabels:
    """The answers of `label_queries` as labels."""
    nodes: Labels = {}
    pods: Labels = {}
    for one in answers.get("node_info", ()):
        found = nodes.setdefault(one.labels.get("node", ""), {})
        found |= {name: text for name, text in one.labels.items() if name == "provider_id"}
    for one in answers.get("node_labels", ()):
        nodes.setdefault(one.labels.get("node", ""), {}).update(_kubernetes(one.labels))
    for one in answers.get("series", ()):
        run, _ = owner_of(one.labels)
        added = {
            name.removeprefix("label_"): text
            for name, text in one.labels.items()
            if text and not _EXPORTERS.fullmatch(name)
        }
        if run is not None and added:
            pods.setdefault(run, {}).update(added)
        node = node_of(one.labels)
        if node is not None and (place := {n: t for n, t in added.items() if n.startswith(("topology_", "node_"))}):
            nodes.setdefault(node, {}).update(place)
    for one in answers.get("pod_labels", ()):
        pod = f"{one.labels.get('namespace', '')}/{one.labels.get('pod', '')}"
        pods.setdefault(pod, {}).update(_kubernetes(one.labels))
    return SourceLabels(nodes=nodes, pods=pods)


def _kubernetes(labels: Mapping[str, str]) -> dict[str, str]:
    """Those that kube-state-metrics passes on, without its prefix."""
    return {name.removeprefix("label_"): text for name, text in labels.items() if name.startswith("label_") and text}
