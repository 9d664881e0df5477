"""The least-squares problem: which cases may inform the constants, with which weight, and their residuals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import yaml

from clusterctl.catalog.published_names import published_gpu, published_model
from planners.physics.constants import PRIORS, Constants
from planners.validation.case import Case, read_case
from planners.validation.predict import Quantities, metrics_of, quantities
from planners.validation.prepare import Prepared, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CASE_SIGMA = 0.15
"""Expected scatter of ln(predicted / published); also where the robust loss turns linear."""
PHASE_SIGMA = 1.5 * CASE_SIGMA
PHASE_WEIGHT = 1 / 1.5
PARTIAL_WEIGHT = 0.3
HELD_SD = 1e-3
"""A held constant keeps its prior value in the fit; its spread returns in the posterior."""

MEANS = np.array([np.log(prior.value) for prior in PRIORS])
SPREADS = np.array([prior.log_sd for prior in PRIORS])
FIT_SPREADS = np.array([prior.log_sd if prior.fitted else HELD_SD for prior in PRIORS])


def load_prepared(path: Path) -> list[Prepared]:
    """The cases of a file that the physics can predict, with a published value."""
    documents = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    ready = []
    for position, raw in enumerate(documents):
        case = read_case(raw, position)
        prepared = prepare(case, published_model, published_gpu) if isinstance(case, Case) else case
        if isinstance(prepared, Prepared) and prepared.case.published.value:
            ready.append(prepared)
    return ready


def usable_weight(p: Prepared) -> float:
    """Weight of a case in the fit: 1 for full ones, less for partial ones that state what matters, 0 for traps."""
    case, metric = p.case, p.case.published.metric
    if case.quality == "trap" or case.kind in ("evaluate", "sandbox") or p.note:
        return 0.0
    if case.quality == "full":
        return 1.0
    if metric == "sync_seconds":
        return 0.5
    sized = not any("GPUs" in name or name == "batch" for name in p.missing)
    if case.kind in ("rl_step", "generate") and sized and case.rollout.response_tokens is not None:
        return PARTIAL_WEIGHT
    if case.kind == "rl_step" and metric == "step_seconds" and sized and case.rollout.prompts_per_step:
        return 0.3 * PARTIAL_WEIGHT
    if case.kind == "pretrain" and metric in ("mfu", "tokens_per_second_per_gpu"):
        return PARTIAL_WEIGHT
    return 0.0


def publisher_of(family: str | None) -> str:
    """The source's name: the first word of its family."""
    return (family or "unknown").split("/")[0].split("-")[0]


@dataclass(frozen=True, slots=True)
class PublishedPhase:
    """One published phase of a case."""

    row: int
    name: str
    log_seconds: float
    with_sync: bool
    """Generation of a colocated run whose log has no sync phase: the weights move inside it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Cases with weights; residuals as functions of ln(constants)."""

    prepared: list[Prepared]
    weights: Array
    published: Array
    phases: tuple[PublishedPhase, ...]

    @staticmethod
    def of(prepared: list[Prepared]) -> Problem:
        """Weights: usable_weight over the root of the family's total, so that big families do not rule."""
        usable = np.array([usable_weight(p) for p in prepared])
        groups = [f"{p.case.family}|{p.case.kind}" for p in prepared]
        totals: Counter[str] = Counter()
        for group, weight in zip(groups, usable, strict=True):
            totals[group] += weight
        root = np.array([max(totals[group], 1.0) ** -0.5 for group in groups])
        return Problem(
            prepared=prepared,
            weights=usable * root,
            published=np.log([p.case.published.value or 1.0 for p in prepared]),
            phases=tuple(_phases(prepared, usable)),
        )

    def without(self, rows: NDArray[np.bool_]) -> Problem:
        """The same with the cases of `rows` left out of the fit."""
        return replace(
            self,
            weights=np.where(rows, 0.0, self.weights),
            phases=tuple(phase for phase in self.phases if not rows[phase.row]),
        )

    def logs(self, x: Array) -> tuple[Array, Array]:
        """(ln predictions (k, n), ln phases (k, phases)) for rows of ln(constants) x (k, d)."""
        return self.logs_of(Constants(**{p.name: np.exp(x[:, j : j + 1]) for j, p in enumerate(PRIORS)}))

    def logs_of(self, c: Constants) -> tuple[Array, Array]:
        """The same for constants of shape (k, 1)."""
        q = quantities(c, self.prepared)
        values, _ = metrics_of(q, self.prepared)
        phases = [np.maximum(_phase_seconds(q, phase), 1e-9) for phase in self.phases]
        stacked = np.log(np.stack(phases, axis=-1)) if phases else np.zeros((len(values), 0))
        return np.log(np.maximum(values, 1e-12)), stacked

    def residuals(self, x: Array) -> Array:
        """Rows of (cases, phases), (k, n + phases): robust, weighted; without the priors."""
        logs, phases = self.logs(x)
        root = np.sqrt(self.weights)
        cases = robust((logs - self.published) / CASE_SIGMA) * root
        rows = np.array([phase.row for phase in self.phases], dtype=int)
        published = np.array([phase.log_seconds for phase in self.phases])
        extra = robust((phases - published) / PHASE_SIGMA) * root[rows] * PHASE_WEIGHT
        return np.nan_to_num(np.concatenate([np.nan_to_num(cases), extra], axis=-1))


def _phase_seconds(q: Quantities, phase: PublishedPhase) -> Array:
    seconds = q.phases[phase.name][..., phase.row]
    return seconds + q.phases["sync_s"][..., phase.row] if phase.with_sync else seconds


def robust(r: Array) -> Array:
    """Signed root of twice the pseudo-Huber loss with delta 1."""
    return np.sign(r) * np.sqrt(2 * (np.sqrt(1 + r**2) - 1))


def _phases(prepared: list[Prepared], usable: Array) -> list[PublishedPhase]:
    """Published phases of usable RL steps with a known length.  With two pools, generation is an exposed wait."""
    found = []
    for row, p in enumerate(prepared):
        known = p.case.kind == "rl_step" and p.case.rollout.response_tokens is not None and usable[row] > 0
        for name, seconds in (p.case.published.phases or {}).items() if known else ():
            waits = name == "generate_s" and p.case.rollout.schedule in ("async", "disaggregated")
            if seconds and not waits and name not in ("environment_s", "reward_s"):
                with_sync = name == "generate_s" and not p.case.published.phases.get("sync_s")
                found.append(PublishedPhase(row, name, float(np.log(seconds)), with_sync))
    return found
