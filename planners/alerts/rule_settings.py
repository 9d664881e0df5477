"""What a person may say about each rule: whether it is on, its level, its threshold, whom it is sent to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from planners.spec.spec_model import Minutes, SpecModel, Word

Level = Literal["bad", "warn", "info"]
LEVELS: tuple[Level, ...] = ("bad", "warn", "info")
"""The worst first.  `info` is told, and is nothing that a person must mend."""
IDLE_PERCENT, IDLE_MINUTES = 50.0, 30.0
"""Our convention: half of the paid GPU time is lost for as long as the longest usual step takes."""
BUDGET_PERCENTS = (50.0, 80.0, 100.0)
"""As the budget alerts that clouds propose: https://cloud.google.com/billing/docs/how-to/budgets says 50%, 90%, 100%;
80% is where the limits of a run warn (`planners.runs.limits.WARN_SHARE`)."""
BUDGET_WARNS_FROM = 80.0
"""Percent of a budget from which on its alert is a warning; below it is information."""
SILENT_MINUTES = 2.0
"""Without telemetry: twelve intervals of the agent."""

Percent = Annotated[float, Field(strict=True, gt=0, le=100, json_schema_extra={"unit": "percent"})]


class RuleSettings(SpecModel):
    """Settings of one rule."""

    enabled: bool = Field(True, description="Whether the rule is looked at; `RULE: off` says the same as false here.")
    level: Level | None = Field(
        None, description="bad, warn or info, instead of the rule's own; `RULE: bad` says the same."
    )
    to: Annotated[tuple[Word, ...], Field(max_length=50)] | None = Field(
        None, description="Names of the receivers that are told; none stated: those of the file's own `to`."
    )


class StalledSettings(RuleSettings):
    """When a run does nothing."""

    minutes: Minutes | None = Field(
        None, description="Minutes without a step; not stated: half of what its limit of idleness allows."
    )


class IdleSettings(RuleSettings):
    """When GPUs of a live run are paid for nothing."""

    above_percent: Percent = Field(IDLE_PERCENT, description="Share of the measured GPU time that is idle.")
    minutes: Minutes = Field(IDLE_MINUTES, description="Over so many minutes.")


class BudgetSettings(RuleSettings):
    """How much of a run's limit in dollars or hours is used."""

    at_percent: Annotated[tuple[Annotated[float, Field(strict=True, gt=0, le=1000)], ...], Field(min_length=1)] = Field(
        BUDGET_PERCENTS, description="Percents of the limit; each is told once."
    )


class SilentSettings(RuleSettings):
    """When nobody measures the GPUs of a live run."""

    minutes: Minutes = Field(
        SILENT_MINUTES, description="Minutes without telemetry; at least three intervals of its measurements."
    )


def _short_form(value: Any) -> Any:
    """`off` and `on` as YAML 1.2 reads them, false and true, or a level alone."""
    if value in ("off", False):
        return {"enabled": False}
    if value in ("on", True) or value is None:
        return {}
    return {"level": value} if isinstance(value, str) else value


_Short = BeforeValidator(_short_form)
_Rule = Annotated[RuleSettings, _Short]


class AlertRules(SpecModel):
    """Every rule; its field is its name."""

    failed: _Rule = Field(RuleSettings(), description="A run has failed.")
    stalled: Annotated[StalledSettings, _Short] = Field(
        StalledSettings(), description="A live run has done no step for long."
    )
    over_plan: _Rule = Field(RuleSettings(), description="A run costs more than nine of ten runs of its plan would.")
    idle: Annotated[IdleSettings, _Short] = Field(IdleSettings(), description="GPUs of a live run do nothing.")
    budget: Annotated[BudgetSettings, _Short] = Field(BudgetSettings(), description="So much of a limit is used.")
    budget_forecast: _Rule = Field(
        RuleSettings(), description="A run will reach its limit in dollars before its work is done."
    )
    unpriced: _Rule = Field(RuleSettings(), description="A live run has something at an unknown price.")
    orphan: _Rule = Field(RuleSettings(), description="A run has ended, and something of it is still paid.")
    gpu_lost: _Rule = Field(RuleSettings(), description="A GPU has fallen off its bus.")
    xid: _Rule = Field(RuleSettings(), description="A GPU's driver has reported an Xid error.")
    no_telemetry: Annotated[SilentSettings, _Short] = Field(
        SilentSettings(), description="Nobody measures the GPUs of a live run any more."
    )
    training: _Rule = Field(
        RuleSettings(),
        description="A live run warns of its training: reward hacking, collapse, entropy, length, sandbox.",
    )

    def of(self, rule: str) -> RuleSettings:
        """The settings of a rule."""
        settings: RuleSettings = getattr(self, rule)
        return settings


RULE_NAMES = tuple(AlertRules.model_fields)
EVENTS = frozenset({"failed", "gpu_lost", "xid"})
"""Rules whose alerts say what has happened: told once, gone after a while, never "resolved"."""
