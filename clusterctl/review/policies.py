"""What a change breaks: the built-in rules and the team's own, levels and silences applied."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import date

from clusterctl.errors import ClusterctlError
from clusterctl.review.own_rules import Documents, own_findings
from clusterctl.review.policies_file import Policies, SilenceRow, is_named, load_policies, matching_silences
from clusterctl.review.value import Finding, InfrastructureChange, Level, Review, Silence, SpecChange
from clusterctl.specfile.yaml_file import Document, parse_yaml
from planners.infrastructure.value import Resource, ResourceCost
from planners.plan.value import Plan
from planners.rules.built_in import RULES, RUN_RULES
from planners.rules.infrastructure_rules import INFRASTRUCTURE_MONEY
from planners.rules.resource_rules import RESOURCE_RULES, resource_problems, stack_facts
from planners.rules.rule import RuleSetting, RunFacts, StackFacts

__all__ = ["Policies", "ReadHead", "check", "load_policies", "with_findings"]
UNUSED_SILENCE = "unused-silence"
ReadHead = Callable[[str], str]
"""Path of a spec, relative to the checkout -> its text at the head."""


def check(
    policies: Policies,
    specs: Sequence[SpecChange],
    infrastructure: InfrastructureChange | None,
    *,
    today: date,
    read_head: ReadHead | None = None,
    documents: Callable[[], Documents] | None = None,
) -> tuple[Finding, ...]:
    """Every rule that the head breaks, the gravest first.

    read_head: for the line of a finding in a spec.  documents: what own rules are given; they are asked only where
    the policies name some.  Raises ClusterctlError where an own rule can't be run.
    """
    found = [finding for spec in specs for finding in _of_spec(policies, spec, today, read_head)]
    if infrastructure is not None:
        found += _of_resources(policies, infrastructure, today)
        found += _of_infrastructure(policies, infrastructure)
    if policies.content.own and documents is not None:
        found += own_findings(policies, documents())
    used = set[int]()
    found = [_silenced(policies, finding, today, used) for finding in found]
    found += _unused_silences(policies, used, specs, infrastructure)
    return tuple(sorted(found, key=_gravity))


def with_findings(policies: Policies, review: Review, *, read_head: ReadHead | None = None) -> Review:
    """A review with all that it breaks, own rules included.  Raises ClusterctlError where one can't be run."""

    def documents() -> Documents:
        from clusterctl.review.as_json import review_data
        from clusterctl.review.infracost import infracost_data

        return Documents(review=review_data(review), infracost=infracost_data(review))

    findings = check(
        policies,
        review.specs,
        review.infrastructure,
        today=review.valid_at.date(),
        read_head=read_head,
        documents=documents,
    )
    return dataclasses.replace(review, findings=findings)


def _gravity(finding: Finding) -> tuple[bool, bool, bool, str, str]:
    return finding.silence is not None, finding.level != "mandatory", not finding.is_new, finding.rule, finding.subject


def _level(policies: Policies, setting: RuleSetting, *, is_new: bool) -> Level:
    """A rule's level; what the base breaks in the same way has at most that of `existing`."""
    is_mandatory = setting.level == "mandatory" and (is_new or policies.content.existing == "mandatory")
    return "mandatory" if is_mandatory else "advisory"


def _of_spec(policies: Policies, spec: SpecChange, today: date, read_head: ReadHead | None) -> Iterator[Finding]:
    if spec.after is None:
        return
    settings = policies.settings((spec.path,))
    facts = RunFacts(before=spec.before, after=spec.after, today=today)
    existing = _broken_before(spec.before, settings, today)
    document: Document | None = None
    for each in RUN_RULES:
        setting = settings(each.rule.id)
        if setting.level == "off":
            continue
        for violation in each.problems(facts, setting):
            document = document or _document(spec.path, read_head)
            is_new = each.is_about_change or (each.rule.id, violation.key) not in existing
            yield Finding(
                rule=each.rule.id,
                group=each.rule.group,
                level=_level(policies, setting, is_new=is_new),
                message=violation.message,
                why=each.rule.why,
                subject=spec.path,
                file=spec.path,
                line=document.line(violation.field) if document is not None else None,
                is_new=is_new,
            )


def _broken_before(before: Plan | None, settings: Callable[[str], RuleSetting], today: date) -> set[tuple[str, str]]:
    """Ids of the rules that the base breaks, with what breaks them."""
    if before is None:
        return set()
    facts = RunFacts(before=None, after=before, today=today)
    return {
        (each.rule.id, violation.key)
        for each in RUN_RULES
        if not each.is_about_change and settings(each.rule.id).level != "off"
        for violation in each.problems(facts, settings(each.rule.id))
    }


def _document(path: str, read_head: ReadHead | None) -> Document | None:
    """A spec with its positions; None where it can't be read, or is a plan, which nobody wrote."""
    if read_head is None or path.endswith(".json"):
        return None
    try:
        return parse_yaml(read_head(path), name=path)
    except (ClusterctlError, OSError):
        return None


def _of_resources(policies: Policies, change: InfrastructureChange, today: date) -> Iterator[Finding]:
    facts = StackFacts(today=today)
    after = stack_facts([*change.providers, *(each.after.resource for each in change.changes if each.after)], facts)
    before = stack_facts(
        [*change.providers_before, *(each.before.resource for each in change.changes if each.before)], facts
    )
    for each in change.changes:
        if each.after is None:
            continue
        resource = each.after.resource
        settings = policies.settings(_names(resource))
        problems = list(resource_problems(resource, settings, after(resource)))
        existing = set(_problems_before(each.before, settings, before)) if problems else set()
        file, _, line = resource.source.rpartition(":")
        for rule, message in problems:
            is_new = (rule, message) not in existing
            yield Finding(
                rule=rule,
                group=RULES[rule].group,
                level=_level(policies, settings(rule), is_new=is_new),
                message=f"{resource.name}: {message}",
                why=RULES[rule].why,
                subject=resource.urn,
                file=file,
                line=int(line) if line.isdigit() else None,
                is_new=is_new,
            )


def _problems_before(
    cost: ResourceCost | None, settings: Callable[[str], RuleSetting], facts: Callable[[Resource], StackFacts]
) -> Iterator[tuple[str, str]]:
    if cost is not None:
        yield from resource_problems(cost.resource, settings, facts(cost.resource))


def _names(resource: Resource) -> tuple[str, ...]:
    """What a resource goes by in a policies file."""
    return resource.urn, resource.name, resource.source.rpartition(":")[0]


def _of_infrastructure(policies: Policies, change: InfrastructureChange) -> Iterator[Finding]:
    settings = policies.settings(change.stacks)
    for each in INFRASTRUCTURE_MONEY:
        setting = settings(each.rule.id)
        if setting.level == "off":
            continue
        for violation in each.problems(change.changes, setting):
            yield Finding(
                rule=each.rule.id,
                group=each.rule.group,
                level=_level(policies, setting, is_new=True),
                message=violation.message,
                why=each.rule.why,
                subject=", ".join(change.stacks) or "infrastructure",
            )


def _silenced(policies: Policies, finding: Finding, today: date, used: set[int]) -> Finding:
    """A finding with its silence; one that has expired counts again, and says so."""
    names = (finding.subject, finding.file, finding.subject.rpartition("::")[2], *finding.subject.split(", "))
    expired = None
    for number, row in matching_silences(policies, finding.rule, names):
        used.add(number)
        if row.expires >= today:
            return dataclasses.replace(finding, silence=Silence(reason=row.reason, expires=row.expires))
        expired = expired or row
    if expired is None:
        return finding
    said = f"{finding.message} (its silence expired on {expired.expires}: {expired.reason})"
    return dataclasses.replace(finding, message=said)


def _unused_silences(
    policies: Policies, used: set[int], specs: Sequence[SpecChange], change: InfrastructureChange | None
) -> Iterator[Finding]:
    """Silences of what this review has looked at, and found nothing to be silenced."""
    runs = tuple(spec.path for spec in specs if spec.after is not None)
    after = [each.after.resource for each in change.changes if each.after] if change is not None else []
    resources = tuple(name for resource in after for name in _names(resource))
    for number, row in enumerate(policies.content.silence):
        if number not in used and is_named(row.subject, _looked_at(row, runs, resources)):
            yield Finding(
                rule=UNUSED_SILENCE,
                group="policies",
                level="advisory",
                message=f"the silence of {row.rule} for {row.subject} matches nothing in this review",
                why="A silence that nothing needs hides the next finding.",
                subject=policies.name,
                file=policies.name,
                line=policies.silence_lines[number],
                is_new=False,
            )


def _looked_at(row: SilenceRow, runs: tuple[str, ...], resources: tuple[str, ...]) -> tuple[str, ...]:
    """Names of what a silenced rule has looked at; of a rule about a change none, which the next change may break."""
    about_runs = {each.rule.id for each in RUN_RULES if not each.is_about_change}
    about_resources = {each.rule.id for each in RESOURCE_RULES}
    return (runs if row.rule in about_runs else ()) + (resources if row.rule in about_resources else ())
