"""The rule on rights that are wider than what is named: policies of AWS as JSON text or mappings, roles of Google
Cloud, Azure and Kubernetes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    SafetySetting,
    StackFacts,
    is_unknown,
    items,
    leaves,
    mappings,
    plain_type,
    short_type,
)

EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
"""Members of a role on Google Cloud: https://cloud.google.com/iam/docs/principal-identifiers"""
RIGHTS_TO_EVERYTHING = (
    "roles/owner",
    "roles/editor",
    "AdministratorAccess",
    "PowerUserAccess",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",  # Azure's Owner
    "b24988ac-6180-42a0-ab88-20f7382dd24c",  # Azure's Contributor
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",  # Azure's User Access Administrator
)
_AZURE_NAMES = ("Owner", "Contributor", "User Access Administrator")
_KUBE_ADMIN = "cluster-admin"


def statements(policy: Any) -> list[Mapping[str, Any]]:
    """Those of a policy of AWS, JSON text or a mapping; none where it can't be read or isn't known yet."""
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except ValueError:
            return []
    found = policy.get("Statement") if isinstance(policy, Mapping) else None
    return mappings(found)


def has_everybody(statement: Mapping[str, Any]) -> bool:
    """Whether a statement speaks of every principal."""
    principal = statement.get("Principal")
    return principal == "*" or (isinstance(principal, Mapping) and "*" in items(principal.get("AWS")))


def _wildcard_permission(
    kind: str, properties: Properties, setting: SafetySetting, _stack: StackFacts
) -> Iterator[str]:
    kind = plain_type(kind)
    yield from _roles(kind, properties)
    if kind.startswith("kubernetes:rbac"):
        yield from _kubernetes(kind, properties, strict=setting.strict)
    elif short_type(kind) in {"IAMCustomRole", "OrganizationsIAMCustomRole", "RoleDefinition"}:
        yield from _custom_role(properties, strict=setting.strict)
    elif kind == "aws:iam/getPolicyDocument:getPolicyDocument" or not kind.startswith("aws:"):
        return
    else:
        for name, policy in properties.items():
            for text in _policies_in(name, policy):
                for statement in statements(text):
                    yield from _statement(kind, statement, strict=setting.strict)


def _policies_in(name: str, value: Any) -> Iterator[Any]:
    """A property that is a policy, and policies within a role's inline ones."""
    if name == "inlinePolicies":
        yield from (inner.get("policy") for inner in mappings(value))
    elif name.lower().endswith("policy") and (isinstance(value, Mapping) or str(value).lstrip().startswith("{")):
        yield value


def _statement(kind: str, statement: Mapping[str, Any], *, strict: bool) -> Iterator[str]:
    if statement.get("Effect") != "Allow":
        return
    actions = [str(action) for action in items(statement.get("Action"))]
    resources = {str(resource) for resource in items(statement.get("Resource"))}
    on_everything = bool(resources) and resources <= {"*"}
    if strict:
        yield from _strict(statement, actions, on_everything=on_everything)
    elif _OF_A_THING.search(kind) is None:
        if {"*", "*:*"} & set(actions):
            yield "every action is allowed" + (" on everything" if on_everything else "")
        elif on_everything and statement.get("NotAction") is not None:
            yield "every action but those named is allowed on everything"
        elif on_everything and not statement.get("Condition"):
            whole = [action for action in actions if action.endswith(":*")]
            yield from [f"{', '.join(whole)} is allowed on everything"] if whole else []
    if not strict and has_everybody(statement) and not statement.get("Condition") and _PUBLIC_THING.search(kind):
        yield "everybody is allowed (Principal *, without a condition)"


_OF_A_THING = re.compile(r"^aws:(s3|kms|sqs|sns|ecr|efs|secretsmanager|lambda|backup|cloudwatch|codeartifact)/")
"""Their policies speak of one thing, and `kms:*` on `*` for its own account is what AWS recommends."""
_PUBLIC_THING = re.compile(r"^aws:(kms|sqs|sns|ecr|efs|secretsmanager)/|^aws:iam/role:Role$")
"""Buckets have a rule of their own."""


def _strict(statement: Mapping[str, Any], actions: list[str], *, on_everything: bool) -> Iterator[str]:
    wide = [action for action in actions if "*" in action]
    looks = all(action.partition(":")[2].startswith("Describe") for action in actions)
    if wide:
        yield f"{', '.join(wide)} is a right to more than is named"
    if on_everything and not (looks and "Condition" in statement):
        yield f"{', '.join(actions)} is allowed on everything"


def _roles(kind: str, properties: Properties) -> Iterator[str]:
    for path, value in leaves(properties):
        if not isinstance(value, str):
            continue
        is_role = re.fullmatch(r"\.(role|roleDefinitionId|policyArn|policyArns|managedPolicyArns)", path) is not None
        if is_role and value.endswith(RIGHTS_TO_EVERYTHING):
            yield f"{path.lstrip('.')} is a right to everything ({value})"
        elif path == ".roleDefinitionName" and value in _AZURE_NAMES:
            yield f"roleDefinitionName is a right to everything ({value})"
    if kind.startswith("gcp:") and not kind.startswith("gcp:storage/"):
        for member in [*items(properties.get("member")), *items(properties.get("members"))]:
            if member in EVERYBODY:
                yield f"{member} has {properties.get('role')}: everybody on the internet"


def _custom_role(properties: Properties, *, strict: bool) -> Iterator[str]:
    for path, value in leaves(properties.get("permissions")):
        if path.endswith(("notActions", "notDataActions")) or is_unknown(value):
            continue
        if value == "*" or (strict and "*" in str(value)):
            yield f"{value} is a right to more than is named"


def _kubernetes(kind: str, properties: Properties, *, strict: bool) -> Iterator[str]:
    for rule in mappings(properties.get("rules")):
        verbs, resources = (items(rule.get(name)) for name in ("verbs", "resources"))
        if strict:
            wide = ["*"] if "*" in verbs else [str(found) for found in resources if "*" in str(found)]
            yield from (f"{found} is a right to more than is named" for found in wide)
        elif "*" in verbs and "*" in resources:
            yield "every verb is allowed on every resource"
    if short_type(kind) in {"ClusterRoleBinding", "RoleBinding"}:
        role = properties.get("roleRef")
        subjects = mappings(properties.get("subjects"))
        if isinstance(role, Mapping) and role.get("name") == _KUBE_ADMIN and subjects:
            who = ", ".join(f"{each.get('kind', 'User')} {each.get('name')}" for each in subjects)
            yield f"{who} may do everything in the cluster ({_KUBE_ADMIN})"


WILDCARD_PERMISSION = ResourceRule(
    rule=Rule(
        id="wildcard-permission",
        group="safety",
        summary="A policy or role gives a right to everything, or to everybody.",
        why="Whoever gets hold of one job's credentials then has the whole account, and its GPUs.",
        setting=SafetySetting,
    ),
    problems=_wildcard_permission,
)
