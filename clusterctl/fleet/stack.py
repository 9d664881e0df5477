"""A run's fleet: what a change would cost, the change, what differs, and its end.

Everything is done by a process of its own (infra/automation) on Pulumi's engine; here are its request, its answers as
values, and what must be so around it: one command at a time, a passphrase, a place for states.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clusterctl.fleet.errors import FleetError
from clusterctl.fleet.explain import explain
from clusterctl.fleet.outputs import FleetOutputs
from clusterctl.fleet.place import FleetPlace
from clusterctl.fleet.preview import FleetDrift, FleetPreview, FleetStep, only_nodes
from clusterctl.fleet.program import ask, end_leftovers
from clusterctl.fleet.pulumi_engine import find_engine
from planners.plan.value import Plan

__all__ = ["FleetDrift", "FleetEvent", "FleetOptions", "FleetPreview", "FleetStack", "FleetStep"]

PROJECT = "clusterctl"
SETTLE_SECONDS = 60.0
"""After a cut creation: until then a cloud that doesn't show it may only be late.  Assumption; AWS names no bound."""
DEADLINE_SECONDS = 3600.0
"""For one resource: an EKS cluster takes 15 minutes, and the providers themselves give up after 30 to 60."""
Say = Callable[["FleetEvent"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What the Pulumi program is told beside the plan: the keys of its configuration."""

    owner: str
    """Identity of the ledger: `sweep` leaves the resources of others alone."""
    zone: str = ""
    """Of the GPU nodes; empty = the first of the region."""
    access_cidrs: tuple[str, ...] = ()
    """Who may reach the cluster's API from outside of its network."""
    nodes: str = "supervisor"
    """Who decides how many nodes a pool has: `supervisor` makes every pool with none, `plan` as many as planned."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """More keys of the program (infra/Pulumi.yaml), by name: an existing network, cluster or bucket, reservations."""

    def config(self, plan_file: Path) -> dict[str, Any]:
        """As the program reads it."""
        own = {"owner": self.owner, "zone": self.zone, "nodes": self.nodes, "accessCidrs": list(self.access_cidrs)}
        return {"plan": str(plan_file), **own, **self.settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEvent:
    """One thing that has happened while a fleet is changed."""

    kind: str
    """started, done, failed, waiting (takes long) or note; before a change there (the state holds it) and counted (it
    holds nothing else)."""
    op: str = ""
    type: str = ""
    name: str = ""
    seconds: float = 0.0
    """Since the resource was begun."""
    message: str = ""
    at: str = ""
    """Of there: when it was made; of counted: when the state was last written.  ISO 8601; empty where nobody says."""


class FleetStack:
    """The fleet of one run.

    store: the user's data folder.  Raises FleetError and its kinds, FleetStateError, and SpecError where the machine
    lacks Pulumi.
    """

    def __init__(self, store: Path, run_id: str) -> None:
        self.run_id, self._store = run_id, store
        self._place = FleetPlace(store, run_id)
        self.settle_seconds, self.deadline_seconds = SETTLE_SECONDS, DEADLINE_SECONDS

    def preview(self, plan_file: Path, options: FleetOptions) -> FleetPreview:
        """What `up` would do, and what it would cost by the hour.  Changes nothing."""
        plan = Plan.model_validate_json(plan_file.read_bytes())
        with self._alone():
            lines = list(self._ask("preview", options.config(plan_file.absolute())))
        return FleetPreview(
            steps=_steps(lines, plan),
            nodes_usd_per_hour=plan.usd_per_hour if options.nodes == "supervisor" else None,
            hours=plan.hours.p50,
        )

    def up(self, plan_file: Path, options: FleetOptions, on_event: Say) -> FleetOutputs:
        """Makes the fleet as planned, after what an earlier crash left half done; a second time changes nothing."""
        with self._alone():
            self._place.keep_plan(plan_file)
            result = self._follow("up", on_event, options.config(self._place.plan_file))
        try:
            return FleetOutputs.model_validate(result["outputs"])
        except ValidationError as error:
            missing = ", ".join(sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]}))
            raise FleetError(f"the Pulumi program says nothing of {missing}", hint="reinstall clusterctl") from error

    def outputs(self) -> FleetOutputs | None:
        """Of the fleet as the state knows it; None where none was made to its end."""
        result = self._follow("outputs", lambda _: None)
        try:
            return FleetOutputs.model_validate(result.get("outputs") or {})
        except ValidationError:
            return None

    def drift(self) -> FleetDrift:
        """What the cloud has otherwise than the state.  Changes nothing."""
        with self._alone():
            lines = list(self._ask("drift"))
        steps = _steps(lines, self._place.plan())
        if self._place.is_supervised:
            steps = tuple(replace(step, op="same") if only_nodes(step) else step for step in steps)
        return FleetDrift(steps=steps)

    def destroy(self, on_event: Say) -> None:
        """Removes the fleet, after what an earlier crash left half done; one that has gone is no error."""
        with self._alone():
            self._follow("destroy", on_event)
            self._place.forget()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other command works on this fleet, and nothing that one has left.  Raises StackLocked."""
        with self._place.locked():
            end_leftovers(self._place.work)
            yield

    def _follow(self, act: str, on_event: Say, config: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The result of a request; what happens meanwhile goes to `on_event`."""
        result: Mapping[str, Any] = {}
        for line in self._ask(act, config):
            if "event" in line:
                on_event(FleetEvent(**line["event"]))
            result = line.get("result", result)
        return result

    def _ask(self, act: str, config: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        engine, place = find_engine(self._store), self._place
        place.make()
        request = {
            "act": act,
            "project": PROJECT,
            "stack": self.run_id,
            "engine": str(engine.root or ""),
            "backend": place.backend,
            "home": str(place.home),
            "work_dir": str(place.work),
            "config": dict(config or {}),
            "known": place.is_made,
            "settle_seconds": self.settle_seconds,
            "deadline_seconds": self.deadline_seconds,
        }
        for line in ask(request, place.environment()):
            if "error" in line:
                raise explain(line["error"], run_id=self.run_id, backend=place.backend, folder=place.work)
            yield line


def install_engine(store: Path) -> str:
    """Has Pulumi's own installer put its engine into our data folder; the version.

    Raises FleetError where it can't be fetched, SpecError where the SDK is missing.
    """
    place = FleetPlace(store, "install")
    place.make()
    try:
        root = str(place.engine)
        for line in ask({"act": "install", "engine": root, "work_dir": str(place.work), "deadline_seconds": 0}, {}):
            if "error" in line:
                raise explain(line["error"], run_id="", backend="", folder=place.work)
            if "result" in line:
                return str(line["result"]["version"])
    finally:
        shutil.rmtree(place.work, ignore_errors=True)
    raise FleetError("Pulumi's installer has said nothing")


def _steps(lines: list[Mapping[str, Any]], plan: Plan | None) -> tuple[FleetStep, ...]:
    """The engine's steps with their prices; of a resource that is replaced the engine names parts, too."""
    from clusterctl.fleet.prices import FleetPrices  # needs polars: `status` would wait for it

    steps = {line["step"]["urn"]: line["step"] for line in lines if "step" in line and _counts(line["step"]["op"])}
    prices = FleetPrices(plan, list(steps.values()))
    found = []
    for step in steps.values():
        now, why = prices.of(step["type"], step["name"], step["inputs"])
        before, why_before = (0.0, "") if step["op"] == "create" else (now, why)
        if step["old"]:
            before, why_before = prices.of(step["type"], step["name"], step["old"])
        if step["op"] == "delete":
            now, why = (0.0, "") if before is not None else (None, why_before)
        found.append(
            FleetStep(
                op=step["op"],
                urn=step["urn"],
                type=step["type"],
                name=step["name"],
                usd_per_hour=now,
                usd_per_hour_before=before,
                why_unknown=why,
                changed=tuple(step["changed"]),
            )
        )
    return tuple(found)


def _counts(op: str) -> bool:
    return op in {"create", "update", "replace", "delete", "same", "import"}
