"""Policies: read with their mistakes named, applied to runs and resources, silenced in the open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.review import own_rules
from clusterctl.review.infrastructure import infrastructure_change
from clusterctl.review.own_rules import Documents
from clusterctl.review.policies import Policies, check, load_policies
from clusterctl.review.value import Finding, InfrastructureChange
from planners.infrastructure.value import Resource, ResourceChange, ResourceCost

TODAY = date(2026, 11, 30)
GROUP = "aws:ec2/securityGroup:SecurityGroup"
OPEN = {"ingress": [{"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["0.0.0.0/0"]}]}
CLOSED: dict[str, Any] = {"ingress": []}


def policies(text: str, files: Mapping[str, str] | None = None) -> Policies:
    held = {"rules/policies.yaml": text, **(files or {})}

    def read(path: str) -> str:
        if path not in held:
            raise SpecError(f"{path}: no such file")
        return held[path]

    return load_policies("rules/policies.yaml", read)


def change(
    after: dict[str, Any] | None, before: dict[str, Any] | None = None, name: str = "web"
) -> InfrastructureChange:
    def cost(properties: dict[str, Any] | None) -> ResourceCost | None:
        if properties is None:
            return None
        urn = f"urn:pulumi:dev::p::{GROUP}::{name}"
        resource = Resource(urn=urn, type=GROUP, name=name, properties=properties, source="vpc.py:64")
        return ResourceCost(resource=resource, parts=(), is_free=True)

    op = "delete" if after is None else "create" if before is None else "update"
    each = ResourceChange(op=op, before=cost(before), after=cost(after))  # type: ignore[arg-type]
    return InfrastructureChange(stacks=("dev",), changes=(each,))


def findings(text: str, infrastructure: InfrastructureChange, today: date = TODAY) -> tuple[Finding, ...]:
    return check(policies(text) if text else load_policies(), (), infrastructure, today=today)


def test_without_a_file_each_rule_is_as_it_is() -> None:
    (found,) = findings("", change(OPEN))
    assert (found.rule, found.group, found.level, found.is_new) == ("open-network", "safety", "advisory", True)
    assert found.message == "web: port 22 is open to everybody (0.0.0.0/0)"
    assert (found.file, found.line) == ("vpc.py", 64)
    assert findings("", change(None, OPEN)) == ()


def test_a_level_and_settings_come_from_the_file_and_from_the_path() -> None:
    assert findings("rules: {open-network: mandatory}", change(OPEN))[0].level == "mandatory"
    assert findings("rules: {open-network: off}", change(OPEN)) == ()
    assert findings("rules: {open-network: {ports: [22]}}", change(OPEN)) == ()
    by_path = (
        "rules: {open-network: mandatory}\npaths:\n  - {path: '*::bastion*', rules: {open-network: {ports: [22]}}}\n"
    )
    assert findings(by_path, change(OPEN, name="bastion-1")) == ()
    assert findings(by_path, change(OPEN))[0].level == "mandatory"


def test_what_the_base_breaks_too_does_not_block_unless_it_is_said() -> None:
    (found,) = findings("rules: {open-network: mandatory}", change(OPEN, OPEN))
    assert (found.level, found.is_new) == ("advisory", False)
    (found,) = findings("rules: {open-network: mandatory}\nexisting: mandatory", change(OPEN, OPEN))
    assert (found.level, found.is_new) == ("mandatory", False)
    (found,) = findings("rules: {open-network: mandatory}", change(OPEN, CLOSED))
    assert (found.level, found.is_new) == ("mandatory", True)


SILENCE = "silence:\n  - {rule: open-network, subject: '*web*', reason: the honeypot, expires: 2026-12-24}\n"


def test_a_silence_shows_and_expires() -> None:
    (found,) = findings(SILENCE, change(OPEN))
    assert found.silence is not None
    assert found.silence.reason == "the honeypot"
    assert findings(SILENCE, change(OPEN), date(2026, 12, 24))[0].silence is not None, "the last day counts"
    (found,) = findings(SILENCE, change(OPEN), date(2026, 12, 25))
    assert found.silence is None
    assert found.message.endswith("(its silence expired on 2026-12-24: the honeypot)")


def test_a_silence_that_matches_nothing_is_said_where_its_subject_was_looked_at() -> None:
    (found,) = findings(SILENCE, change(CLOSED))
    assert (found.rule, found.level, found.file, found.line) == ("unused-silence", "advisory", "rules/policies.yaml", 2)
    assert findings(SILENCE, change(CLOSED, name="other")) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: {open-netwrok: off}", "rules/policies.yaml:1:9: there is no rule 'open-netwrok'; did you mean open-network?"),
        ("rules:\n  open-network: {port: [1]}", "rules/policies.yaml:2:18: rules.open-network.port is no field of it"),
        ("rules:\n  open-network: loud", "rules/policies.yaml:2:17: rules.open-network.level is 'loud'"),
        ("rules:\n  usd-increase: {usd: much}", "rules/policies.yaml:2:23: rules.usd-increase.usd: input should be a valid number, not 'much'"),
        ("silence:\n  - {rule: open-network, subject: a, expires: 2026-12-24}", "rules/policies.yaml:2:5: silence[0] needs reason"),
        ("silence:\n  - {rule: open-network, subject: a, reason: b, expires: soon}", "rules/policies.yaml:2:58: silence[0].expires: must be a day, like 2027-01-31, not 'soon'"),
        ("silence:\n  - {rule: nothing, subject: a, reason: b, expires: 2026-12-24}", "rules/policies.yaml:2:12: there is no rule 'nothing'"),
        ("paths:\n  - {path: a, rules: {quotas: off}}", "rules/policies.yaml:2:23: there is no rule 'quotas'; did you mean quota?"),
        ("exsting: advisory", "rules/policies.yaml:1:1: exsting is no field of it"),
        ("own: [{level: advisory}]", "rules/policies.yaml:1:7: own[0] needs either rego or python"),
        ("own: [{rego: quota.rego}]", "rules/policies.yaml:1:14: there is another rule quota"),
        ("own: [{rego: gone.rego}]", "rules/policies.yaml:1:14: own[0]: rules/gone.rego: no such file"),
        ("[]", "rules/policies.yaml:1:1: a policies file is a mapping"),
        ("rules: 3", "rules/policies.yaml:1:8: rules: must be a mapping, not 3"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        policies(text)
    assert caught.value.message == said


def _own(text: str, *, file: str = "team.py", review: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    kind = "rego" if file.endswith(".rego") else "python"
    asked = policies(f"own: [{{{kind}: {file}, level: mandatory}}]", {f"rules/{file}": text})
    documents = Documents(review=review or {"id": "x", "specs": []}, infracost={"version": "0.2"})
    return check(asked, (), None, today=TODAY, documents=lambda: documents)


def test_a_python_rule_sees_the_review_and_says_findings() -> None:
    text = (
        "def check(review):\n"
        "    print('for people')\n"
        "    yield {'message': f\"{review['id']} {review['infracost']['version']}\", 'file': 'a.yaml', 'line': 3}\n"
        "    yield 'a sentence'\n"
        "    yield {'msg': 'fine', 'failed': False}\n"
    )
    first, second = _own(text)
    assert (first.rule, first.group, first.level, first.message) == ("team", "team.py", "mandatory", "x 0.2")
    assert (first.file, first.line, second.message) == ("a.yaml", 3, "a sentence")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def check(review):\n    return review['nothing']\n", "team.py:2: the rule failed: KeyError: 'nothing'"),
        ("def check(review:\n", "team.py:1: the rule failed: SyntaxError: '(' was never closed"),
        ("x = 1\n", "team.py: the rule failed: it has no function check(review)"),
        ("def check(review):\n    return [3]\n", "team.py: its answer is no list of findings: 0 "),
        ("def check(review):\n    return [{'subject': 'a'}]\n", "team.py: a finding has no message"),
        ("def check(review):\n    return ['a' * (5 << 20)]\n", "team.py: its answer is larger than 4 MiB"),
        ("def check(review):\n    bytearray(4 << 30)\n", "team.py:2: the rule failed: MemoryError"),
        ("import clusterctl_not_there\n", "team.py:1: the rule failed: ModuleNotFoundError"),
    ],
)
def test_a_python_rule_that_fails_ends_in_one_message(text: str, said: str) -> None:
    with pytest.raises(ClusterctlError) as caught:
        _own(text)
    assert caught.value.message.startswith(said)


def test_a_python_rule_has_neither_our_environment_nor_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "pl4nted")
    (found,) = _own("import os\ndef check(review):\n    return [str(sorted(os.environ))]\n")
    assert "GITHUB_TOKEN" not in found.message
    monkeypatch.setattr(own_rules, "SECONDS", 0.5)
    with pytest.raises(ClusterctlError, match=r"team\.py: the rule took more than 0\.5 s"):
        _own("def check(review):\n    while True: pass\n")


def test_rego_without_opa_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterctlError, match=r"cost\.rego is a rule in Rego, and opa is not installed") as caught:
        _own("package infracost\n", file="cost.rego")
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("cloud", "kind", "given"),
    [
        ("aws", "aws:s3/bucket:Bucket", {"defaultTags": '{"tags": {"team": "ml"}}'}),
        ("gcp", "gcp:storage/bucket:Bucket", {"defaultLabels": '{"team": "ml"}'}),
    ],
)
def test_tags_that_a_provider_gives_count(tmp_path: Path, cloud: str, kind: str, given: dict[str, str]) -> None:
    def preview(properties: dict[str, str]) -> Path:
        urn = "urn:pulumi:dev::fleet::"
        provider = f"{urn}pulumi:providers:{cloud}::{cloud}"
        states = [
            {"urn": provider, "type": f"pulumi:providers:{cloud}", "custom": True, "inputs": properties},
            {"urn": f"{urn}{kind}::data", "type": kind, "custom": True, "inputs": {}, "provider": f"{provider}::id"},
        ]
        steps = [{"op": "create", "urn": state["urn"], "newState": state} for state in states]
        file = tmp_path / f"preview-{len(properties)}.json"
        file.write_text(json.dumps({"config": {}, "steps": steps, "changeSummary": {"create": 2}}), encoding="utf-8")
        return file

    for properties, missing in (({}, True), (given, False)):
        found = check(Policies(), (), infrastructure_change([preview(properties)]), today=TODAY)
        assert ("missing-tags" in {finding.rule for finding in found}) is missing
