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
    pool_id: str = ""
    """Pool of the plan on whose machines it runs; empty = beside the supervisor."""
    nodes: int = 1
    """Nodes of the pool that it takes.  With more than one it is a gang: the end of one rank ends all."""
    gpus_per_node: int = 0
    cpus: float | None = None
    """vCPUs per node; None = what the place gives."""
    memory_gib: float | None = None
    """Memory per node; None = what the place gives."""
    image: str = ""
    """Container image by digest, where the place runs containers; empty = the place's own."""
    setup: str = ""
    """Shell script that runs on each node before the command; it may run again."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text files of the role's folder, by relative path: the framework's own configuration."""
    secrets: tuple[str, ...] = ()
    """Names of environment variables whose values the place keeps."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Ports on which it listens, by name; the first one is asked whether it is ready."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Variable -> `role` or `role:port`: filled with `http://host:port` of each ready instance, joined by commas."""
    ready_path: str = ""
    """HTTP path that answers 200 once it is ready; empty = ready as soon as it runs."""
    max_seconds: float | None = None
    """The scheduler ends it then; None = with the run's limits."""
    stop_signal: str = "TERM"
    """What asks it to save its work and end."""
