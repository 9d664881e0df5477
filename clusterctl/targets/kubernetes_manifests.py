"""The objects of a run in a Kubernetes namespace: `templates/kubernetes/*.yaml.j2`, filled, named and labelled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import yaml

from clusterctl.paths import bundle_root
from clusterctl.targets.base import TAG_PREFIX

Object = dict[str, Any]
NAME_LENGTH = 42
"""Most characters of a name: SkyPilot and Kubernetes add what their own objects need to the 63 of a DNS label."""
RUN_LABEL, ROLE_LABEL, POOL_LABEL = (f"{TAG_PREFIX}/{what}" for what in ("run", "role", "pool"))
CREATES_PER_SECOND_PER_NODE = 4.5
"""Pods that a node starts: bound by its disk's syncs (kubernetes-sigs/agent-sandbox PR #1275)."""
NO_SCHEDULE = (
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": f"{TAG_PREFIX}/sandbox", "operator": "Exists", "effect": "NoSchedule"},
)
"""Taint that GPU nodes of all large providers have, and that of our own sandbox nodes: pods that may use these."""


def objects(template: str, *, labels: Mapping[str, str], annotations: Mapping[str, str], **values: Any) -> list[Object]:
    """The objects of a template in `templates/kubernetes/`.  Raises jinja2's UndefinedError for a missing value."""
    import jinja2

    folder = bundle_root() / "templates" / "kubernetes"
    settings = jinja2.Environment(  # noqa: S701 - YAML, every text goes through tojson
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined
    )
    text = settings.get_template(f"{template}.yaml.j2").render(pull="IfNotPresent", **_filled(values))
    made = [item for item in yaml.safe_load_all(text) if item]
    component = {"app.kubernetes.io/name": "clusterctl", "app.kubernetes.io/component": template}
    for item in made:
        _mark(item, component | dict(labels), annotations)
    return made


def name_of(*parts: str) -> str:
    """A DNS label of at most 42 characters for what the parts name: the same for the same parts, and no others."""
    told = "-".join(parts)
    if len(told) <= NAME_LENGTH and re.fullmatch(r"[a-z](?:[a-z0-9-]*[a-z0-9])?", told):
        return told
    plain = re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"run-{plain}"
    return f"{plain[: NAME_LENGTH - 9].strip('-')}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def run_labels(run_id: str, role: str = "", pool: str = "") -> dict[str, str]:
    """Labels of a run's objects: what lists and sweeps select by."""
    told = {RUN_LABEL: run_id, ROLE_LABEL: role, POOL_LABEL: pool}
    return {name: label_value(value) for name, value in told.items() if value}


def label_value(text: str) -> str:
    """As a label takes it: 63 letters, digits, `-`, `_` and `.`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def owned_by(items: Iterable[Object], owner: Object | None) -> list[Object]:
    """Copies that Kubernetes deletes with their owner."""
    made = deepcopy(list(items))
    for item in made if owner is not None else ():
        item["metadata"]["ownerReferences"] = [owner_reference(owner)]  # type: ignore[arg-type]
    return made


def owner_reference(owner: Object) -> Object:
    """How an object names the one with which it is deleted."""
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}


def next_replicas(*, wanted: int, ready: int, nodes: int, seconds: float) -> int:
    """How many sandboxes to ask for now: those that are ready, and what the nodes start until the next look.

    A pool that asks for all at once gets start-ups that time out, and several times as many pods as it wanted
    (agent-sandbox #1215).  nodes: those that take sandboxes; seconds: until the next look.
    """
    return min(wanted, ready + max(int(nodes * CREATES_PER_SECOND_PER_NODE * seconds), 1))


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Environments as Kubernetes lists them."""
    return {
        key: [{"name": name, "value": str(text)} for name, text in value.items()] if key == "environment" else value
        for key, value in values.items()
    }


def _mark(item: Object, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
    """Labels and annotations, on an object and on the pods that it makes."""
    spec = item.get("spec", {})
    for part in (item, spec.get("template"), spec.get("podTemplate")):
        if part is not None:
            meta = part.setdefault("metadata", {})
            meta["labels"] = dict(labels) | meta.get("labels", {})
            meta["annotations"] = dict(annotations) | meta.get("annotations", {})
