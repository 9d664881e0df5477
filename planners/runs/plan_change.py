"""One plan of a run in the place of another: whether the run can go on with it, what starts anew, what is different."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planners.runs.next_offer import pools_on

if TYPE_CHECKING:
    from planners.plan.value import Plan, Pool, StagePlan

RESUMED = ("name", "kind", "model", "teacher", "framework", "algorithm", "critic")
"""Of a stage in the spec: what its checkpoint was made with.  Another value makes another training of it."""
DEGREES = ("sharding", "tp", "pp", "cp", "ep")
"""Of a layout: how a checkpoint is cut into files.  Copies side by side (dp) may come and go."""

OWN = "own"
"""Region of machines that the user has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """The plan that a run has, the one that it is to have, and the stage that it is at."""

    before: Plan
    after: Plan
    stage: str

    def refusal(self, *, steps: float, of: float) -> str:
        """Why the run can't go on with the new plan; empty where it can.

        steps: of the stage under way that are done, of so many in all, as its job counts them.
        """
        old, new = _place(self.before), _place(self.after)
        if old != new:
            return f"it lives {old}, and would live {new}"
        for number in range(self._number + 1):
            before, after = _spec_of(self.before, number), _spec_of(self.after, number)
            other = [key for key in RESUMED if before.get(key) != after.get(key)]
            other += ["lora_rank"] if _lora_rank(before) != _lora_rank(after) else []
            if other:
                name = self.before.stages[number].name
                return f"its stage {name} is done or under way, and has another {', '.join(other)}"
        now, then = self.before.stages[self._number], self.after.stages[self._number]
        other = [key for key in DEGREES if now.layout.get(key) != then.layout.get(key)]
        if steps and other:
            shown = ", ".join(f"{key} {_said(now, key)} becomes {_said(then, key)}" for key in other)
            kept = ", ".join(f"{key}: {_said(now, key)}" for key in other if key != "sharding")
            keep = f"; train: {{{kept}}} in the spec keeps it" if kept else ""
            return f"its checkpoint of {now.name} is of another layout: {shown}{keep}"
        done = now.units * steps / of if of else 0.0
        if done > then.units:
            return f"{now.unit} {done:g} of {now.name} is done, and the edit ends at {then.units:g}"
        return ""

    @property
    def restarts(self) -> bool:
        """Whether jobs of the stage under way must be started anew: what they are made from is another."""
        return self._made_from(self.before) != self._made_from(self.after)

    def alternative(self, number: int) -> int:
        """Number of the new plan's offer with the machines of this offer of the old one; 0 = the plan's own."""
        wanted = [_shape(pool) for pool in pools_on(self.before, number, self.stage)]
        if wanted == [_shape(pool) for pool in pools_on(self.after, 0, self.stage)]:
            return 0
        offers = (*self.after.alternatives, *self.after.elsewhere) if number else ()
        same = (o.number for o in offers if o.pools and wanted == [_shape(pool) for pool in o.pools])
        return next(same, 0)

    def pools(self) -> Iterator[tuple[str, str]]:
        """(mark, text) for each pool of either plan: `~`, `trainer: 2 → 4 × p5.48xlarge (aws)`."""
        old = {pool.id: pool for pool in self.before.pools}
        new = {pool.id: pool for pool in self.after.pools}
        for name in dict.fromkeys((*new, *old)):
            before, after = old.get(name), new.get(name)
            if before is None or after is None:
                pool = before or after
                assert pool is not None
                yield "-" if after is None else "+", f"{pool.role}: {_machines(pool)} ({pool.cloud})"
            elif _shape(before) == _shape(after):
                yield " ", f"{after.role}: {_machines(after)} ({after.cloud})"
            elif _shape(before)[1:3] == _shape(after)[1:3]:
                yield "~", f"{after.role}: {before.nodes} → {_machines(after)} ({after.cloud})"
            else:
                yield "~", f"{after.role}: {_machines(before)} → {_machines(after)} ({after.cloud})"

    @property
    def text(self) -> str:
        """In a line, for the record."""
        found = [text for mark, text in self.pools() if mark.strip()]
        for before in self.before.stages:
            for after in self.after.stages:
                if before.name == after.name and before.units != after.units:
                    found.append(f"{after.name}: {before.units:g} → {after.units:g} {after.unit}s")
        what = "; ".join(found) or "the same machines and work"
        return f"plan {self.before.id} → {self.after.id}: {what}"

    @property
    def _number(self) -> int:
        names = [stage.name for stage in self.before.stages]
        return names.index(self.stage) if self.stage in names else 0

    def _made_from(self, plan: Plan) -> tuple[object, ...]:
        number = self._number
        machines = [
            {key: value for key, value in machine.items() if not key.startswith("usd")}
            for machine in plan.spec.get("fleet", {}).get("machines", ())
        ]
        layout = plan.stages[number].layout if number < len(plan.stages) else {}
        pools = [_shape(pool) for pool in pools_on(plan, 0, self.stage)]
        return _spec_of(plan, number), layout, pools, machines


def pool_shape(pool: Pool) -> str:
    """What tells the nodes of a pool from those of the pool as another plan has it: how many, of what, how bought."""
    return " ".join(str(part) for part in (pool.nodes, pool.instance_type, pool.capacity_type))


def _shape(pool: Pool) -> tuple[object, ...]:
    return pool.id, pool.instance_type, pool.capacity_type, pool.nodes, pool.slots


def _said(stage: StagePlan, degree: str) -> str:
    value = stage.layout.get(degree, 1)
    return f"{value:g}" if isinstance(value, float | int) else value


def _lora_rank(stage: dict[str, Any]) -> object:
    return (stage.get("train") or {}).get("lora_rank")


def _machines(pool: Pool) -> str:
    bought = "" if pool.capacity_type in {"", "on_demand"} else f" {pool.capacity_type}"
    return f"{pool.nodes} × {pool.instance_type}{bought}"


def _place(plan: Plan) -> str:
    """`on aws in us-east-1`."""
    places = {f"on {p.cloud} in {p.region}" if p.region not in {"", OWN} else f"on {p.cloud}" for p in plan.pools}
    return " and ".join(sorted(places))


def _spec_of(plan: Plan, number: int) -> dict[str, Any]:
    """A stage as the spec states it."""
    stages = plan.spec.get("stages", ())
    return dict(stages[number]) if number < len(stages) else {}
