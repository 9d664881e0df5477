"""The cluster of a run in a cloud: what it would cost, made by Pulumi without a node for the run, and removed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from clusterctl.clouds.owner import owner_of
from clusterctl.errors import SpecError
from clusterctl.fleet.prices import LINES
from clusterctl.fleet.render import SIGNS, counts_text, preview_text
from clusterctl.fleet.stack import FleetEvent, FleetOptions, FleetPreview, FleetStack, FleetStep
from clusterctl.specfile.plan_file import write_plan
from clusterctl.targets.base import ClusterPreview, OwnCluster, RunRef, Standing
from clusterctl.targets.cloud_home import CloudHome, token_command
from clusterctl.ui.formats import count, signed_usd, unit_price
from clusterctl.ui.terminal import terminal
from planners.plan.value import Plan

CIDRS_VARIABLE, ZONE_VARIABLE, FLEET_VARIABLE = "CLUSTERCTL_ACCESS_CIDRS", "CLUSTERCTL_ZONE", "CLUSTERCTL_FLEET"
"""Who may reach the clusters' API; the zone of GPU nodes; and more keys of infra/Pulumi.yaml, as JSON."""
NAMED = ("create", "replace", "delete")
"""What of a change is named, resource by resource, also in short: tags of all others change with the plan."""
SYSTEM_NODE = "system node of the cluster"
"""Begins the name of the plan's line for it."""
BY_USE = "billed by "
"""How the price of what costs nothing by the hour is said to be unknown."""


class CloudCluster(OwnCluster):
    """fleet_stack: the runs' fleets, by store and run."""

    _previews: ClassVar[dict[tuple[Path, str, str], ClusterPreview]] = {}
    """By store, run and plan: each takes seconds."""

    def __init__(self, store: Path, home: CloudHome, fleet_stack: Callable[[Path, str], FleetStack]) -> None:
        self._store, self._home, self._fleet_stack = store, home, fleet_stack

    def preview(self, run_id: str, plan: Plan, earlier: Sequence[Plan] = ()) -> ClusterPreview:
        """By the engine, once."""
        if (key := (self._store, run_id, plan.id)) not in self._previews:
            with _plan_file(plan, earlier) as file:
                found = self._fleet_stack(self._store, run_id).preview(file, _options(self._store, plan))
            self._previews[key] = _preview(found, plan)
        return self._previews[key]

    def is_made(self, run: RunRef) -> bool:
        """Whether the way into it is known."""
        return self._home.cluster(run.run_id) is not None

    def make(self, run: RunRef, earlier: Sequence[Plan], tell: Callable[[FleetEvent], None]) -> None:
        """The way into it is known once all of it is there; a supervisor that is in it hears of what is new there."""
        with self._home.changing(run.run_id), _plan_file(run.plan, earlier) as file:
            was_there = self.is_made(run)
            fleet = self._fleet_stack(self._store, run.run_id).up(file, _options(self._store, run.plan), tell)
            self._home.know(run.run_id, fleet)
            self._previews.pop((self._store, run.run_id, run.plan.id), None)
            if was_there:
                self._home.tell_fleet(run.run_id)

    def remove(self, run: RunRef, tell: Callable[[FleetEvent], None]) -> None:
        """The way into it is kept until nothing is left: who repeats this may need it."""
        with self._home.changing(run.run_id):
            self._fleet_stack(self._store, run.run_id).destroy(tell)
            self._home.forget(run.run_id)


@contextlib.contextmanager
def _plan_file(plan: Plan, earlier: Sequence[Plan]) -> Iterator[Path]:
    """What the Pulumi program reads: machines of earlier plans are offers beside those of the plan.  Pools of offers
    are made and kept, and cost nothing while they are empty."""
    others = [offer for each in earlier for offer in (*each.alternatives, *each.elsewhere)]
    with tempfile.TemporaryDirectory() as folder:
        write_plan(
            file := Path(folder) / "plan.json", plan.model_copy(update={"elsewhere": (*plan.elsewhere, *others)})
        )
        yield file


def _options(store: Path, plan: Plan) -> FleetOptions:
    return options(store, plan.pools[0].cloud, plan.pools[0].region)


def options(store: Path, cloud: str, region: str) -> FleetOptions:
    """What this user has set.  Raises SpecError."""
    text = os.environ.get(FLEET_VARIABLE) or "{}"
    try:
        settings = json.loads(text)
        if not isinstance(settings, dict):
            raise TypeError("it is no object")
    except (ValueError, TypeError, RecursionError) as error:
        hint = f"""{FLEET_VARIABLE}='{{"cluster": "mine"}}'; infra/Pulumi.yaml lists the keys"""
        raise SpecError(f"{FLEET_VARIABLE} is no JSON of keys and values: {error}", hint=hint) from None
    cidrs = re.split(r"[\s,]+", os.environ.get(CIDRS_VARIABLE, "").strip())
    return FleetOptions(
        owner=owner_of(store),
        zone=os.environ.get(ZONE_VARIABLE, ""),
        access_cidrs=tuple(cidr for cidr in cidrs if cidr),
        nodes="supervisor",
        settings={"tokenCommand": token_command(cloud, region), **settings},
    )


def _preview(found: FleetPreview, plan: Plan) -> ClusterPreview:
    standing = standing_of(found.steps, plan)
    known = sum(each.usd_per_hour for each in standing if each.usd_per_hour is not None)
    unknown = [step.name for step in found.unpriced]
    made = count(len(found.changes), "resource")
    lines = [f"cluster: {made} to make or change, no node among them; {unit_price(known)} an hour until `down`"]
    if set(found.counts) - {"create"}:
        lines += [f"  {counts_text(found)}; {signed_usd(found.usd_per_hour_change)} an hour"]
        lines += [f"  {SIGNS[s.op]} {s.type} {s.name}" for s in found.changes if s.op in NAMED]
    lines += [f"  {s.slot}: {unit_price(s.usd_per_hour)} an hour" for s in standing if s.usd_per_hour is not None]
    lines += [f"  not priced: {', '.join(unknown)}"] if unknown else []
    steps = preview_text(found, terminal()).splitlines()
    return ClusterPreview(standing=standing, lines=tuple(lines), steps=tuple(steps))


def _titles(kind: str, title: str) -> tuple[str, ...]:
    """A cluster of AKS is made with its small node, which is a line of its own in the plan."""
    return (title, SYSTEM_NODE) if kind.endswith(":ManagedCluster") else (title,)


def standing_of(steps: Sequence[FleetStep], plan: Plan) -> tuple[Standing, ...]:
    """What of the steps is paid by the hour while the cluster stands."""
    found = []
    for step in steps:
        if step.op == "delete" or step.usd_per_hour == 0.0 or step.why_unknown.startswith(BY_USE):
            continue
        title = LINES.get(step.type)
        found.append(
            Standing(
                slot=re.sub(r"[^a-z0-9]+", "-", f"{step.type.rpartition(':')[2]}-{step.name}".lower()).strip("-"),
                what=f"{step.type} {step.name}",
                usd_per_hour=step.usd_per_hour,
                price_source="the plan" if title else "the price book",
                lines="+".join(
                    line.id for line in plan.lines if title and line.name.startswith(_titles(step.type, title))
                ),
            )
        )
    return tuple(found)
