"""The bill: intervals that never overlap, parts that add up, unknown that stays unknown."""

from __future__ import annotations

from decimal import Decimal
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_world import a_machine, a_run, at
from sqlalchemy import select

from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.ledger_tables import COSTS
from clusterctl.ledger.rows import Cost, Intent, ReportBatch, ReportedCost

RUN_NUMBERS = count()
PRICES = st.none() | st.decimals(min_value=0, max_value=1000, places=6)
ACTS = st.lists(
    st.tuples(st.just("until"), st.integers(-100, 20_000))
    | st.tuples(st.just("price"), PRICES)
    | st.tuples(st.just("gone"), st.integers(1, 20_000)),
    max_size=8,
)


def intervals(ledger: Ledger, run_id: str) -> tuple[Cost, ...]:
    return ledger.rows(
        Cost, select(COSTS).where(COSTS.c.run_id == run_id).order_by(COSTS.c.resource_id, COSTS.c.from_at)
    )


@pytest.fixture
def machine(ledger: Ledger) -> str:
    ledger.add_run(a_run())
    ledger.intend(a_machine(), at=at(0))
    ledger.mark_live("rlcef-1/node/1", address="1:1", at=at(0))
    return "rlcef-1/node/1"


def test_one_interval_grows(ledger: Ledger, machine: str) -> None:
    for seconds in (10, 10, 5, 3600, -50):
        ledger.extend_cost(machine, until=at(seconds))
    bill = ledger.bill("rlcef-1")
    assert (bill.usd, bill.known_usd, bill.unpriced) == (Decimal("3.6"), Decimal("3.6"), ())
    assert [(line.role, line.kind, line.seconds, line.usd) for line in bill.lines] == [
        ("node", "machine", 3600, Decimal("3.6"))
    ]
    assert len(intervals(ledger, "rlcef-1")) == 1


def test_nothing_is_charged_before_it_lives_or_after_it_has_gone(ledger: Ledger, machine: str) -> None:
    ledger.intend(a_machine("other"))
    assert ledger.extend_cost("other", until=at(10)) is None
    assert ledger.extend_cost(machine, until=at(0)) is None
    ledger.mark_gone(machine, at=at(1000))
    cost = ledger.extend_cost(machine, until=at(5000))
    assert cost is not None
    assert cost.to_at == at(1000)
    assert [line.usd for line in ledger.bill("rlcef-1").lines] == [Decimal(1)]


def test_an_unknown_price_makes_the_sum_unknown_and_never_zero(ledger: Ledger, machine: str) -> None:
    ledger.extend_cost(machine, until=at(1000))
    ledger.set_price(machine, None, source="unknown")
    ledger.extend_cost(machine, until=at(2000))
    ledger.set_price(machine, Decimal("7.2"), source="price book")
    ledger.extend_cost(machine, until=at(3000))
    bill = ledger.bill("rlcef-1")
    assert (bill.usd, bill.known_usd, bill.unpriced) == (None, Decimal(3), (machine,))
    assert [(cost.source, cost.usd) for cost in intervals(ledger, "rlcef-1")] == [
        ("you", Decimal(1)),
        ("unknown", None),
        ("price book", Decimal(2)),
    ]


def test_a_run_without_costs_has_an_empty_bill(ledger: Ledger) -> None:
    bill = ledger.bill("nobody")
    assert (bill.lines, bill.usd, bill.known_usd) == ((), Decimal(0), Decimal(0))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(machines=st.lists(st.tuples(PRICES, ACTS), min_size=1, max_size=3), data=st.data())
def test_parts_add_up_and_repetition_changes_nothing(
    ledger: Ledger, machines: list[tuple[Decimal | None, list[tuple[str, int | Decimal | None]]]], data: st.DataObject
) -> None:
    run_id = f"run-{next(RUN_NUMBERS)}"
    ledger.add_run(a_run(run_id, name=run_id))
    for number, (price, acts) in enumerate(machines):
        identity = f"{run_id}/{number}"
        ledger.intend(a_machine(identity, run_id, usd_per_hour=price), at=at(-1))
        ledger.mark_live(identity, address="1:1", at=at(0))
        for act, value in acts:
            for _ in range(data.draw(st.integers(1, 2))):
                apply(ledger, identity, act, value)
    costs = intervals(ledger, run_id)
    for before, after in pairwise(costs):
        if before.resource_id == after.resource_id:
            assert before.to_at <= after.from_at, "no second is charged twice"
    for number in range(len(machines)):
        mine = [cost for cost in costs if cost.resource_id == f"{run_id}/{number}"]
        if mine:
            assert mine[0].from_at == at(0)
            assert all(before.to_at == after.from_at for before, after in pairwise(mine)), "no second is left out"
    bill = ledger.bill(run_id)
    assert bill.known_usd == sum((cost.usd for cost in costs if cost.usd is not None), Decimal(0))
    assert bill.known_usd == sum((line.known_usd for line in bill.lines), Decimal(0))
    assert (bill.usd is None) == any(cost.usd is None for cost in costs)
    assert sum(line.seconds for line in bill.lines) == sum((c.to_at - c.from_at).total_seconds() for c in costs)


def apply(ledger: Ledger, identity: str, act: str, value: int | Decimal | None) -> None:
    if act == "until":
        ledger.extend_cost(identity, until=at(float(value or 0)))
    elif act == "price":
        ledger.set_price(identity, None if value is None else Decimal(value), source=str(value))
    else:
        last = ledger.extend_cost(identity, until=at(float(value or 0)))
        ledger.mark_gone(identity, at=max(at(float(value or 0)), last.to_at) if last else at(float(value or 0)))


REPORT = st.tuples(
    st.decimals(min_value=0, max_value=10**6, places=3), st.integers(0, 10**8), st.sampled_from(["usd", "unit", "none"])
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=st.lists(REPORT, min_size=1, max_size=10), data=st.data())
def test_reports_are_counted_once_and_add_up(
    ledger: Ledger, reports: list[tuple[Decimal, int, str]], data: st.DataObject
) -> None:
    """Whatever is read again after a kill, in whatever hours the reports lie."""
    run_id = f"run-{next(RUN_NUMBERS)}"
    ledger.add_run(a_run(run_id, name=run_id))
    seconds, owed = 0.0, Decimal(0)

    def say(number: int) -> bool:
        quantity, millis, how = reports[number]
        report = ReportedCost(
            intent=Intent(
                resource_id=f"{run_id}/egress",
                run_id=run_id,
                role="trainer",
                kind="egress",
                provider="local",
                price_source=how,
            ),
            quantity=quantity,
            usd=quantity if how == "usd" else None,
            usd_per_unit=Decimal(2) if how == "unit" else None,
            at=at(seconds + millis / 1000),
        )
        batch = ReportBatch(from_byte=number, to_byte=number + 1, costs=(report,), since=at(0))
        return ledger.record_reports(run_id, batch)

    for number, (quantity, millis, how) in enumerate(reports):
        assert say(number)
        seconds += millis / 1000
        owed += {"usd": quantity, "unit": 2 * quantity, "none": Decimal(0)}[how]
        assert not say(data.draw(st.integers(0, number)))
    costs, bill = intervals(ledger, run_id), ledger.bill(run_id)
    assert (bill.known_usd, sum(cost.quantity or 0 for cost in costs)) == (
        owed,
        sum(quantity for quantity, _, _ in reports),
    )
    assert (bill.usd is None) == any(how == "none" for _, _, how in reports)
    assert all(before.to_at <= after.from_at for before, after in pairwise(costs))
    assert all(cost.from_at < cost.to_at for cost in costs)
    assert ledger.live_resources(run_id) == ()
