"""Reviews made by hand around realistic plans and resources, for goldens of everything that a review says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from more_plans import two_stage_plan, unpriced_plan
from sample_plan import band, pool, rlcef_plan

from clusterctl.review.value import Driver, Finding, InfrastructureChange, Review, Silence, SpecChange
from clusterctl.ui.difference import difference
from planners.infrastructure.value import CostPart, Operation, Resource, ResourceChange, ResourceCost
from planners.plan.value import Plan

AT = datetime(2026, 11, 30, 21, 15, 31, tzinfo=UTC)
PRICED = date(2026, 11, 1)
RUN = "templates/specs/rlcef.yaml"


def review(**fields: Any) -> Review:
    filled: dict[str, Any] = {
        "id": "review",
        "base": "4f1d20a9c3b2aa7e00d15e2c9b7743c1f0a95d10",
        "head": "9fc2777aa7ad2230b0cc93ad5be38b0c6a9d4e71",
        "valid_at": AT,
        "specs": (),
        "infrastructure": None,
        "price_dates": (PRICED, PRICED),
        "book": "embedded, 2026-11-01",
    }
    return Review(**filled | fields)


def wider_plan() -> Plan:
    """Twice the GPUs: 1.6 times as fast, half as many sandboxes per GPU, so that GPUs wait."""
    base = rlcef_plan()
    pools = (
        pool(
            "pool.rlcef.trainer",
            "rlcef",
            "trainer+rollout",
            "p5.48xlarge",
            16,
            55.04,
            19.4,
            gpu="H100",
            gpus_per_node=8,
        ),
        pool("pool.rlcef.sandbox", "rlcef", "sandbox", "c7i.24xlarge", 12, 4.284, 19.4, slots=1152),
    )
    spec = base.spec | {"stages": [{**base.spec["stages"][0], "gpus": 128, "prompts_per_step": 512}]}
    stage = base.stages[0]
    idle = None if stage.idle is None else stage.idle.model_copy(update={"usd": 2 * (stage.idle.usd or 0.0) + 900.0})
    stages = (stage.model_copy(update={"idle": idle}),)
    money = {"hours": band(16.8, 19.4, 25.0), "usd": band(16_500, 18_200, 23_900), "usd_per_hour": 932.0}
    return rlcef_plan(pools=pools, spec=spec, stages=stages, **money)


def compared(path: str, before: Plan, after: Plan, **more: Any) -> SpecChange:
    found = difference(before, after, base_label="base", other_label="head", titles=("base", "head"))
    fields = {"status": "changed", "difference": found} | more
    return SpecChange(path=path, before=before, after=after, **fields)


DOUBLED = compared(
    RUN,
    rlcef_plan(),
    wider_plan(),
    drivers=(
        Driver(field="stages.rlcef.gpus", before="64", after="128", usd_change=2_310.0),
        Driver(field="stages.rlcef.prompts_per_step", before="256", after="512", usd_change=490.0),
    ),
)
ADDED = SpecChange(path="specs/triples.yaml", status="added", before=None, after=two_stage_plan())
REMOVED = SpecChange(path="specs/old.yaml", status="removed", before=rlcef_plan(name="old"), after=None)
RENAMED = compared("specs/rl/new-name.yaml", rlcef_plan(), rlcef_plan(), status="renamed", old_path="specs/name.yaml")
AFFECTED = compared(
    "specs/reads-a-model.yaml", wider_plan(), rlcef_plan(), status="affected", reached_by=("models/coder-32b.json",)
)
UNPRICED = compared("specs/egress.yaml", rlcef_plan(), unpriced_plan())
INFEASIBLE = SpecChange(
    path="specs/too-big.yaml",
    status="changed",
    before=rlcef_plan(),
    after=None,
    problem="no fleet satisfies limits.hours = 8: the fastest takes 17 h; the nearest: 32 × p5.48xlarge, 9.1 h, $24,100",
    is_infeasible=True,
)
INVALID = SpecChange(
    path="specs/broken.yaml",
    status="changed",
    before=rlcef_plan(),
    after=None,
    problem="stages[0].gpus: `many` is no whole number; write 64",
    problem_line=12,
)


def part(name: str, unit: str, quantity: float | None, price: float | None, **more: Any) -> CostPart:
    return CostPart(name=name, unit=unit, monthly_quantity=quantity, usd_per_unit=price, as_of=PRICED, **more)


def cost(type_: str, name: str, *parts: CostPart, **more: Any) -> ResourceCost:
    urn = f"urn:pulumi:prod::fleet::{type_}::{name}"
    tags = more.pop("tags", {})
    resource = Resource(urn=urn, type=type_, name=name, cloud="aws", region="us-east-2", properties={"tags": tags})
    return ResourceCost(resource=resource, parts=parts, **more)


def moved(op: Operation, before: ResourceCost | None, after: ResourceCost | None, *changed: str) -> ResourceChange:
    return ResourceChange(op=op, before=before, after=after, changed=changed)


def bastion(machine: str, usd_per_hour: float) -> ResourceCost:
    disk = part("root disk, gp3", "GB-month", 8.0, 0.08, assumed=("8 GB, the image's default",))
    machine_hours = part(f"{machine}, on demand", "hour", 730.0, usd_per_hour)
    return cost("aws:ec2/instance:Instance", "bastion", machine_hours, disk)


def gpu_nodes(count: int) -> ResourceCost:
    hours = part("p5.48xlarge, on demand", "hour", 730.0 * count, 55.04)
    ceiling = 8 * 730 * 55.04
    return cost(
        "aws:eks/nodeGroup:NodeGroup", "gpu", hours, count=count, ceiling_count=8, ceiling_usd_per_month=ceiling
    )


NAT = cost(
    "aws:ec2/natGateway:NatGateway",
    "nat",
    part("NAT gateway", "hour", 730.0, 0.045),
    part("data processed", "GB", None, 0.045, usage_based=True),
)
FLEET_FS = cost(
    "aws:fsx/lustreFileSystem:LustreFileSystem",
    "scratch",
    part("storage", "GB-month", 4800.0, None, why_unknown="PERSISTENT_2 at 500 MB/s/TiB is not in the price book"),
    part("backups", "GB-month", None, 0.05, usage_based=True),
)
INFRASTRUCTURE = InfrastructureChange(
    stacks=("prod",),
    changes=(
        moved("update", bastion("t3.micro", 0.0104), bastion("t3.large", 0.0832), "instanceType"),
        moved("create", None, NAT),
        moved("update", gpu_nodes(1), gpu_nodes(2), "scalingConfig.desiredSize"),
        moved("create", None, FLEET_FS),
        moved("delete", cost("aws:ec2/eip:Eip", "old-address", part("public IPv4", "hour", 730.0, 0.005)), None),
        moved("same", *[cost("aws:eks/cluster:Cluster", "cluster", part("control plane", "hour", 730.0, 0.1))] * 2),
        moved("create", None, cost("my:index:Team", "team", why_unknown="children unknown: the preview lacks them")),
        moved("update", *[cost("aws:iam/role:Role", "role", is_free=True)] * 2),
    ),
    notes=("The preview shows no removed resources: without --refresh the engine didn't look.",),
    price_dates=(date(2026, 10, 1), PRICED),
)


def finding(rule: str, level: str = "mandatory", **more: Any) -> Finding:
    fields: dict[str, Any] = {
        "rule": rule,
        "group": "safety",
        "level": level,
        "message": "the disk of bastion is not encrypted",
        "why": "A disk that leaves the account takes the data with it.",
        "subject": "urn:pulumi:prod::fleet::aws:ec2/instance:Instance::bastion",
        "file": "infra/__main__.py",
        "line": 40,
    }
    return Finding(**fields | more)


FINDINGS: Sequence[Finding] = (
    finding("idle-gpus", "advisory", group="waste", message="GPUs wait for sandboxes for 13% of the run", why="", subject=RUN,
            file=RUN, line=22),
    finding("unencrypted-disk", is_new=False, line=None, file=""),
    finding("burn-rate", group="money", message="the run burns $932 an hour; the limit is $800", subject=RUN, file=RUN, line=7,
            why="Above it a forgotten run empties the month's budget in a day."),
    finding("open-cidr", silence=Silence(reason="a load test until Friday", expires=date(2026, 12, 4)), line=51),
)  # fmt: skip

HOSTILE = (
    "a|b `x` <img src=x onerror=alert(1)> @team #12 ![i](http://x.example/i.png) [l](javascript:a) --> </details>"
    "\n\n# big\n- [ ] www.x.example a@x.example \x1b[31m \u202egnp.\u200b :tada: **b** ~~s~~ $x$ \\"
)


def hostile_review() -> Review:
    """Every text that a spec, a tag, a name, a rule or a file can bring."""
    bad = HOSTILE
    spec = compared(
        f"specs/{bad}.yaml",
        rlcef_plan(name=bad),
        rlcef_plan(name=bad, spec={bad: bad, "name": bad}),
        status="renamed",
        old_path=bad,
        drivers=(Driver(field=bad, before=bad, after=bad, usd_change=1.0),),
    )
    added = SpecChange(path=bad, status="added", before=None, after=rlcef_plan(name=bad, fleet=bad))
    invalid = SpecChange(path=bad, status="affected", before=None, after=None, problem=bad, reached_by=(bad,))
    odd = cost(bad, bad, part(bad, bad, 1.0, 2.0, assumed=(bad,)), part(bad + "2", bad, None, None, why_unknown=bad),
               part(bad + "3", bad, None, 1.0, usage_based=True), why_unknown=bad, tags={bad: bad})  # fmt: skip
    return review(
        id=bad,
        base=bad,
        head=bad,
        book=bad,
        specs=(spec, added, invalid),
        infrastructure=InfrastructureChange(stacks=(bad,), changes=(moved("create", None, odd),), notes=(bad,)),
        findings=(
            finding(bad, message=bad, why=bad, subject=bad, file=bad),
            finding(bad, silence=Silence(reason=bad, expires=PRICED), group=bad),
        ),
        notes=(bad,),
    )


def large_review(runs: int = 50, resources: int = 5_000) -> Review:
    """As many runs and resources as a review must take."""
    machines = [("t3.micro", 0.0104), ("t3.large", 0.0832), ("m5.xlarge", 0.192)]
    changes = []
    for index in range(resources):
        ends = []
        for machine, price in (machines[index % 3], machines[(index + 1) % 3]):
            hours = part(f"{machine}, on demand", "hour", 730.0, price)
            disk = part("root disk, gp3", "GB-month", 8.0, 0.08, assumed=("8 GB, the image's default",))
            ends.append(cost("aws:ec2/instance:Instance", f"machine-with-a-long-name-{index}", hours, disk))
        changes.append(moved("update", *ends))
    specs = tuple(compared(f"specs/team-{index}/run.yaml", rlcef_plan(), wider_plan()) for index in range(runs))
    found = tuple(finding(f"rule-{index}", line=index + 1) for index in range(200))
    infrastructure = InfrastructureChange(stacks=("prod",), changes=tuple(changes))
    return review(specs=specs, infrastructure=infrastructure, findings=found)


REVIEWS: dict[str, Review] = {
    "doubled": review(specs=(DOUBLED,)),
    "several": review(specs=(AFFECTED, DOUBLED, ADDED, REMOVED, RENAMED, UNPRICED)),
    "infeasible_and_invalid": review(specs=(INVALID, INFEASIBLE, DOUBLED)),
    "infrastructure": review(base="", head="", infrastructure=INFRASTRUCTURE, price_dates=None),
    "findings": review(specs=(DOUBLED,), infrastructure=INFRASTRUCTURE, findings=FINDINGS),
    "drift": review(specs=(compared(RUN, rlcef_plan(), rlcef_plan(), usd_price_drift=-310.0),)),
    "nothing": review(),
    "hostile": hostile_review(),
}
