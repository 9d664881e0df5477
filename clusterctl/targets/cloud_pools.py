"""The pools of a run's cluster in a cloud: how large each should be, and what the cloud says where it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from clusterctl.clouds.base import Cloud, CloudError, CloudInstance, CloudUnreachable, InUse
from clusterctl.errors import ClusterctlError
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from clusterctl.targets.base import MachineRequest, Unreachable
from planners.plan.value import Pool

ASK_AGAIN_SECONDS = 60.0
"""Between two requests for the same size: somebody else may have changed it.  The same again is no change."""
PROBLEM_SECONDS = 30.0
"""From a new size until what the cloud says against it counts: it may still speak of the old one."""
LOOK_SECONDS = 8.0
"""Between two questions to the cloud, each of which takes about a second and counts against a rate."""
_T = TypeVar("_T")


class CloudPools:
    """The pools of one fleet.  Everything raises Unreachable where the cloud can't be asked."""

    def __init__(self, cloud: Cloud, fleet: FleetOutputs, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud, self.fleet, self._clock = cloud, fleet, clock
        self._asked: dict[str, tuple[int, float, float]] = {}
        """By pool: the size that was asked for, when first, and when last."""
        self._refusals: dict[str, str] = {}
        self._instances: Sequence[CloudInstance] = ()
        self._problems: dict[str, str] = {}
        self._looked = float("-inf")

    def of(self, pool: Pool) -> FleetPool | None:
        """The pool of the cluster that serves a pool of the plan, or of one of its alternatives; None: it has none."""
        kind = (pool.instance_type, pool.capacity_type)
        here = [p for p in self.fleet.pools if (p.instance_type, p.capacity_type) == kind]
        return here[0] if here and pool.region in {self.fleet.region, ""} else None

    def by_pool(self, requests: Sequence[MachineRequest]) -> dict[str, list[MachineRequest]]:
        """The nodes that are asked for, by the name of their pool in the cluster, in the order of the pool."""
        found: dict[str, list[MachineRequest]] = {}
        for request in sorted(requests, key=lambda request: (request.pool.id, request.index)):
            if (pool := self.of(request.pool)) is not None:
                found.setdefault(pool.name, []).append(request)
        return found

    def resize(self, sizes: Mapping[str, int]) -> None:
        """Begin to make each pool so large; those that are not named are made empty."""
        for pool in self.fleet.pools:
            nodes, now = sizes.get(pool.name, 0), self._clock()
            size, first, last = self._asked.get(pool.name, (-1, now, float("-inf")))
            if size == nodes and now - last < ASK_AGAIN_SECONDS:
                continue
            try:
                self._cloud.resize(self.fleet, pool, nodes)
            except InUse:
                continue  # it is still being changed: at the next tick
            except CloudUnreachable as error:
                raise _away(error) from error
            except CloudError as error:
                if nodes == 0:
                    raise _away(error) from error
                self._refusals[pool.name] = error.message
            else:
                self._refusals.pop(pool.name, None)
            self._asked[pool.name] = (nodes, first if size == nodes else now, now)

    def look(self) -> Sequence[CloudInstance]:
        """The machines of all pools, as the cloud said a few seconds ago at most."""
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._instances = _asked(lambda: self._cloud.instances(self.fleet))
            self._problems = {pool.name: _asked(partial(self._problem, pool)) for pool in self.fleet.pools}
            self._looked = self._clock()
        return self._instances

    def listing_age_seconds(self) -> float:
        """How long ago the cloud said what `look` returns."""
        return self._clock() - self._looked

    def problem(self, pool: str) -> str:
        """Why a pool has fewer nodes than were asked for, in the cloud's own words; empty = nothing is wrong."""
        return self._refusals.get(pool) or self._problems.get(pool, "")

    def _problem(self, pool: FleetPool) -> str:
        size, first, _ = self._asked.get(pool.name, (0, 0.0, 0.0))
        if size == 0 or self._clock() - first < PROBLEM_SECONDS:
            return ""
        return self._cloud.pool_problem(self.fleet, pool)


def _asked(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except CloudError as error:
        raise _away(error) from error


def _away(error: ClusterctlError) -> Unreachable:
    return Unreachable(error.message, hint=error.hint)
