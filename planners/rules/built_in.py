"""Every built-in rule by its id."""

from __future__ import annotations

from planners.rules.infrastructure_rules import INFRASTRUCTURE_MONEY
from planners.rules.reproducibility import RUN_REPRODUCIBILITY
from planners.rules.resource_rules import RESOURCE_RULES
from planners.rules.rule import Rule, RunRule
from planners.rules.run_capacity import RUN_CAPACITY
from planners.rules.run_money import RUN_MONEY
from planners.rules.run_waste import RUN_WASTE

RUN_RULES: tuple[RunRule, ...] = (*RUN_MONEY, *RUN_CAPACITY, *RUN_REPRODUCIBILITY, *RUN_WASTE)
_GROUPS = ("money", "capacity", "safety", "reproducibility", "waste")
_ALL = [
    *(each.rule for each in RUN_RULES),
    *(each.rule for each in INFRASTRUCTURE_MONEY),
    *(each.rule for each in RESOURCE_RULES),
]
RULES: dict[str, Rule] = {rule.id: rule for rule in sorted(_ALL, key=lambda rule: _GROUPS.index(rule.group))}
"""By group; in a group as they stand above."""
