"""What the rules of alerts look at, and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from planners.alerts.check import Alert
from planners.alerts.rule_settings import LEVELS, Level
from planners.plan.plan_rows import Band
from planners.runs.forecast import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """One thing that needs a person, now."""

    key: str
    """The same as long as it is the same thing: rule, what it is about, and what tells two of them apart."""
    rule: str
    level: Level
    about: str
    """A run's id, or a node's name."""
    text: str
    fix: str = ""
    """A command or an advice; empty where there is none."""
    run: str | None = None
    step: int = 0
    """How far it has gone within its rule, such as percent of a budget: it is told again when this rises."""

    @property
    def rank(self) -> int:
        """How bad it is: a higher one is told again."""
        return (len(LEVELS) - LEVELS.index(self.level)) * 1_000_000 + self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """What was measured of a live run's GPUs."""

    idle_share: float | None = None
    """Of the measured GPU time of the rule's minutes; None where they were not measured for as long."""
    measured_gpus: int = 0
    silent_seconds: float | None = None
    """Since the newest measurement; None where there is none."""
    interval_seconds: float = 0.0
    """How far measurements are apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of a run."""

    run: str
    is_live: bool
    failed: bool = False
    note: str = ""
    """Why it failed."""
    ahead: Forecast | None = None
    """None where its plan can't be read."""
    planned_usd: Band | None = None
    """None while a price of its plan is unknown."""
    no_step_seconds: float | None = None
    """Since its last step; None before the first."""
    patience_seconds: float | None = None
    """Without a step, after which it is stopped as idle; None without a plan."""
    gpus: GpuFacts = GpuFacts()
    training: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverFacts:
    """What an ended run still has."""

    run: str
    resources: int
    known_usd_per_hour: Decimal
    unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareFacts:
    """What the agent of a node said of broken hardware."""

    rule: str
    """gpu_lost or xid."""
    node: str
    count: int
    text: str
    """The last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that rules look at."""

    runs: tuple[RunFacts, ...] = ()
    leftovers: tuple[LeftoverFacts, ...] = ()
    hardware: tuple[HardwareFacts, ...] = ()
    unknown: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(rule, run), run empty = whatever it is about -> why nobody knows: such alerts are neither new nor resolved."""

    def is_unknown(self, rule: str, about: str) -> bool:
        """Whether nobody knows if such an alert is open."""
        return (rule, "") in self.unknown or (rule, about) in self.unknown
