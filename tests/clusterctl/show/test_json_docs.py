"""docs/plan-json.md is what the classes say."""

from __future__ import annotations

from pathlib import Path

from clusterctl.show.json_docs import page
from planners.plan.value import Plan


def test_the_page_is_up_to_date(repo: Path) -> None:
    written = (repo / "docs" / "plan-json.md").read_text(encoding="utf-8")
    assert written == page(), "python -m clusterctl.show.json_docs > docs/plan-json.md"


def test_every_field_is_listed() -> None:
    text = page()
    assert all(f"| `{name}` |" in text for name in Plan.model_fields)
