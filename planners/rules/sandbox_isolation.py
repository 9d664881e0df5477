"""Rules on what runs programs that nobody has read: nodes and a kernel of their own, no credentials, no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from planners.rules.public_storage import Required, lacking
from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    RuleSetting,
    SafetySetting,
    StackFacts,
    at,
    is_true,
    is_unknown,
    items,
    mappings,
    plain_type,
    short_type,
)
from planners.tags import tag_key

_OWN_LABEL = tag_key("kubernetes", "sandbox")
_WORD = re.compile(r"(?i)(^|[^a-z])sandbox(es)?([^a-z]|$)")
_CREDENTIALS = "pods get the machine's credentials"
_STRICT = (
    Required(r":LaunchTemplate$", "metadataOptions.httpTokens", ["required"], _CREDENTIALS),
    Required(r":LaunchTemplate$", "metadataOptions.httpPutResponseHopLimit", [1], _CREDENTIALS),
    Required(r"^gcp:container/nodePool", "nodeConfig.workloadMetadataConfig.mode", ["GKE_METADATA"], _CREDENTIALS),
)
_POOL = re.compile(r"(NodeGroup|NodePool|AgentPool|KubernetesClusterNodePool)$")
_WORKLOADS = ("Pod", "Deployment", "StatefulSet", "Job", "CronJob", "ReplicaSet")


def _not_isolated(kind: str, properties: Properties, setting: SafetySetting, _stack: StackFacts) -> Iterator[str]:
    kind = plain_type(kind)
    if setting.strict:
        yield from lacking(_STRICT, kind, properties)
    if _POOL.search(kind) is not None and not kind.startswith("kubernetes:"):
        yield from _pool(kind, properties, strict=setting.strict)
    elif kind.startswith("kubernetes:") and short_type(kind) in _WORKLOADS and not setting.strict:
        yield from _workload(properties)


def _pool(kind: str, properties: Properties, *, strict: bool) -> Iterator[str]:
    labels = _first(properties, "labels", "nodeLabels", "nodeConfig.labels")
    taints = _first(properties, "taints", "nodeTaints", "nodeConfig.taints")
    if not (_OWN_LABEL in json.dumps(labels, default=str) if strict else _says_sandbox(labels)):
        return
    if is_unknown(taints):
        return
    if not taints or (strict and _OWN_LABEL not in json.dumps(taints, default=str)):
        yield "nothing keeps other pods off the sandbox nodes: it has no taint"
    gvisor = at(properties, "nodeConfig.sandboxConfig.sandboxType") == "gvisor"
    gvisor |= at(properties, "nodeConfig.sandboxConfig.type") == "GVISOR"
    runtime = properties.get("workloadRuntime")
    kata = runtime == "KataVmIsolation" if strict else str(runtime).startswith("Kata") or is_unknown(runtime)
    if (kind.startswith("gcp:") and not gvisor) or (kind.startswith("azure") and not kata):
        yield "sandboxes share the kernel of their node"


def _first(properties: Properties, *paths: str) -> Any:
    return next((found for path in paths if (found := at(properties, path))), None)


def _says_sandbox(labels: Any) -> bool:
    """A label whose key or value speaks of sandboxes, and isn't `false`."""
    found = labels if isinstance(labels, Mapping) else {}
    return any(
        (_WORD.search(str(key)) and str(value).lower() != "false") or _WORD.search(str(value))
        for key, value in found.items()
    )


def _workload(properties: Properties) -> Iterator[str]:
    pod, labels = _pod(properties)
    if not _says_sandbox(labels) or not isinstance(pod, Mapping):
        return
    if not pod.get("runtimeClassName"):
        yield "its sandboxes share the kernel of their node: it names no runtimeClassName (gVisor, Kata)"
    for container in mappings(pod.get("containers")):
        if is_true(at(container, "securityContext.privileged")):
            yield f"container {container.get('name')} is privileged: programs in it own the node"


def _pod(properties: Properties) -> tuple[Any, Any]:
    """A workload's pod, and the labels of it."""
    for path in ("spec.jobTemplate.spec.template", "spec.template"):
        if isinstance(at(properties, path), Mapping):
            return at(properties, f"{path}.spec"), at(properties, f"{path}.metadata.labels")
    return properties.get("spec"), at(properties, "metadata.labels")


def _network(kind: str, properties: Properties, _setting: RuleSetting, _stack: StackFacts) -> Iterator[str]:
    if not kind.startswith("kubernetes:"):
        return
    if short_type(kind) in _WORKLOADS:
        pod, labels = _pod(properties)
        if _says_sandbox(labels) and is_true(at(pod, "hostNetwork")):
            yield "its sandboxes are in the network of their node (hostNetwork)"
        return
    if short_type(kind) != "NetworkPolicy" or not _is_for_sandboxes(properties):
        return
    for rule in mappings(at(properties, "spec.egress")):
        to = rule.get("to")
        if not to and not is_unknown(to) and not _is_names_only(rule):
            yield "sandboxes reach every address (an egress rule without `to`)"
        for peer in mappings(to):
            block = str(at(peer, "ipBlock.cidr"))
            if block in {"0.0.0.0/0", "::/0"} and not _is_names_only(rule):
                yield f"sandboxes reach every address ({block})"


def _is_names_only(rule: Mapping[str, Any]) -> bool:
    """Whether a rule lets out questions for names alone."""
    ports = mappings(rule.get("ports"))
    return bool(ports) and all(port.get("port") in {53, "53", "dns"} for port in ports)


def _is_for_sandboxes(properties: Properties) -> bool:
    """By the pods that it chooses, else by its name or namespace; one that leaves sandboxes out is for others."""
    chosen = at(properties, "spec.podSelector")
    terms = mappings(at(chosen, "matchExpressions"))
    said = [str(value) for term in terms for value in [term.get("key"), *items(term.get("values"))]]
    if any(_WORD.search(text) for text in said):
        return all(term.get("operator") in {"In", "Exists"} for term in terms)
    names = [at(properties, "metadata.name"), at(properties, "metadata.namespace")]
    return _says_sandbox(at(chosen, "matchLabels")) or any(_WORD.search(str(name)) for name in names)


SANDBOX_NOT_ISOLATED = ResourceRule(
    rule=Rule(
        id="sandbox-not-isolated",
        group="safety",
        summary="A pool or pod for sandboxes has no taint, shares a kernel, or is privileged.",
        why="Programs that nobody has read run there: one hole in a shared kernel gives them the node.",
        setting=SafetySetting,
    ),
    problems=_not_isolated,
)
SANDBOX_NETWORK = ResourceRule(
    rule=Rule(
        id="sandbox-network",
        group="safety",
        summary="Sandboxes may reach the internet, or share the network of their node.",
        why="A program that nobody has read can then send data out, or attack others from your address.",
    ),
    problems=_network,
)
