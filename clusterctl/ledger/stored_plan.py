"""The plan of a run, as the ledger keeps it: the only reader."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clusterctl.errors import StateError
from clusterctl.specfile.plan_file import parse_plan

if TYPE_CHECKING:
    from clusterctl.ledger.ledger import Ledger
    from clusterctl.ledger.rows import Run
    from planners.plan.value import Plan


def stored_plan(ledger: Ledger, run: Run) -> Plan:
    """The plan that the run is of.  Raises StateError for a run without one, or with one of another version."""
    if run.plan_id is None:
        raise StateError(f"{run.run_id} has no plan")
    stored = ledger.get_plan(run.plan_id)
    content = json.loads(stored.content) | {"created_at": stored.created_at.isoformat()}
    return parse_plan(json.dumps(content), name=f"the plan of {run.run_id} in the ledger")
