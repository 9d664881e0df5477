"""docs/rules.md lists the rules as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clusterctl.review.policies import load_policies
from clusterctl.review.rules_manual import rules_manual
from planners.rules.built_in import RULES

DOCS = Path(__file__).resolve().parents[3] / "docs/rules.md"


def test_the_manual_is_that_of_the_code(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--update-golden"):
        DOCS.write_text(rules_manual(), encoding="utf-8")
    assert DOCS.read_text(encoding="utf-8") == rules_manual(), "if the change is meant: pytest --update-golden"
    assert all(f"| `{rule}` |" in rules_manual() for rule in RULES)


def test_its_example_is_a_policies_file_that_is_read() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", rules_manual(), re.DOTALL)
    policies = load_policies("policies.yaml", lambda path: example if path == "policies.yaml" else "")
    assert len(policies.content.own) == len(policies.own_texts) == 2
    assert policies.settings(("specs/experiments/a.yaml",))("budget-crossed").model_dump()["usd"] == 2000
    assert policies.settings(("specs/a.yaml",))("budget-crossed").model_dump()["usd"] == 50000
