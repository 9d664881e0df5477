"""The engine's steps as a `Preview`: each resource once, with both ends and its region."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from planners.infrastructure.kinds import CLOUDS, cloud_of, is_zone, package_of, region_of_place
from planners.infrastructure.preview import Preview, ResourceStep
from planners.infrastructure.properties import filled, known
from planners.infrastructure.value import Operation, Resource

OPERATIONS: dict[str, Operation] = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "same": "same",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "discard-replaced": "replace",
    "import": "import",
    "import-replacement": "replace",
    "refresh": "refresh",
    "read": "read",
    "read-replacement": "read",
    "discard": "read",
    "read-discard": "read",
}
"""The engine's operation → ours; others (`remove-pending-replace`) change nothing that is paid for.
github.com/pulumi/pulumi sdk/go/common/display/operation_type.go"""
_RANK: dict[Operation, int] = {
    "refresh": 0,
    "same": 1,
    "read": 2,
    "update": 3,
    "import": 4,
    "create": 4,
    "delete": 5,
    "replace": 6,
}
"""Of several steps of one resource the one with the highest number names the change."""
_PLACES = ("region", "location", "zone", "availabilityZone")
_ARN = re.compile(r"^arn:aws[\w-]*:[\w-]+:([a-z0-9-]+):")
Raw = Mapping[str, Any]


def preview_of(steps: Iterable[Raw], *, config: Mapping[str, Any] | None = None, unchanged: int = 0) -> Preview:
    """steps: `op`, `urn`, `old` and `new` states as the engine writes them, `changed` paths; unchanged: how many of
    the resources stay as they are, by the engine's own count."""
    texts = {key: value for key, value in (config or {}).items() if isinstance(value, str)}
    merged: dict[str, dict[str, Any]] = {}
    for raw in steps:
        op = OPERATIONS.get(str(raw.get("op")))
        urn = raw.get("urn")
        if op is None or not isinstance(urn, str):
            continue
        _merge(merged.setdefault(urn, {"op": op, "old": None, "new": None, "changed": []}), op, raw)
    providers = _providers(merged)
    found = [_step(urn, raw, providers, texts) for urn, raw in merged.items()]
    shown = sum(step.op == "same" for step in found)
    project, stack = _names(merged)
    return Preview(
        project=project,
        stack=stack,
        steps=_with_regions_of_groups([step for step in found if step.before or step.after]),
        config=texts,
        unchanged_not_shown=max(0, unchanged - shown),
    )


def _merge(into: dict[str, Any], op: Operation, raw: Raw) -> None:
    """Into what is known of the resource: the oldest old state and the newest new one."""
    if _RANK[op] > _RANK[into["op"]] or into["op"] == "refresh":
        into["op"] = op
    old, new = raw.get("old"), raw.get("new")
    if isinstance(old, Mapping) and into["old"] is None and op not in ("create", "import", "read"):
        into["old"] = old
    if isinstance(new, Mapping) and op != "delete" and raw.get("op") != "delete-replaced":
        into["new"] = new
    elif op == "delete" or (op == "refresh" and new is None):
        into["new"] = None
    into["changed"] += [path for path in raw.get("changed") or () if path not in into["changed"]]


def _step(urn: str, raw: Mapping[str, Any], providers: Mapping[str, Any], config: Mapping[str, str]) -> ResourceStep:
    op = raw["op"]
    old, new = raw["old"], raw["new"]
    if op == "same" and old is None:
        old = new
    return ResourceStep(
        op=op,
        before=_resource(urn, old, providers, config, is_read=op == "read") if old is not None else None,
        after=_resource(urn, new, providers, config, is_read=op == "read") if new is not None else None,
        changed=tuple(raw["changed"]),
    )


def _resource(
    urn: str, state: Raw, providers: Mapping[str, Any], config: Mapping[str, str], *, is_read: bool
) -> Resource:
    inputs = state.get("inputs") or {}
    outputs = state.get("outputs") or {}
    properties = filled(known(inputs), known(outputs)) if outputs else known(inputs)
    properties = properties if isinstance(properties, dict) else {}
    kind = str(state.get("type") or _type_of(urn))
    provider = str(state.get("provider") or "")
    cloud = cloud_of(kind)
    is_component = state.get("custom") is False and not kind.startswith("pulumi:pulumi:")
    return Resource(
        urn=urn,
        type=kind,
        name=urn.rpartition("::")[2],
        parent=str(state.get("parent") or ""),
        cloud=cloud,
        region=_region(cloud, properties, provider, providers, config) if cloud else "",
        properties=properties,
        source=_source(state.get("sourcePosition")),
        id=_text(state.get("id")),
        dependencies=_dependencies(state.get("propertyDependencies")),
        provider=provider,
        is_component=is_component,
        is_external=is_read or bool(state.get("external")),
    )


def _region(
    cloud: str, properties: Mapping[str, Any], provider: str, providers: Mapping[str, Any], config: Mapping[str, str]
) -> str:
    """Of the resource, else of its ARN, else of its provider, else of the stack's configuration; empty = unknown."""
    places: list[Any] = [properties.get(name) for name in _PLACES]
    arn = _ARN.match(_text(properties.get("arn"))) if cloud == "aws" else None
    places += [arn.group(1)] if arn else []
    inputs = providers.get(provider.rpartition("::")[0])
    package = package_of(provider.split("::")[2].removeprefix("pulumi:providers:")) if provider.count("::") > 2 else ""
    if inputs is not None:
        places += [inputs.get(name) for name in _PLACES]
    if not provider or provider.rpartition("::")[0].rpartition("::")[2].startswith("default"):
        packages = [package] if package else [name for name in CLOUDS if CLOUDS[name] == cloud]
        places += [config.get(f"{name}:{place}") for name in packages for place in _PLACES]
    return next((region_of_place(cloud, place) for place in map(_text, places) if place), "")


def provider_zone(resource: Resource, preview: Preview) -> str:
    """The zone that a resource of Google without a place of its own gets; empty = unknown."""
    owner = resource.provider.rpartition("::")[0]
    for step in preview.steps:
        one = step.after or step.before
        if one and one.urn == owner and (zone := _text(one.properties.get("zone"))):
            return zone
    zone = preview.config.get("gcp:zone", "")
    return zone if is_zone(zone) else ""


def _providers(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of the providers that the preview names, by urn."""
    found = {}
    for urn, raw in merged.items():
        if "::pulumi:providers:" in urn:
            inputs = known((raw["new"] or raw["old"] or {}).get("inputs") or {})
            found[urn] = inputs if isinstance(inputs, dict) else {}
    return found


def _with_regions_of_groups(steps: Sequence[ResourceStep]) -> tuple[ResourceStep, ...]:
    """A resource of Azure without a location is where its resource group is."""
    groups = {
        one.urn: _text(one.properties.get("location"))
        for step in steps
        for one in (step.before, step.after)
        if one and one.type.endswith(":ResourceGroup")
    }
    if not any(groups.values()):
        return tuple(steps)

    def placed(one: Resource | None) -> Resource | None:
        if one is None or one.cloud != "azure" or _text(one.properties.get("location")):
            return one
        places = {groups.get(urn, "") for urn in one.dependencies.get("resourceGroupName", ())} - {""}
        if len(places) != 1:
            return one
        return replace(one, region=region_of_place("azure", places.pop()))

    return tuple(replace(step, before=placed(step.before), after=placed(step.after)) for step in steps)


def _dependencies(raw: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, Mapping):
        return {}
    return {name: tuple(map(str, urns)) for name, urns in raw.items() if isinstance(urns, list) and urns}


def _source(position: Any) -> str:
    """`__main__.py:22` of `project:///__main__.py#22,4`; empty for places outside the program."""
    text = _text(position)
    if not text.startswith("project:///") or "/../" in text:
        return ""
    path, _, line = text.removeprefix("project:///").partition("#")
    line = line.partition(",")[0]
    return f"{path}:{line}" if line.isdigit() else path


def _names(merged: Iterable[str]) -> tuple[str, str]:
    """Project and stack, as the first urn has them."""
    for urn in merged:
        parts = urn.split("::")
        if len(parts) >= 4 and parts[0].startswith("urn:pulumi:"):
            return parts[1], parts[0].removeprefix("urn:pulumi:")
    return "", ""


def _type_of(urn: str) -> str:
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) >= 4 else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
