"""After a crash: what a cloud has made and the state doesn't know is found by our tag and taken into the state.

An engine that is killed leaves `pending_operations` without ids; a provider that is killed, or whose answer got lost,
leaves nothing at all: then the journal knows.  Neither `refresh` nor `up` looks for them; `up` would make them twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pulumi import automation

from infra.automation.journal import COPIED, Journal
from infra.automation.lookup import find

if TYPE_CHECKING:
    from infra.automation.events import EngineWatch

LOOK_SECONDS = 2.0
"""Between looks for what a cloud may not show yet."""


def recover(stack: automation.Stack, journal: Journal, request: Mapping[str, Any], watch: EngineWatch) -> None:
    """Takes into the state what the cloud has of the last change.  Nothing where that came to its end.

    Raises Unanswerable where nobody can tell whether something was made.
    """
    exported = stack.export_stack()
    deployment = dict(exported.deployment)
    known = {each["urn"] for each in deployment.get("resources") or () if not each.get("pendingReplacement")}
    operations, unfinished = deployment.get("pending_operations") or [], journal.unfinished()
    noted = {urn: row for urn, row in unfinished.items() if urn not in known}
    begun = dict(noted)
    for each in operations:
        if each["type"] == "creating":
            begun[each["resource"]["urn"]] = {"at": _made_at(deployment), **each["resource"]}
    if not unfinished and not operations:
        watch.there(deployment)
        journal.clear()
        return
    for urn, row in begun.items():  # to import a state forgets what is pending in it
        if urn not in noted:
            journal.keep({name: value for name, value in row.items() if name != "at"}, row["at"])
    stack.import_stack(exported)  # changes nothing else, but refuses where another process has the lock
    watch.note(f"the last change was cut; looking for {len(begun)} resources that it had begun")
    adopted = _look(list(begun.values()), deployment, request)
    resources = list(deployment.get("resources") or ())
    before = [each["urn"] for each in _resources(exported)]
    for row in adopted:
        resources = [_aside(each, row["urn"]) for each in resources if not _is_gap(each, row["urn"])]
        row.setdefault("dependencies", before)  # so that it is removed first
        resources.append(row)
        watch.note(f"found {row['type']} {row['urn'].rpartition('::')[2]}: {row['id']}")
    if begun:
        deployment |= {"resources": resources, "pending_operations": []}
        stack.import_stack(automation.Deployment(version=exported.version, deployment=deployment))
    watch.there(deployment)
    # Until this has ended the journal names what is in the state and may not be there: a recovery may be cut, too.
    _refresh(stack, automation.Deployment(version=exported.version, deployment=deployment), journal, request, watch)
    journal.clear()


def _refresh(
    stack: automation.Stack,
    before: automation.Deployment,
    journal: Journal,
    request: Mapping[str, Any],
    watch: EngineWatch,
) -> None:
    """Drops from the state what isn't there: of what is new only once the cloud has had time to show it."""
    until = {each["urn"]: _second(each) + request["settle_seconds"] for each in _resources(before)}
    for each in _resources(before):
        if time.time() < until[each["urn"]]:
            journal.keep({name: each[name] for name in COPIED if name in each}, _second(each))
    while True:
        stack.refresh(color="never", run_program=False, on_event=watch.errors)
        there, now = {each["urn"] for each in _resources(stack.export_stack())}, time.time()
        late = [urn.rpartition("::")[2] for urn in until if urn not in there and now < until[urn]]
        if not late:
            return
        watch.note(f"the cloud does not show {', '.join(late)}, which may be late; looking again")
        time.sleep(LOOK_SECONDS)
        stack.import_stack(before)


def _resources(state: automation.Deployment) -> list[Mapping[str, Any]]:
    """Of clouds, in a state."""
    rows = state.deployment.get("resources") or ()
    return [each for each in rows if each.get("custom") and not each["type"].startswith("pulumi:")]


def _look(
    begun: list[dict[str, Any]], deployment: Mapping[str, Any], request: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Those that are in the cloud, as the state holds resources.  A cloud shows what is new after a while."""
    adopted: list[dict[str, Any]] = []
    left = begun
    while left:
        found = find(left, deployment, request)
        for row in left:
            if row["urn"] in found:
                identity, outputs = found[row["urn"]]
                made = datetime.fromtimestamp(row["at"], tz=UTC).isoformat()
                state = {name: value for name, value in row.items() if name != "at"} | {"created": made}
                adopted.append({**state, "id": identity, "outputs": {**row.get("inputs", {}), **outputs}})
        left = [row for row in left if row["urn"] not in found]
        left = [row for row in left if time.time() < row["at"] + request["settle_seconds"]]
        if left:
            time.sleep(LOOK_SECONDS)
    return adopted


def _made_at(deployment: Mapping[str, Any]) -> float:
    """When the state was last written: what is pending was begun by then."""
    try:
        return datetime.fromisoformat(deployment["manifest"]["time"]).timestamp()
    except (KeyError, ValueError):
        return datetime.now(tz=UTC).timestamp()


def _second(resource: Mapping[str, Any]) -> float:
    """When it was made; long ago where the state doesn't say it."""
    try:
        return datetime.fromisoformat(resource["created"]).timestamp()
    except (KeyError, ValueError):
        return 0.0


def _is_gap(resource: Mapping[str, Any], urn: str) -> bool:
    """Whether it stands for what was removed to be made anew."""
    return resource["urn"] == urn and bool(resource.get("pendingReplacement"))


def _aside(resource: dict[str, Any], urn: str) -> dict[str, Any]:
    """A resource for which another has been made is to be removed."""
    return {**resource, "delete": True} if resource["urn"] == urn else resource
