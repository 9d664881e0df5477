"""The engine's steps: each resource once, both ends, its region, what is unknown or secret."""

from __future__ import annotations

from typing import Any

import pytest
from priced_programs import CONFIG, UNKNOWN_TEXT, RoundPrices, changes, created, state, urn

from planners.infrastructure.properties import Properties, known
from planners.infrastructure.read_steps import preview_of
from planners.infrastructure.value import UNKNOWN

VOLUME = "aws:ebs/volume:Volume"
PRICES = RoundPrices({("t3.medium", "on_demand"): 0.04}, {"block_gp3_storage": (0.08, "GB-month")})


def volume(size: Any, **more: Any) -> dict[str, Any]:
    return state(VOLUME, "v", {"size": size, "type": "gp3"}) | more


def step(op: str, old: Any = None, new: Any = None, changed: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"op": op, "urn": urn(VOLUME, "v"), "old": old, "new": new, "changed": list(changed)}


@pytest.mark.parametrize(
    ("steps", "op", "before", "after"),
    [
        ([step("create", None, volume(10))], "create", None, 0.8),
        ([step("same", volume(10), volume(10))], "same", 0.8, 0.8),
        ([step("update", volume(10), volume(20))], "update", 0.8, 1.6),
        ([step("delete", volume(10))], "delete", 0.8, None),
        ([step("replace", volume(10), volume(20))], "replace", 0.8, 1.6),
        (
            [
                step("create-replacement", volume(10), volume(20)),
                step("replace", volume(10), volume(20)),
                step("delete-replaced", volume(10)),
            ],
            "replace",
            0.8,
            1.6,
        ),
        (
            [step("delete-replaced", volume(10)), step("create-replacement", volume(10), volume(20))],
            "replace",
            0.8,
            1.6,
        ),
        ([step("import", None, volume(10))], "import", None, 0.8),
        ([step("refresh", volume(10), volume(15)), step("update", volume(15), volume(20))], "update", 0.8, 1.6),
        ([step("refresh", volume(10), None)], "refresh", 0.8, None),
    ],
)
def test_each_resource_counts_once(steps: list[Any], op: str, before: float | None, after: float | None) -> None:
    change = changes(preview_of(steps, config=CONFIG), PRICES)["v"]
    assert change.op == op
    for cost, usd in ((change.before, before), (change.after, after)):
        assert (cost is None) == (usd is None)
        assert cost is None or cost.usd_per_month == pytest.approx(usd)
    assert change.usd_per_month_change == pytest.approx((after or 0.0) - (before or 0.0))


def test_what_is_read_is_paid_for_elsewhere() -> None:
    change = changes(preview_of([step("read", None, volume(10))], config=CONFIG), PRICES)["v"]
    assert change.after is not None
    assert (change.after.usd_per_month, change.after.is_known, change.after.is_free) == (0.0, True, False)
    assert "elsewhere" in change.after.notes[0]


def test_outputs_fill_what_inputs_leave_out() -> None:
    old = state(VOLUME, "v", {"type": "gp3"}) | {"outputs": {"size": 30, "type": "gp2", "iops": 3000}}
    change = changes(preview_of([step("same", old, old)], config=CONFIG), PRICES)["v"]
    assert change.after is not None
    assert change.after.usd_per_month == pytest.approx(2.4)


def test_regions_of_the_resource_its_arn_its_provider_and_the_configuration() -> None:
    provider = "urn:pulumi:dev::shop::pulumi:providers:aws::west"
    given = {"urn": provider, "type": "pulumi:providers:aws", "custom": True, "inputs": {"region": "us-west-2"}}
    of_provider = volume(1) | {"provider": f"{provider}::0123"}

    def region(*states: Any, config: Any = None) -> str:
        preview = created(*states, config=config)
        return next(step.after.region for step in preview.steps if step.after and step.after.type == VOLUME)

    assert region(given, of_provider) == "us-west-2"
    assert region(of_provider, config=CONFIG) == "", "an explicit provider that isn't shown isn't the default one"
    assert region(volume(1)) == "us-east-1"
    own = state(VOLUME, "v", {"size": 1, "availabilityZone": "eu-west-1b"})
    assert region(own) == "eu-west-1"
    arn = volume(1) | {"outputs": {"arn": "arn:aws:ec2:ap-south-1:123:volume/v"}}
    assert region(arn) == "ap-south-1"


def test_unknown_secret_and_huge_values() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"s3cret"'}
    values = {
        "a": UNKNOWN_TEXT,
        "b": "output<string>",
        "c": [secret],
        "d": {"__defaults": [], "e": 1},
        "n": 2**80,
        "flag": "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    }
    found = known(values)
    assert (found["a"], found["b"], found["flag"]) == (UNKNOWN, UNKNOWN, UNKNOWN)
    assert "s3cret" not in repr(found)
    assert found["d"] == {"e": 1}
    properties = Properties(found)
    assert properties.number("n") == float(2**80)
    assert properties.number("a") is UNKNOWN
    assert properties.number("a.b.c") is UNKNOWN
    assert properties.number("z") is None
    assert properties.number("c") is UNKNOWN


def test_components_without_children_are_unknown_and_with_them_are_their_sum() -> None:
    lone = {"urn": urn("awsx:ec2:Vpc", "net"), "type": "awsx:ec2:Vpc", "custom": False}
    found = changes(created(lone), PRICES)["net"].after
    assert found is not None
    assert found.why_unknown.startswith("children unknown")
    child = volume(10) | {"parent": lone["urn"]}
    both = changes(created(lone, child), PRICES)
    assert both["net"].is_known
    assert both["v"].is_known


def test_project_stack_source_and_what_is_not_shown() -> None:
    preview = preview_of(
        [step("create", None, volume(1, sourcePosition="project:///infra/main.py#12,3"))], config=CONFIG, unchanged=7
    )
    assert (preview.name, preview.unchanged_not_shown) == ("shop/dev", 7)
    after = preview.steps[0].after
    assert after is not None
    assert after.source == "infra/main.py:12"
    outside = created(volume(1, sourcePosition="project:///../../lib/x.py#3")).steps[0].after
    assert outside is not None
    assert outside.source == ""
