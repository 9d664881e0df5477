"""Where `pulumi preview --policy-pack infra/policy` begins: the rules of rules.py, each as mandatory."""

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

from infra.policy.rules import RULES, Rule


def _validate(rule: Rule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(asked: ResourceValidationArgs, report: ReportViolation) -> None:
        for problem in rule.problems(asked.resource_type, asked.props):
            report(problem, None)

    return validate


PolicyPack(
    "clusterctl",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        ResourceValidationPolicy(name=rule.name, description=rule.description, validate=_validate(rule))
        for rule in RULES
    ],
)
