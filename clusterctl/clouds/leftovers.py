"""What is left over in a cloud: ours by tag, of no live run.  Found, judged, removed in order, and looked for again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from clusterctl.clouds.base import Cloud, CloudError, CloudResource, CloudUnreachable, InUse, NotAsked

LONGEST_SECONDS, PAUSE_SECONDS = 1800.0, 10.0
"""A cluster with its nodes takes a quarter of an hour to go."""
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAccount:
    """What one cloud has said."""

    cloud: Cloud
    name: str
    """Account, project or subscription that pays."""
    resources: tuple[CloudResource, ...]
    not_asked: tuple[NotAsked, ...]
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftInCloud:
    """A resource of no live run."""

    resource: CloudResource
    age_seconds: float | None
    """None where nobody knows."""
    kept: str = ""
    """Why it is not removed; empty where it is to be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may be removed."""

    owner: str
    """Identity of this ledger."""
    live_runs: Collection[str]
    ended_at: Mapping[str, datetime]
    """Of runs that this ledger knows."""
    older_than_seconds: float = 0.0
    with_data: bool = False
    """Buckets and file systems too, with what they hold."""


def ask(cloud: Cloud, owner: str | None) -> CloudAccount | NotAsked:
    """Everything with our tags in one account, or why it could not be asked at all."""
    try:
        name = cloud.identity()
        found = cloud.resources(None, owner)
    except CloudError as error:
        reason = f"{error.message}; {error.hint}" if error.hint else error.message
        return NotAsked(cloud=cloud.name, place="", reason=reason)
    return CloudAccount(
        cloud=cloud, name=name, resources=found.resources, not_asked=found.not_asked, regions=found.asked
    )


def judge(resources: Iterable[CloudResource], rules: Rules, now: datetime) -> Sequence[LeftInCloud]:
    """Those of no live run, each with the reason where it is kept; live runs' are left out, whosever they are."""
    left = [item for item in resources if item.owner != rules.owner or item.run_id not in rules.live_runs]
    newest: dict[str, datetime] = {}
    for item in left:
        if item.since is not None:
            newest[item.run_id] = max(item.since, newest.get(item.run_id, item.since))
    return [_judged(item, rules, newest, now) for item in left]


def _judged(item: CloudResource, rules: Rules, newest: Mapping[str, datetime], now: datetime) -> LeftInCloud:
    """Where a cloud doesn't say when something was made, the newest thing of the same run speaks for it: nothing is
    taken from a fleet that is just being made."""
    since = item.since or newest.get(item.run_id) or rules.ended_at.get(item.run_id)
    age = None if since is None else max((now - since).total_seconds(), 0.0)
    kept = ""
    if item.owner != rules.owner:
        kept = f"belongs to {item.owner or 'nobody who is named'}"
    elif not item.command:
        kept = item.note or "it can't be removed"
    elif item.holds_data and not rules.with_data:
        kept = "holds data: --with-data removes it"
    elif rules.older_than_seconds and (age is None or age < rules.older_than_seconds):
        kept = "of unknown age" if age is None else "too young"
    return LeftInCloud(resource=item, age_seconds=age, kept=kept)


def clear(
    account: CloudAccount,
    wanted: Sequence[CloudResource],
    *,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[Key, str]:
    """Remove what is wanted, in its order, again and again until the cloud shows nothing of it any more.

    What another thing holds is tried again once that is gone.  Returns what is left, with the cloud's last word on it.
    """
    left = {key_of(item): "" for item in wanted}
    regions = sorted({item.region for item in wanted if item.region})
    end = clock() + LONGEST_SECONDS
    while left:
        refused = _pass(account.cloud, [item for item in wanted if key_of(item) in left], left)
        try:
            found = account.cloud.resources(regions, wanted[0].owner)
        except CloudError as error:
            tell(f"{account.cloud.name}: {error.message}")
        else:
            there = {key_of(item) for item in found.resources}
            left = {key: why for key, why in left.items() if key in there or (why and found.not_asked)}
        if not left or clock() > end or refused >= set(left):
            break
        tell(f"{account.cloud.name}: {len(wanted) - len(left)} of {len(wanted)} are gone, waiting for the others")
        sleep(PAUSE_SECONDS)
    return left


def _pass(cloud: Cloud, items: Sequence[CloudResource], left: dict[Key, str]) -> set[Key]:
    """Begin to remove each; returns those that it makes no sense to try again."""
    refused = set()
    for item in items:
        try:
            cloud.remove(item)
            left[key_of(item)] = ""
        except CloudError as error:
            left[key_of(item)] = error.message
            if not isinstance(error, InUse | CloudUnreachable):
                refused.add(key_of(item))
    return refused


def key_of(item: CloudResource) -> Key:
    """What it is, whatever else is said of it."""
    return (item.cloud, item.region, item.kind, item.id)
