"""Whether a cloud holds a resource whose creation was begun, and by which id: asked by our tag, or by its own name.

Where the name is part of the id, the id is said without asking: `refresh` drops what isn't there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
from pulumi import automation

from infra.automation.identities import AGAIN, ASKED, NAMED
from infra.own_tag import RESOURCE_TAG, tag_of
from planners.tags import TAG_PREFIX

Found = tuple[str, Mapping[str, Any]]
"""The id, and what the provider must know beside the inputs to read it."""

ACCOUNTS = {
    "gcp": ("gcp:organizations/getProject:getProject", "projectId"),
    "azure-native": ("azure-native:authorization:getClientConfig", "subscriptionId"),
}
"""Whom the provider works for: the question, and what of the answer is part of ids."""


class UnanswerableError(LookupError):
    """Nobody can tell whether something was made: going on could make it twice."""

    kind = "unanswerable"


def find(
    begun: Sequence[Mapping[str, Any]], deployment: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Found]:
    """Those of `begun` (resources as the state holds them) that are there, or may be, by URN.

    Raises UnanswerableError.
    """
    found: dict[str, Found] = {}
    asked: list[Mapping[str, Any]] = []
    accounts: dict[str, str] = {}

    def account(kind: str) -> str:
        cloud = kind.partition(":")[0]
        if cloud in ACCOUNTS and cloud not in accounts:
            accounts[cloud] = _account(cloud, request)
        return accounts.get(cloud, "")

    for row in begun:
        kind = row["type"]
        if kind in AGAIN or kind.startswith("pulumi:"):
            continue
        if kind in NAMED or kind.startswith("kubernetes:"):
            found[row["urn"]] = _named(row, account(kind)), {}
        elif kind.startswith("aws:") and (kind in ASKED or "tags" in row.get("inputs", {})):
            asked.append(row)
        else:
            raise UnanswerableError(f"{kind} {row['urn'].rpartition('::')[2]}")
    if asked:
        found |= _ask(asked, deployment, request)
    return found


def _named(row: Mapping[str, Any], account: str) -> str:
    """The id that a resource with these inputs has, if it is there."""
    kind, inputs = row["type"], dict(row.get("inputs", {}))
    if kind.startswith("kubernetes:"):
        about = inputs.get("metadata", {})
        return "/".join(filter(None, (about.get("namespace"), about.get("name"))))
    if account:
        inputs = {"project": account, "subscription": account} | inputs
    try:
        return NAMED[kind].format_map(inputs)
    except KeyError as error:
        raise UnanswerableError(f"{kind} {row['urn'].rpartition('::')[2]}, which has no {error.args[0]}") from error


def _ask(
    begun: Sequence[Mapping[str, Any]], deployment: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Found]:
    """AWS's answer, by the tags of the run and of the resource; asked by the provider, with its credentials."""
    provider = next(each for each in deployment["resources"] if each["type"] == "pulumi:providers:aws")
    region = provider.get("inputs", {}).get("region")
    found: dict[str, Found] = {}

    def program() -> None:
        aws = pulumi.ProviderResource("aws", "look", {"region": region})
        options = pulumi.InvokeOptions(provider=aws)
        tags = [{"key": f"{TAG_PREFIX}/run", "values": [request["stack"]]}]
        token = "aws:resourcegroupstaggingapi/getResources:getResources"  # noqa: S105 - name of a question
        answer = pulumi.runtime.invoke(token, {"tagFilters": tags, "region": region}, options).value
        arns = {
            each["tags"].get(RESOURCE_TAG): each["resourceArn"]
            for each in (answer or {}).get("resourceTagMappingLists", ())
        }
        for row in begun:
            if arn := arns.get(tag_of(row["type"], row["urn"].rpartition("::")[2])):
                found[row["urn"]] = _of_arn(row["type"], arn)
            elif row["type"] in ASKED:
                token, argument, listed, key = ASKED[row["type"]]
                answer = pulumi.runtime.invoke(token, {argument: row["inputs"][argument]}, options).value or {}
                rows = answer.get(listed) if listed else [answer]
                identities = [each[key] for each in rows or () if each.get(key)]
                if identities:
                    found[row["urn"]] = identities[0], {}

    _look(program, request)
    return found


def _account(cloud: str, request: Mapping[str, Any]) -> str:
    """Project of Google Cloud or subscription of Azure, as the provider's credentials say it."""
    token, key = ACCOUNTS[cloud]
    said: list[str] = []

    def program() -> None:
        options = pulumi.InvokeOptions(provider=pulumi.ProviderResource(cloud, "look", {}))
        said.append(str((pulumi.runtime.invoke(token, {}, options).value or {}).get(key) or ""))

    _look(program, request)
    return next(iter(said), "")


def _look(program: Callable[[], None], request: Mapping[str, Any]) -> None:
    """Runs questions in a stack that holds nothing, and is forgotten."""
    with tempfile.TemporaryDirectory() as folder:
        settings = automation.ProjectSettings(
            name="look", runtime="python", backend=automation.ProjectBackend(url=f"file://{folder}")
        )
        command = automation.PulumiCommand(root=request["engine"]) if request["engine"] else None
        options = automation.LocalWorkspaceOptions(
            pulumi_home=request["home"], project_settings=settings, pulumi_command=command
        )
        automation.create_stack("look", "look", program, opts=options).preview(color="never")


def _of_arn(kind: str, arn: str) -> Found:
    """An ARN ends with the id; a few resources want more to be read."""
    identity = re.split(r"[/:]", arn)[-1]
    if kind == "aws:budgets/budget:Budget":
        return f"{arn.split(':')[4]}:{identity}", {}
    if kind == "aws:eks/podIdentityAssociation:PodIdentityAssociation":
        return identity, {"associationId": identity}
    return identity, {"arn": arn}
