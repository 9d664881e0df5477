"""Role to command: what each role of a run executes, wherever it lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How to start an instance: the command and its environment (no secrets: they are read by name)."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    """What a later start must know of this one; kept with the resource in the ledger."""
