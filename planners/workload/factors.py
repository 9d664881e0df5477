"""Factors on the seconds of phases, learned from earlier runs, by where they apply."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

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
    rows: tuple[Factor, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows)

    def by_gpu(self, place: FactorKey) -> dict[str, Factor]:
        """The factors of a place."""
        return {row.gpu: row for row in self.rows if row.place == place}

    def find(self, place: FactorKey, gpu: str) -> Factor | None:
        """The factor of this GPU, else the one that runs on others suggest."""
        known = self.by_gpu(place)
        return known.get(gpu) or (known.get(ANY_GPU) if gpu else None)

    def moved(self, phase: str, log_step: float) -> Factors:
        """The same with every factor of a phase larger by `log_step`."""
        return replace(
            self,
            rows=tuple(
                replace(row, log_factor=row.log_factor + log_step * (row.place.phase == phase)) for row in self.rows
            ),
        )


NO_FACTORS = Factors()


def collect(factors: Iterable[Factor]) -> Factors:
    """Factors with the hash of their content as identity: the same runs give the same identity."""
    rows = sorted(factors, key=lambda row: row.key)
    text = "\n".join(f"{row.key} {row.log_factor:.6f} {row.log_sd:.6f} {sorted(row.ratios)}" for row in rows)
    return Factors(identity=hashlib.sha256(text.encode()).hexdigest()[:8] if rows else "", rows=tuple(rows))
