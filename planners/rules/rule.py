"""A rule: its id, why it is there, what can be set, and how the properties of a resource are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import Field

from planners.infrastructure.value import ResourceChange, Unknown
from planners.plan.value import Plan
from planners.spec.spec_model import SpecModel

Group = Literal["money", "capacity", "safety", "reproducibility", "waste"]
RuleLevel = Literal["off", "advisory", "mandatory"]
Properties = Mapping[str, Any]


class RuleSetting(SpecModel):
    """What a policies file may set of any rule."""

    level: RuleLevel = Field("advisory", description="off, advisory or mandatory.")


class SafetySetting(RuleSetting):
    """What it may set of a rule for resources."""

    strict: bool = Field(False, description="Ask for what fleets of clusterctl keep to, beyond what is unsafe.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, as people read it."""

    id: str
    group: Group
    level: RuleLevel = "advisory"
    """Where nothing else is set."""
    summary: str
    """What breaks it, in one sentence."""
    why: str
    setting: type[RuleSetting] = RuleSetting

    def setting_from(self, stated: Mapping[str, Any]) -> RuleSetting:
        """Its setting; what isn't stated is as the rule has it.  Raises pydantic's ValidationError."""
        return self.setting.model_validate({"level": self.level, **stated})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFacts:
    """What a resource's stack says of it."""

    given_tags: frozenset[str] = frozenset()
    """Names of the tags that its provider gives to each resource."""
    disks_encrypted_by_default: bool = False
    """Whether the stack has AWS encrypt every new disk."""
    today: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRule:
    """A rule that looks at one resource: its type and properties as Pulumi spells them."""

    rule: Rule
    problems: Callable[[str, Properties, Any, StackFacts], Iterator[str]]
    """Type, properties, the rule's setting, the stack -> sentences; none where the resource keeps to the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One way in which a plan breaks a rule."""

    message: str
    key: str = ""
    """What breaks it, without numbers that any change moves: the base breaks it in the same way if its key is equal."""
    field: tuple[str | int, ...] = ()
    """Of the spec, where one field is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run's plan before and after a change."""

    before: Plan | None
    """None where it is new, or the base has no plan of it."""
    after: Plan
    today: date


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRule:
    """A rule that looks at a run."""

    rule: Rule
    problems: Callable[[RunFacts, Any], Iterator[Violation]]
    """The facts, the rule's setting -> what breaks it."""
    is_about_change: bool = False
    """Whether it is the change that breaks it: never the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfrastructureRule:
    """A rule that looks at all resources of a change at once."""

    rule: Rule
    problems: Callable[[Sequence[ResourceChange], Any], Iterator[Violation]]


def plain_type(kind: str) -> str:
    """A resource's type without the version of its interface: `azure-native:network:SecurityRule`."""
    return re.sub(r"^(azure-native:[a-z]+)/v\d{8}(?:preview|privatepreview)?:", r"\1:", kind)


def short_type(kind: str) -> str:
    """`Instance`."""
    return kind.rpartition(":")[2]


def at(properties: Any, path: str) -> Any:
    """What stands at `vpcConfig.publicAccessCidrs`; None where nothing does, Unknown where only the apply will tell."""
    for step in path.split("."):
        if not isinstance(properties, Mapping):
            return properties if is_unknown(properties) else None
        properties = properties.get(step)
    return properties


def is_unknown(value: Any) -> bool:
    """Whether a value is known only after the apply: that breaks no rule."""
    return isinstance(value, Unknown)


def items(value: Any) -> list[Any]:
    """A list's known items; one value that stands alone is a list of one."""
    found = value if _is_list(value) else [] if value is None else [value]
    return [item for item in found if not is_unknown(item)]


def _is_list(value: Any) -> bool:
    """Policy packs are given lists of a class of Pulumi's own."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Those items of a list that are mappings."""
    return [item for item in items(value) if isinstance(item, Mapping)]


def is_true(value: Any) -> bool:
    """Providers spell some booleans as text."""
    return value is True or value == "true"


def is_false(value: Any) -> bool:
    """Stated as false; absent and unknown are neither."""
    return value is False or value == "false"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a resource's properties, with the way to it: `.ingress.cidrBlocks`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif _is_list(value):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value
