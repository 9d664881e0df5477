"""Factors on the seconds of phases, learned from earlier runs, by where they apply."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ANY_GPU = "*"
"""GPU of a factor that runs on other GPUs suggest."""


class FactorKey(NamedTuple):
    """What a factor applies to, apart from the GPU.  Empty = has no part in the phase."""

    work: str
    """rl_step, sft, pretrain or generate."""
    phase: str
    model_class: str = ""
    """dense or moe with a range of sizes; `host` for the quickstart's policy."""
    engine: str = ""
    """Inference engine of a rollout phase, sharding of a trainer's."""
    sandbox_profile: str = ""
    """Profile of the sandboxes."""
    inputs: str = ""
    """Decisive inputs as the spec has them: those it leaves open, which the factor then stands for, and the seconds of
    a sandbox run that it states, which would count twice if they were corrected later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Seconds of a phase over the seconds planned without factors: exp(log_factor)."""

    place: FactorKey
    gpu: str
    """Canonical name, ANY_GPU, or empty where none takes part."""
    log_factor: float
    log_sd: float
    """Of ln(actual / planned) of the next run: uncertainty of the factor and scatter between runs."""
    ratios: Mapping[str, float]
    """Run -> actual over planned."""

    @property
    def key(self) -> tuple[str, ...]:
        """Place and GPU, for sorting and comparing."""
        return (*self.place, self.gpu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """The factors in use, under one id."""

    identity: str = ""
    by_place: Mapping[FactorKey, Mapping[str, Factor]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_place)

    def find(self, place: FactorKey, gpu: str) -> Factor | None:
        """The factor of this GPU, else the one that runs on others suggest."""
        known = self.by_place.get(place, {})
        return known.get(gpu) or (known.get(ANY_GPU) if gpu else None)

    def moved(self, phase: str, log_step: float) -> Factors:
        """The same with every factor of a phase larger by `log_step`."""
        changed = {
            place: {
                gpu: replace(factor, log_factor=factor.log_factor + log_step * (place.phase == phase))
                for gpu, factor in by_gpu.items()
            }
            for place, by_gpu in self.by_place.items()
        }
        return Factors(identity=self.identity, by_place=changed)


NO_FACTORS = Factors()


def collect(factors: Iterable[Factor]) -> Factors:
    """Factors with the hash of their content as identity: the same runs give the same identity."""
    rows = sorted(factors, key=lambda factor: factor.key)
    text = "\n".join(f"{row.key} {row.log_factor:.6f} {row.log_sd:.6f} {sorted(row.ratios)}" for row in rows)
    by_place: dict[FactorKey, dict[str, Factor]] = {}
    for row in rows:
        by_place.setdefault(row.place, {})[row.gpu] = row
    return Factors(identity=hashlib.sha256(text.encode()).hexdigest()[:8] if rows else "", by_place=by_place)
