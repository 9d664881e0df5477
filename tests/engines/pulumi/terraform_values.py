"""Values between Pulumi (camelCase, lists in the plural, a list of at most one flattened) and Terraform (snake_case, blocks), by Terraform's schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgpack

UNKNOWN = msgpack.ExtType(0, b"\0")
"""What is not known before the cloud has made it, as Terraform spells it."""
LIST, SET, MAP = 2, 3, 4
"""How a block is nested, as the schema numbers it."""


def camel(name: str) -> str:
    """`cidr_block` → `cidrBlock`."""
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    """`cidrBlock` → `cidr_block`."""
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def plural(name: str) -> str:
    """As Pulumi names lists."""
    if name.endswith("s"):
        return name
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("x", "ch", "sh")) else f"{name}s"


def is_unknown(value: Any) -> bool:
    """Whether the cloud says it later."""
    return isinstance(value, msgpack.ExtType)


def to_type(kind: Any, value: Any) -> Any:
    """A value of Pulumi as Terraform's type."""
    if value is None or is_unknown(value):
        return value
    if isinstance(kind, str):
        return _to_simple(kind, value)
    outer, inner = kind
    if outer in {"list", "set"}:
        return [to_type(inner, each) for each in (value if isinstance(value, list) else [value])]
    if outer == "map":
        return {name: to_type(inner, each) for name, each in value.items()}
    given = {snake(name): each for name, each in value.items()}
    return {name: to_type(each, given.get(name)) for name, each in inner.items()}


def _to_simple(kind: str, value: Any) -> Any:
    if kind == "bool":
        return value in (True, "true")
    if kind == "number":
        return int(value) if float(value).is_integer() else float(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def to_block(block: Any, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Pulumi's properties as a block of Terraform."""
    names = {}
    for name in [*(each.name for each in block.attributes), *(each.type_name for each in block.block_types)]:
        names[camel(name)] = name
        names.setdefault(plural(camel(name)), name)
    values = {names.get(name, snake(name)): value for name, value in (given or {}).items()}
    made = {
        each.name: None
        if each.computed and not each.optional
        else to_type(json.loads(each.type), values.get(each.name))
        for each in block.attributes
    }
    for each in block.block_types:
        value = values.get(each.type_name)
        if each.nesting in {LIST, SET}:
            several = value if isinstance(value, list) else [] if value is None else [value]
            made[each.type_name] = value if is_unknown(value) else [to_block(each.block, one) for one in several]
        elif each.nesting == MAP:
            made[each.type_name] = {name: to_block(each.block, one) for name, one in (value or {}).items()}
        else:
            made[each.type_name] = None if value is None else to_block(each.block, value)
    return made


def from_type(kind: Any, value: Any) -> Any:
    """A value of Terraform as Pulumi has it."""
    if value is None or is_unknown(value) or isinstance(kind, str):
        return value
    outer, inner = kind
    if outer in {"list", "set"}:
        return [from_type(inner, each) for each in value]
    if outer == "map":
        return {name: from_type(inner, each) for name, each in value.items()}
    return {camel(name): from_type(inner[name], each) for name, each in value.items()}


def from_block(block: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """A block of Terraform as Pulumi's properties."""
    made: dict[str, Any] = {}
    for each in block.attributes:
        value = state.get(each.name)
        if value is not None:
            kind = json.loads(each.type)
            nested = isinstance(kind, list) and kind[0] in {"list", "set"} and isinstance(kind[1], list)
            shown = from_type(kind, value)
            if nested:  # Pulumi knows of some that there is one at most, which the schema doesn't say
                made[plural(camel(each.name))] = shown
                shown = shown[0] if isinstance(shown, list) and len(shown) == 1 else shown
            made.setdefault(camel(each.name), shown)
    for each in block.block_types:
        value, name, one = state.get(each.type_name), camel(each.type_name), each.max_items == 1
        if value is None or value == []:
            continue
        if is_unknown(value):
            made[name if one else plural(name)] = value
        elif each.nesting in {LIST, SET}:
            several = [from_block(each.block, inner) for inner in value]
            made[name if one else plural(name)] = several[0] if one else several
        elif each.nesting == MAP:
            made[name] = {key: from_block(each.block, inner) for key, inner in value.items()}
        else:
            made[name] = from_block(each.block, value)
    return made


def proposed(block: Any, prior: Mapping[str, Any] | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """What Terraform would propose: what nobody states and the cloud computes stays as it is."""
    if prior is None:
        return dict(config)
    made: dict[str, Any] = {}
    for each in block.attributes:
        stated = config.get(each.name)
        made[each.name] = prior.get(each.name) if stated is None and each.computed else stated
    for each in block.block_types:
        stated, before = config.get(each.type_name), prior.get(each.type_name) or []
        if each.nesting in {LIST, SET} and isinstance(stated, list):
            made[each.type_name] = [
                proposed(each.block, before[number] if number < len(before) else None, one)
                if each.nesting == LIST
                else proposed(each.block, _same(before, one), one)
                for number, one in enumerate(stated)
            ]
        else:
            made[each.type_name] = stated
    return made


def _same(before: list[Mapping[str, Any]], stated: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The element of a set that has all that is stated."""
    return next((each for each in before if all(each.get(k) == v or not v for k, v in stated.items())), None)
