"""A live run whose plan was replaced: roles that the old plan made otherwise end first, by the old plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.runs.run import PROCESS
from clusterctl.targets.base import TAG_PREFIX
from planners.runs.plan_change import PlanChange

if TYPE_CHECKING:
    from clusterctl.runs.run import OpenRun

PLAN_TAG = f"{TAG_PREFIX}/plan-id"


def in_force(run: OpenRun) -> OpenRun:
    """The run by the plan under which it must be watched now: the one that the ledger names, or, while a role lives
    which an earlier plan made otherwise, that earlier one.

    It goes by the ledger alone, so that a new supervisor comes to the same.
    """
    row = run.ledger.get_run(run.run_id)
    wanted = run
    if row.plan_id and row.plan_id != run.plan.id:
        wanted = run.by_plan(stored_plan(run.ledger, row.plan_id, name=f"the plan of {run.run_id}"))
    for resource in run.ledger.live_resources(run.run_id):
        earlier = resource.tags.get(PLAN_TAG, wanted.plan.id)
        if resource.kind != PROCESS or earlier == wanted.plan.id:
            continue
        try:
            plan = stored_plan(run.ledger, earlier, name=f"an earlier plan of {run.run_id}")
        except ClusterctlError:  # this ledger is a copy that lacks it
            continue
        if PlanChange(before=plan, after=wanted.plan, stage=wanted.ref.stage).restarts:
            return wanted.by_plan(plan)
    return wanted
