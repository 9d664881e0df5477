"""A preview of the engine: what happens to each resource of a stack, both ends as the program asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from planners.infrastructure.value import Operation, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStep:
    """One resource, counted once, however many steps the engine takes to replace it."""

    op: Operation
    before: Resource | None
    after: Resource | None
    changed: tuple[str, ...] = ()
    """Paths of properties that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the engine would do to one stack."""

    project: str
    stack: str
    steps: tuple[ResourceStep, ...]
    config: Mapping[str, str] = field(default_factory=dict)
    unchanged_not_shown: int = 0
    """Resources that stay as they are and are left out: the engine shows them on `--show-sames`."""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`project/stack`; empty where no resource says it."""
        return f"{self.project}/{self.stack}".strip("/")
