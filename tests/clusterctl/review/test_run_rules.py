"""Each rule for runs, and for what infrastructure costs: what breaks it, and what doesn't; and its line in the spec."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sample_plan import RLCEF_LINES, RLCEF_STAGE, band, pool, rlcef_plan

from clusterctl.review.policies import check, load_policies
from clusterctl.review.value import Finding, InfrastructureChange, SpecChange
from planners.infrastructure.value import CostPart, Resource, ResourceChange, ResourceCost
from planners.plan.value import Plan
from planners.rules.built_in import RULES, RUN_RULES
from planners.rules.infrastructure_rules import INFRASTRUCTURE_MONEY
from planners.rules.rule import RunFacts

TODAY = date(2026, 11, 30)
DIGEST = "@sha256:" + "0" * 64
OVER_LIMIT = {"hours": band(27, 31, 40), "usd": band(50_000, 59_000, 61_000)}
MONTHLY = {each.rule.id: each for each in INFRASTRUCTURE_MONEY}
OF_RUN = {each.rule.id: each for each in RUN_RULES}


def said(rule: str, after: Plan, before: Plan | None = None, **setting: Any) -> list[str]:
    facts = RunFacts(before=before, after=after, today=TODAY)
    return [found.message for found in OF_RUN[rule].problems(facts, RULES[rule].setting_from(setting))]


def job(**content: Any) -> Plan:
    plan = rlcef_plan()
    return rlcef_plan(spec={**plan.spec, "stages": [{**plan.spec["stages"][0], "job": content}]})


def gpus(capacity: str, **more: Any) -> Plan:
    fields = {"gpu": "H100-80", "gpus_per_node": 8, "capacity_type": capacity, **more}
    stages = [{**rlcef_plan().spec["stages"][0], "name": "rlcef", "checkpoint": {"every_steps": 50}}]
    return rlcef_plan(
        pools=(pool("pool.rlcef.trainer", "rlcef", "trainer+rollout", "p5.48xlarge", 8, 55.04, 31.0, **fields),),
        spec={**rlcef_plan().spec, "stages": stages},
    )


BASE = rlcef_plan()
DEARER = rlcef_plan(usd=band(20_000, 25_437.2, 30_000))
UNKNOWN_LINE = RLCEF_LINES[0].model_copy(update={"usd": None, "usd_per_unit": None})
SPOT = gpus("spot")
IDLE = RLCEF_STAGE.idle
assert IDLE is not None
FEW_BUSY = RLCEF_STAGE.model_copy(update={"idle": IDLE.model_copy(update={"slots_busy_share": 0.2})})
LITTLE_IDLE = RLCEF_STAGE.model_copy(
    update={"idle": IDLE.model_copy(update={"gpu_hours": 20.0, "slots_busy_share": 0.9})}
)
BROKEN: list[tuple[str, Plan, Plan | None, dict[str, Any], str]] = [
    ("usd-increase", DEARER, BASE, {}, "the run becomes dearer by $10,000, more than $1,000"),
    ("usd-increase", BASE, None, {"usd": 15_000}, "a new run costs $15,437, more than $15,000"),
    ("percent-increase", DEARER, BASE, {}, "the run becomes dearer by 65%, from $15,437 to $25,437: more than 20%"),
    ("budget-crossed", rlcef_plan(**OVER_LIMIT), BASE, {}, "one time in ten the run costs more than $61,000, and limits.usd is $60,000; before the change $20,300"),
    ("budget-crossed", BASE, None, {"usd": 15_000, "percentile": "p50"}, "the run costs more than $15,437, and the budget is $15,000"),
    ("burn-rate", BASE, None, {"usd_per_hour": 400}, "the run costs $492 an hour, more than $400"),
    ("unknown-price", rlcef_plan(lines=(UNKNOWN_LINE, *RLCEF_LINES[1:]), at_least=True), None, {}, "no price is known of p5.48xlarge, on demand: its sum is at least $15,437"),
    ("quota", BASE, None, {"gpus": {"aws:H100": 32}}, "the run wants 64 GPUs at once, and the quota aws:H100 is 32"),
    ("quota", SPOT, None, {"gpus": {"aws:us-east-2:h100": 8}}, "the run wants 64 GPUs at once, and the quota aws:us-east-2:h100 is 8"),
    ("spot-without-checkpoints", SPOT, None, {}, "100% of the GPU-hours of stage rlcef are spot, and a checkpoint is written every 3.6 h: an interruption loses the work since the last one"),
    ("capacity-block-end", gpus("capacity_block"), None, {"blocks": [{"instance_type": "p5.48xlarge", "ends": "2026-12-01"}]}, "the block of p5.48xlarge ends on 2026-12-01, and a run that starts today may need it until 2026-12-02"),
    ("image-without-digest", job(image="ghcr.io/a/b:latest"), None, {}, "stage rlcef: image ghcr.io/a/b:latest has no digest (@sha256:…)"),
    ("unpinned-model", job(), None, {}, "stage rlcef loads Qwen/Qwen2.5-Coder-32B-Instruct at the revision that is newest then: keep one in a folder of the place, and name that in job.weights"),
    ("unpinned-dataset", job(data="org/set"), None, {}, "stage rlcef reads org/set at the revision that is newest then: keep one in a file"),
    ("gpus-wait-for-sandboxes", BASE, None, {}, "GPUs of stage rlcef wait for sandboxes for 21% of their hours (412 GPU-hours, $2,837): 8,192 judgings arrive within 40 s of each other; 1,152 sandboxes work them off"),
    ("oversized-sandbox-pool", rlcef_plan(stages=(FEW_BUSY,)), None, {}, "20% of the sandboxes of stage rlcef are busy while there is work: about 3 of its 12 sandbox nodes would do"),
    ("oversized-fleet", rlcef_plan(hours=band(45, 52, 60)), None, {}, "6 × a3-highgpu-8g + 10 × c3-standard-88 (gcp us-central1) would cost 29% less, $10,900 instead of $15,437, and take 0% longer"),
]  # fmt: skip
KEPT: list[tuple[str, Plan, Plan | None, dict[str, Any]]] = [
    ("usd-increase", BASE, DEARER, {}),
    ("usd-increase", DEARER, rlcef_plan(at_least=True), {}),
    ("percent-increase", DEARER, None, {}),
    ("percent-increase", rlcef_plan(usd=band(1, 130, 200)), rlcef_plan(usd=band(1, 90, 100)), {}),
    ("budget-crossed", rlcef_plan(**OVER_LIMIT), rlcef_plan(**OVER_LIMIT), {}),
    ("budget-crossed", BASE, None, {}),
    ("burn-rate", BASE, None, {}),
    ("unknown-price", BASE, None, {}),
    ("quota", BASE, None, {}),
    ("quota", BASE, None, {"gpus": {"gcp:H100": 1, "H200": 1, "aws:H100": 64}}),
    ("spot-without-checkpoints", gpus("on_demand"), None, {}),
    ("spot-without-checkpoints", SPOT, None, {"checkpoint_hours": 4}),
    ("spot-without-checkpoints", SPOT, None, {"run_hours": 100}),
    ("capacity-block-end", gpus("capacity_block"), None, {"blocks": [{"instance_type": "p5.48xlarge", "ends": "2026-12-31"}]}),
    ("capacity-block-end", gpus("capacity_block"), None, {}),
    ("image-without-digest", job(image=f"ghcr.io/a/b{DIGEST}"), None, {}),
    ("image-without-digest", BASE, None, {}),
    ("unpinned-model", job(weights="/models/qwen"), None, {}),
    ("unpinned-model", job(weights="org/name@abc"), None, {}),
    ("unpinned-model", BASE, None, {}),
    ("unpinned-dataset", job(data="data/train.jsonl"), None, {}),
    ("unpinned-dataset", job(data="/data/train"), None, {}),
    ("gpus-wait-for-sandboxes", rlcef_plan(stages=(LITTLE_IDLE,)), None, {}),
    ("oversized-sandbox-pool", BASE, None, {}),
    ("oversized-fleet", BASE, None, {}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "after", "before", "setting", "message"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_run_breaks_it(rule: str, after: Plan, before: Plan | None, setting: dict[str, Any], message: str) -> None:
    assert said(rule, after, before, **setting) == [message]


@pytest.mark.parametrize(("rule", "after", "before", "setting"), KEPT, ids=[case[0] for case in KEPT])
def test_a_run_keeps_it(rule: str, after: Plan, before: Plan | None, setting: dict[str, Any]) -> None:
    assert said(rule, after, before, **setting) == []


def test_every_rule_for_runs_has_cases_of_both_kinds() -> None:
    assert set(OF_RUN) == {case[0] for case in BROKEN} == {case[0] for case in KEPT}


SPEC = "name: a\nstages:\n  - kind: rlcef\n    model: Qwen/Qwen2.5-Coder-32B-Instruct\n    job:\n      image: a/b:1\nlimits: {usd: 60000}\n"


def spec(after: Plan, before: Plan | None = None) -> tuple[Finding, ...]:
    change = SpecChange(path="specs/a.yaml", status="changed", before=before, after=after)
    return check(load_policies(), (change,), None, today=TODAY, read_head=lambda _: SPEC)


def test_a_finding_names_the_line_of_the_field_and_whether_the_base_has_it_too() -> None:
    after = job(image="a/b:1")
    found = {each.rule: each for each in spec(after, rlcef_plan())}
    assert (found["image-without-digest"].file, found["image-without-digest"].line) == ("specs/a.yaml", 6)
    assert (found["unpinned-model"].line, found["unpinned-model"].is_new) == (4, True)
    assert not found["gpus-wait-for-sandboxes"].is_new
    assert not any(each.is_new for each in spec(after, after))
    assert (
        check(load_policies(), (SpecChange(path="a", status="removed", before=after, after=None),), None, today=TODAY)
        == ()
    )


def stack(after: float | None, before: float | None, *, is_new: bool = True) -> InfrastructureChange:
    def cost(usd: float | None) -> ResourceCost:
        resource = Resource(urn="urn:pulumi:dev::p::aws:x/y:Y::gpu", type="aws:x/y:Y", name="gpu")
        parts = (CostPart(name="hours", unit="hour", monthly_quantity=1.0, usd_per_unit=usd),)
        return ResourceCost(resource=resource, parts=parts)

    change = ResourceChange(
        op="create" if is_new else "same", before=None if before == 0 else cost(before), after=cost(after)
    )
    return InfrastructureChange(stacks=("dev",), changes=(change,))


@pytest.mark.parametrize(
    ("rule", "change", "setting", "message"),
    [
        ("monthly-increase", stack(900, 0), {}, "standing resources become dearer by $900 a month, more than $500"),
        ("monthly-increase", stack(900, 500), {}, None),
        ("monthly-percent-increase", stack(900, 500), {}, "standing resources become dearer by 80%, from $500 to $900 a month: more than 20%"),
        ("monthly-percent-increase", stack(40, 20), {}, None),
        ("monthly-budget-crossed", stack(900, 500), {"usd": 800}, "standing resources cost $900 a month, and the budget is $800; before the change $500"),
        ("monthly-budget-crossed", stack(900, 850), {"usd": 800}, None),
        ("monthly-budget-crossed", stack(900, 500), {}, None),
        ("unknown-monthly-price", stack(None, 0), {}, "what gpu costs isn't known: the monthly sum is a lower bound"),
        ("unknown-monthly-price", stack(None, 0, is_new=False), {}, None),
        ("unknown-monthly-price", stack(900, 0), {}, None),
    ],
)  # fmt: skip
def test_what_stands_is_asked_for_by_the_month(
    rule: str, change: InfrastructureChange, setting: dict[str, Any], message: str | None
) -> None:
    found = [each.message for each in MONTHLY[rule].problems(change.changes, RULES[rule].setting_from(setting))]
    assert found == ([message] if message else [])


def test_what_stands_is_a_finding_of_its_stack() -> None:
    found = {each.rule: each for each in check(load_policies(), (), stack(900, 0), today=TODAY)}
    assert found["monthly-increase"].subject == "dev"
