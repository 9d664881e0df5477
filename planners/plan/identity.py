"""The name of a plan's content, so that an edited plan file is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from planners.plan.value import Plan

ID_DIGITS = 16
UNHASHED = ("id", "created_at")
"""Fields outside the hash: two plans of the same content made at different moments are the same plan."""


def content_id(plan: Plan) -> str:
    """First 16 hex digits of the SHA-256 of the plan's canonical JSON (sorted keys, no spaces) without `UNHASHED`."""
    return file_id(plan.model_dump(mode="json"))


def file_id(content: Mapping[str, Any]) -> str:
    """The same of what a plan file holds: one written before a field was added keeps its id."""
    hashed = {name: value for name, value in content.items() if name not in UNHASHED}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def with_id(plan: Plan) -> Plan:
    """The same plan under the id of its content."""
    return plan.model_copy(update={"id": content_id(plan)})
