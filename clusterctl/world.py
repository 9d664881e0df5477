"""Reads what the planner knows besides the spec: facts, prices, calibration, what own runs taught."""

from __future__ import annotations

from pathlib import Path

from clusterctl.facts.calibration import load_calibration
from clusterctl.facts.lookup import find_gpu, find_model, load_gpus
from clusterctl.own_runs import load_factors
from clusterctl.prices.book import load_book
from clusterctl.sandbox.measured import starts_here
from planners.inputs import World
from planners.spec.fleet import CLOUDS
from planners.spec.run import RunSpec


def load_world(spec: RunSpec, *, book: Path | None = None, everywhere: bool = False) -> World:
    """Facts for planning `spec`; of the price book only the clouds that it may use, or all: what else could be done.

    Raises StateError when a file of ours is damaged or of another version.
    """
    prices = load_book(book)
    clouds = [cloud for cloud in CLOUDS if everywhere or cloud in spec.fleet.targets] or list(CLOUDS)
    sandbox_clouds = sorted({*clouds, *(t for t in spec.fleet.sandbox.targets or () if t in CLOUDS)})
    is_here = {*spec.fleet.targets, *(spec.fleet.sandbox.targets or ())} == {"local"}
    capacities = [str(capacity) for capacity in spec.fleet.sandbox.capacity]
    return World(
        find_model=find_model,
        find_gpu=find_gpu,
        gpus={gpu.name: gpu for gpu in load_gpus().values()},
        gpu_offers=prices.offers(clouds, kind="gpu"),
        cpu_offers=prices.sandbox_offers(sandbox_clouds, capacity_types=capacities),
        extras=prices.extras(),
        token_prices=prices.token_prices(),
        calibration=load_calibration(),
        book=prices.book_id,
        sandbox_starts=starts_here() if is_here else None,
        factors=load_factors(),
    )
