"""The ledger: runs, plans, events, steps and phases; resources, costs, factors and bills by inheritance."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, update

from clusterctl.errors import SpecError, StateError
from clusterctl.ledger.books import BillBook, FactorBook
from clusterctl.ledger.ledger_tables import EVENTS, PHASES, PLANS, RUNS, STEPS
from clusterctl.ledger.resources import ResourceBook, book_costs
from clusterctl.ledger.rows import LIVE, Desired, Event, PhaseSeconds, ReportBatch, Run, RunState, Step, StoredPlan
from clusterctl.ledger.run_search import RunSearch
from clusterctl.ledger.store import insert_once, upsert, values_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from clusterctl.clock import Beat
    from planners.plan.value import Plan


NEWEST = select(RUNS).order_by(RUNS.c.created_at.desc(), RUNS.c.run_id)


def _storable(text: str) -> str:
    """Text of any origin without the NUL and half characters that databases refuse."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _finite(step: Step) -> Step:
    """The step with None for each metric that is no finite number, which JSON can't hold."""
    known = {name: value if value is not None and isfinite(value) else None for name, value in step.metrics.items()}
    return replace(step, metrics=known)


class Ledger(RunSearch, ResourceBook, FactorBook, BillBook):
    """An open ledger.  Every method is one transaction and may be repeated without harm.

    `at` is the moment of what is recorded, by default now.  All methods raise StateError when the database fails.
    """

    def add_run(self, run: Run) -> Run:
        """The run as recorded: a known id changes nothing.  Raises SpecError while another live run has its name."""
        self.write(lambda connection: insert_once(connection, RUNS, values_of(run)))
        stored = self.rows(Run, NEWEST.where(RUNS.c.run_id == run.run_id))
        if not stored:
            hint = f"take another name, or end that run: `clusterctl down {run.name}`"
            raise SpecError(f"a run named `{run.name}` is live", hint=hint)
        return stored[0]

    def get_run(self, text: str) -> Run:
        """The run with this id; the live, else the newest, run of this name; else the only one whose id begins so.

        Raises SpecError, naming what comes near.
        """
        text = _storable(text)
        named = self.rows(Run, NEWEST.where(or_(RUNS.c.run_id == text, RUNS.c.name == text)))
        if named:
            return min(named, key=lambda run: (run.run_id != text, run.state not in LIVE))
        begun = self.rows(Run, NEWEST.where(RUNS.c.run_id.startswith(text, autoescape=True))) if text else ()
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise SpecError(f"`{text}` fits {', '.join(run.run_id for run in begun[:5])}", hint="give more of the id")
        names = self.transact(lambda connection: connection.scalars(select(RUNS.c.name).distinct()).all())
        near = get_close_matches(text, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`clusterctl status` lists the runs"
        raise SpecError(f"no run is called `{text[:80]}`", hint=hint)

    def runs(
        self,
        states: Collection[RunState] | None = None,
        *,
        plan_id: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> tuple[Run, ...]:
        """All runs, or those in these states, of this plan, of this name; the newest first, at most `limit`."""
        query = NEWEST if states is None else NEWEST.where(RUNS.c.state.in_(states))
        query = query if plan_id is None else query.where(RUNS.c.plan_id == plan_id)
        query = query if name is None else query.where(RUNS.c.name == name)
        return self.rows(Run, query.limit(limit))

    def run_count(self) -> int:
        """How many runs there are."""
        query = select(func.count()).select_from(RUNS)
        return self.transact(lambda connection: int(connection.execute(query).scalar_one()))

    def set_desired(self, run_id: str, desired: Desired, *, note: str | None = None) -> None:
        """What should become of the run.  A note replaces the old one."""
        self._change_run(run_id, {"desired": desired, "note": RUNS.c.note if note is None else note})

    def set_limits(self, run_id: str, *, usd: Decimal | None, hours: Decimal | None) -> None:
        """What the run may use from now on; None = no limit."""
        self._change_run(run_id, {"limit_usd": usd, "limit_hours": hours})

    def reopen(self, run_id: str) -> None:
        """The run is wanted again, whatever has become of it."""
        self._change_run(run_id, {"state": "wanted", "desired": "up", "note": "", "ended_at": None})

    def set_state(self, run_id: str, state: RunState, *, at: datetime | None = None, note: str | None = None) -> None:
        """What has become of the run.  Its first start and, once it has ended, its first end are kept."""
        changes: dict[str, Any] = {"state": state, "note": RUNS.c.note if note is None else note, "ended_at": None}
        moment = at or self.now()
        if state in LIVE and state not in {"wanted", "stopping"}:
            changes["started_at"] = func.coalesce(RUNS.c.started_at, moment)
        if state not in LIVE:
            changes["ended_at"] = func.coalesce(RUNS.c.ended_at, moment)
        self._change_run(run_id, changes)

    def _change_run(self, run_id: str, changes: dict[str, Any]) -> None:
        query = update(RUNS).where(RUNS.c.run_id == run_id).values(changes)
        if self.write(lambda connection: connection.execute(query).rowcount) == 0:
            raise StateError(f"the ledger {self.where} holds no run `{run_id[:80]}`")

    def put_plan(self, plan_id: str, *, schema: str, content: str, at: datetime | None = None) -> None:
        """Keep a plan.  Its id is that of its content, so a known id changes nothing."""
        row = StoredPlan(plan_id=plan_id, schema=schema, content=content, created_at=at or self.now())
        self.write(lambda connection: insert_once(connection, PLANS, values_of(row)))

    def keep_plan(self, plan: Plan) -> None:
        """Keep a plan as `stored_plan` reads it."""
        content = plan.model_dump_json(exclude={"created_at"})
        self.put_plan(plan.id, schema=plan.schema_name, content=content, at=plan.created_at)

    def get_plan(self, plan_id: str) -> StoredPlan:
        """The plan with this id.  Raises SpecError."""
        for plan in self.rows(StoredPlan, select(PLANS).where(PLANS.c.plan_id == plan_id)):
            return plan
        raise SpecError(f"the ledger {self.where} holds no plan `{plan_id[:80]}`")

    def record_event(
        self,
        run_id: str,
        kind: str,
        message: str,
        *,
        role: str | None = None,
        data: Mapping[str, Any] | None = None,
        event_id: str | None = None,
        at: datetime | None = None,
    ) -> Event:
        """The event as recorded.  With an `event_id` that the run has already, the first one stays as it is."""
        identity = event_id or uuid.uuid4().hex
        given = {"run_id": run_id, "event_id": identity, "at": at or self.now(), "kind": kind, "role": role}

        def act(connection: Connection) -> Event:
            # one writer per run at a time (SQLite: at all), so that whoever has read up to a seq misses none below it
            connection.execute(select(RUNS.c.run_id).where(RUNS.c.run_id == run_id).with_for_update(key_share=True))
            insert_once(connection, EVENTS, given | {"message": _storable(message), "data": dict(data or {})})
            mine = select(EVENTS).where(EVENTS.c.run_id == run_id, EVENTS.c.event_id == identity)
            return Event(**connection.execute(mine).one()._asdict())

        return self.write(act)

    def events(
        self,
        run_id: str | None = None,
        *,
        since_seq: int = 0,
        kind: str | None = None,
        role: str | None = None,
        limit: int | None = None,
        last: int | None = None,
    ) -> tuple[Event, ...]:
        """Events after `since_seq`, the oldest first; at most `limit` of the first, or the `last` ones."""
        order = EVENTS.c.seq if last is None else EVENTS.c.seq.desc()
        query = select(EVENTS).where(EVENTS.c.seq > since_seq).order_by(order).limit(limit if last is None else last)
        for column, value in ((EVENTS.c.run_id, run_id), (EVENTS.c.kind, kind), (EVENTS.c.role, role)):
            query = query if value is None else query.where(column == value)
        found = self.rows(Event, query)
        return found if last is None else found[::-1]

    def record_reports(self, run_id: str, batch: ReportBatch) -> bool:
        """What a job has reported, with the position up to which it was read: all of it or nothing.

        Whether it was recorded: a batch that begins elsewhere than the last one ended has been recorded by another.
        A step that is done again after a recovery replaces the earlier one.
        """

        def act(connection: Connection) -> bool:
            mine = select(RUNS.c.reports_byte).where(RUNS.c.run_id == run_id).with_for_update()
            if connection.scalar(mine) != batch.from_byte:
                return False
            for step in {(step.stage, step.step): step for step in batch.steps}.values():
                upsert(connection, STEPS, values_of(_finite(step)), "run_id", "stage", "step")
            for phase in {(phase.stage, phase.phase, phase.step): phase for phase in batch.phases}.values():
                upsert(connection, PHASES, values_of(phase), "run_id", "stage", "phase", "step")
            book_costs(connection, batch)
            changes: dict[str, Any] = {"reports_byte": batch.to_byte}
            if batch.progress_at is not None:
                changes["progress_at"] = batch.progress_at
            connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(changes))
            return True

        return self.write(act)

    def beat(self, run_id: str, beat: Beat) -> None:
        """Somebody watches the run at this moment."""
        changes = {"beat_at": beat.at, "beat_boot_id": beat.boot_id, "beat_uptime_seconds": beat.uptime_seconds}
        self._change_run(run_id, changes)

    def set_plan(self, run_id: str, plan_id: str, *, alternative: int) -> None:
        """The run goes on by another plan, which is kept already, on this alternative of it."""
        self._change_run(run_id, {"plan_id": plan_id, "alternative": alternative})

    def set_stage(self, run_id: str, stage: str) -> None:
        """The run is at this stage of its plan."""
        self._change_run(run_id, {"stage": stage})

    def set_alternative(self, run_id: str, number: int) -> None:
        """The run goes on with this alternative of its plan; 0 = the plan's own fleet."""
        self._change_run(run_id, {"alternative": number})

    def steps(self, run_id: str, *, last: int | None = None, after: datetime | None = None) -> tuple[Step, ...]:
        """The run's steps, or its last ones, or those done after a moment, in the order in which they were done."""
        query = select(STEPS).where(STEPS.c.run_id == run_id).order_by(STEPS.c.at.desc(), STEPS.c.step.desc())
        query = query if after is None else query.where(STEPS.c.at > after)
        return self.rows(Step, query.limit(last))[::-1]

    def last_step(self, run_id: str) -> Step | None:
        """The step that was done last; None before the first."""
        return next(iter(self.steps(run_id, last=1)), None)

    def phases(self, run_id: str, phase: str | None = None) -> tuple[PhaseSeconds, ...]:
        """The run's phases, or those of one name, in the order in which they were done."""
        query = select(PHASES).where(PHASES.c.run_id == run_id).order_by(PHASES.c.at, PHASES.c.step)
        return self.rows(PhaseSeconds, query if phase is None else query.where(PHASES.c.phase == phase))
