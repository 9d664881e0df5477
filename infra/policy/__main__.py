"""Where `pulumi preview --policy-pack infra/policy` begins: the safety rules of `clusterctl review`.

Each is mandatory, and as strict as fleets of clusterctl keep to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

from planners.rules.resource_rules import OWN_FLEET_RULES, own_fleet_problems
from planners.rules.rule import ResourceRule


def _validate(each: ResourceRule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(asked: ResourceValidationArgs, report: ReportViolation) -> None:
        for problem in own_fleet_problems(each, asked.resource_type, asked.props):
            report(problem, None)

    return validate


PolicyPack(
    "clusterctl",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        ResourceValidationPolicy(name=each.rule.id, description=each.rule.why, validate=_validate(each))
        for each in OWN_FLEET_RULES
    ],
)
