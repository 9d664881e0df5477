"""The resources of a stack at one end of a change, and which of them refer to each other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from planners.infrastructure.kinds import kind_of
from planners.infrastructure.preview import Preview
from planners.infrastructure.price_protocol import ResourcePrices
from planners.infrastructure.properties import Properties
from planners.infrastructure.read_steps import provider_zone
from planners.infrastructure.value import UNKNOWN, Resource


class Program:
    """One end of a preview, with the prices by which it is priced."""

    def __init__(self, resources: Iterable[Resource], prices: ResourcePrices, preview: Preview) -> None:
        self.resources = {resource.urn: resource for resource in resources}
        self.prices = prices
        self._preview = preview

    def linked(self, resource: Resource, name: str, *kinds: str) -> list[Resource]:
        """The resources of these kinds that a property refers to, also through an object in it.

        By the engine's dependencies; else by id, name or ARN.  The engine's events say no dependencies: then it is the
        one that has the resource's own name, else each of the program's that it may be.
        """
        urns = resource.dependencies.get(name)
        value = resource.properties.get(name)
        found = [self.resources[urn] for urn in urns or () if urn in self.resources]
        found = [one for one in found if kind_of(one.type) in kinds]
        if found:
            return found
        found = [one for text in _texts(value) for one in self._by_id.get(text, ()) if kind_of(one.type) in kinds]
        if found or value is None or resource.dependencies:
            return found
        candidates = self.of_kind(*kinds)
        if not _has_unknown(value) and any(one.id for one in candidates):
            return []  # it refers to something outside the program
        return [one for one in candidates if one.name == resource.name] or candidates

    def users(self, resource: Resource) -> list[Resource]:
        """The resources whose properties are made of this one."""
        return self._users.get(resource.urn, [])

    def of_kind(self, *kinds: str) -> list[Resource]:
        """All of these kinds."""
        return [one for kind in kinds for one in self._by_kind.get(kind, ())]

    def has_children(self, resource: Resource) -> bool:
        """Whether a resource lies below a component."""
        return resource.urn in self._parents

    def zone_of_provider(self, resource: Resource) -> str:
        """Zone that Google's provider fills in; empty = unknown."""
        return provider_zone(resource, self._preview)

    @cached_property
    def _by_kind(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for one in self.resources.values():
            found.setdefault(kind_of(one.type), []).append(one)
        return found

    @cached_property
    def _by_id(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for one in self.resources.values():
            properties = Properties(one.properties)
            names = {one.id, *(properties.text(name) for name in ("arn", "name", "selfLink", "natIp", "address"))}
            for text in names - {""}:
                found.setdefault(text, []).append(one)
        return found

    @cached_property
    def _users(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for one in self.resources.values():
            urns = {urn for urns in one.dependencies.values() for urn in urns}
            if not one.dependencies:
                urns = {made.urn for text in _texts(one.properties) for made in self._by_id.get(text, ())}
            for urn in urns - {one.urn}:
                found.setdefault(urn, []).append(one)
        return found

    @cached_property
    def _parents(self) -> frozenset[str]:
        return frozenset(one.parent for one in self.resources.values() if one.parent)


def _texts(value: Any) -> list[str]:
    """The texts in a value, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return []


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(_has_unknown(each) for each in value)
    return value is UNKNOWN
