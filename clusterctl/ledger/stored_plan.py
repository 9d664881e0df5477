"""The plan of a run, as the ledger keeps it: the only reader."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clusterctl.errors import StateError
from clusterctl.json_text import json_text
from clusterctl.specfile.plan_file import parse_plan

if TYPE_CHECKING:
    from clusterctl.ledger.ledger import Ledger
    from planners.plan.value import Plan


def stored_plan(ledger: Ledger, plan_id: str, *, name: str) -> Plan:
    """The plan with this id, which messages call `name`.

    Raises SpecError for an unknown one; StateError for one that is damaged or of another version.
    """
    stored = ledger.get_plan(plan_id)
    try:
        content = json.loads(stored.content) | {"created_at": stored.created_at.isoformat()}
    except (ValueError, TypeError, RecursionError):
        raise StateError(f"{name} in the ledger is damaged") from None
    return parse_plan(json_text(content), name=f"{name} in the ledger")
