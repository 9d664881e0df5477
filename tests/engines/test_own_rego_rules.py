"""A team's own rules in Rego, by the real Open Policy Agent: Infracost's, ours, both syntaxes, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.review import own_rules
from clusterctl.review.own_rules import Documents
from clusterctl.review.policies import check, load_policies
from clusterctl.review.value import Finding

BUILD = Path(__file__).parent / "opa/build.sh"
INFRACOST: Mapping[str, Any] = {
    "version": "0.2",
    "currency": "USD",
    "projects": [
        {
            "name": "fleet",
            "diff": {"totalMonthlyCost": "1200.5"},
            "breakdown": {
                "resources": [
                    {"name": "aws_instance.gpu", "resourceType": "aws_instance", "monthlyCost": "71000.1", "costComponents": []}
                ]
            },
        }
    ],
    "totalMonthlyCost": "71000.1",
    "diffTotalMonthlyCost": "1200.5",
}  # fmt: skip
REVIEW: Mapping[str, Any] = {"id": "x", "specs": [{"path": "drafts/run.yaml"}, {"path": "specs/run.yaml"}]}
V0_INFRACOST = """
package infracost

deny[out] {
    maxDiff = 500.0
    msg := sprintf("Total monthly cost diff must be less than $%.2f (actual diff is $%.2f)", [maxDiff, to_number(input.diffTotalMonthlyCost)])
    out := {"msg": msg, "failed": to_number(input.diffTotalMonthlyCost) >= maxDiff}
}

deny[out] {
    r := input.projects[_].breakdown.resources[_]
    startswith(r.name, "aws_instance.")
    out := {"msg": sprintf("%s costs %s", [r.name, r.monthlyCost]), "failed": to_number(r.monthlyCost) > 100000}
}
"""
V1_OWN = """
package team.places

deny contains out if {
    some run in input.specs
    not startswith(run.path, "specs/")
    input.infracost.version == "0.2"
    out := {"message": sprintf("%s is no place for specs", [run.path]), "file": run.path, "line": 1, "level": "advisory"}
}
"""


@pytest.fixture(scope="module", autouse=True)
def opa() -> None:
    """Built once a version; a few minutes where it isn't there."""
    done = subprocess.run(["sh", BUILD], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    os.environ["PATH"] = f"{done.stdout.strip()}:{os.environ['PATH']}"


def findings(text: str, review: Mapping[str, Any] = REVIEW) -> tuple[Finding, ...]:
    held = {"policies.yaml": "own: [{rego: cost.rego, level: mandatory}]", "cost.rego": text}

    def read(path: str) -> str:
        if path not in held:
            raise SpecError(f"{path}: no such file")
        return held[path]

    documents = Documents(review=review, infracost=INFRACOST)
    policies = load_policies("policies.yaml", read)
    return check(policies, (), None, today=date(2026, 11, 30), documents=lambda: documents)


def test_a_rule_written_for_infracost_runs_as_it_is() -> None:
    (found,) = findings(V0_INFRACOST)
    assert (found.rule, found.group, found.level) == ("cost", "cost.rego", "mandatory")
    assert found.message == "Total monthly cost diff must be less than $500.00 (actual diff is $1200.50)"


def test_a_rule_of_our_own_sees_the_review_and_the_infracost_json() -> None:
    (found,) = findings(V1_OWN)
    assert (found.message, found.file, found.line) == ("drafts/run.yaml is no place for specs", "drafts/run.yaml", 1)
    assert found.level == "advisory"
    assert (
        findings('package infracost\n\nimport rego.v1\n\ndeny contains "a" if input.review.id == "x"\n')[0].message
        == "a"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("package a\n\ndeny contains out if {\n    out := \n}\n", "cost.rego:5:1: opa refuses it"),
        ("package a\n\ndeny[out] {\n    out := nothing(3)\n}\n", "cost.rego:4:12: opa refuses it: undefined function nothing"),
        ("deny := 3\n", "cost.rego: names no package"),
        ("package a\n\nallow := true\n", "cost.rego: package a has no rule deny"),
        ("package a\n\ndeny := [{\"failed\": true}]\n", "cost.rego: a finding has no message"),
        ("package a\n\ndeny := {\"x\": 3}\n", "cost.rego: a finding has no message"),
        ("package a\n\ndeny contains x if some x in numbers.range(1, 400000)\n", "cost.rego: "),
    ],
)  # fmt: skip
def test_a_rule_that_fails_ends_in_one_message(text: str, said: str) -> None:
    with pytest.raises(ClusterctlError) as caught:
        findings(text)
    assert caught.value.message.startswith(said)
    assert "\n" not in caught.value.message


def test_a_rule_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_rules, "SECONDS", 2)
    endless = 'package a\n\ndeny contains x if {\n some i in numbers.range(1, 20000)\n some j in numbers.range(1, 20000)\n i * j == -1\n x := "a"\n}\n'
    with pytest.raises(ClusterctlError, match=r"cost\.rego: the rule took more than 2 s"):
        findings(endless)


def test_a_rule_sees_no_variable_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "pl4nted")
    (found,) = findings("package a\n\ndeny contains json.marshal(opa.runtime().env)\n")
    assert "pl4nted" not in found.message
