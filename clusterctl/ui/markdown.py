"""`--markdown`: a plan as a comment for a pull request.  The verdict comes first, details fold, and are cut last first.

The first line is a marker by which a later comment of the same run finds and replaces this one, and `valid-at` lets a
slow job see that a newer comment is there already.
"""

from __future__ import annotations

import re

from clusterctl.ui.difference import Difference, gpu_hours
from clusterctl.ui.formats import (
    cured,
    hours_band,
    least_usd,
    number,
    signed_hours,
    signed_percent,
    signed_usd,
    usd,
    usd_band,
)
from clusterctl.ui.markdown_blocks import details
from clusterctl.ui.markdown_text import escape, table
from clusterctl.ui.plan_page.pools import pool_contents
from clusterctl.ui.plan_page.summary import how_sure, price_age, title
from planners.plan.value import Plan, StagePlan

MAX_CHARACTERS = 60_000
"""GitHub refuses comments over 65,536; the rest is room for whoever posts it."""


def render_markdown(plan: Plan, *, source: str, found: Difference | None = None) -> str:
    """The comment.  With `found`, the verdict is the difference against its base plan; `plan` is then its other one."""
    verdict = f"### {escape(source)}: {escape(_verdict(plan, found))}"
    head = [marker(plan), verdict, _what(plan), _run_table(plan, found)]
    head += [f"> **{escape(warning)}**" for warning in plan.warnings]
    head += filter(None, [_idle(plan)])
    foot = _footer(plan)
    kept = list(details(plan, found))
    left_out: list[str] = []
    while True:
        note = [f"_Left out for length: {', '.join(left_out)}. `clusterctl plan` shows all._"] if left_out else []
        body = "\n\n".join([*head, *(block for _, block in kept), *note, foot]) + "\n"
        if len(body) <= MAX_CHARACTERS or not kept:
            return body[:MAX_CHARACTERS]
        left_out.insert(0, kept.pop()[0])


def marker(plan: Plan) -> str:
    """`<!-- clusterctl:plan v=1 id=rlcef-32b plan=9fc2777aa7ad2230 valid-at=2026-11-23T09:30:00Z -->`."""
    run = re.sub(r"[^A-Za-z0-9._-]+", "-", plan.name)
    made = plan.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"<!-- clusterctl:plan v=1 id={run} plan={plan.id} valid-at={made} -->"


def _verdict(plan: Plan, found: Difference | None) -> str:
    money = usd_band(plan.usd, at_least=plan.at_least)[0].replace("unknown", "unknown dollars")
    result = f"{money} in {hours_band(plan.hours)[0]}"
    if not plan.feasible:
        return f"not feasible as specified; the nearest feasible plan takes {result}"
    if found is None:
        return result
    money_change = "Δ$ unknown" if found.usd_change is None else signed_usd(found.usd_change)
    changes = [text for text in (money_change, signed_hours(found.hours_change)) if text != "="]
    return f"{result} ({', '.join(changes)})" if changes else f"{result}, no change"


def _what(plan: Plan) -> str:
    pools = [
        f"{pool.nodes:,} × {pool.instance_type}" + (f" ({held})" if (held := pool_contents(pool)) else "")
        for pool in plan.pools
    ]
    sure = how_sure(plan).text
    return f"{escape(title(plan))} on **{escape(plan.fleet)}**: {escape(' + '.join(pools))}. {escape(sure)}."


COLUMNS = ("Run", "Baseline", "P50", "P10–P90", "Δ$", "Δ%", "Hours", "GPU-h", "$/h")
COMPARING = {"Baseline", "Δ$", "Δ%"}
"""Columns of a comparison only."""


def _run_table(plan: Plan, found: Difference | None) -> str:
    """One row per stage if there are several, one for the run, one for everything unpriced."""
    rows = [_stage_row(plan, stage) for stage in plan.stages if len(plan.stages) > 1]
    rows.append(_run_row(plan, None if found is None else found.base))
    for item in plan.unpriced:
        rows.append([f"unpriced: {escape(item.name)}", "", "unknown", escape(item.why), *[""] * 5])
    shown = [index for index, name in enumerate(COLUMNS) if found is not None or name not in COMPARING]
    header, *body = [[row[index] for index in shown] for row in (list(COLUMNS), *rows)]
    return table(header, body, right=set(range(1, len(header))))


def _run_row(plan: Plan, base: Plan | None) -> list[str]:
    money, money_band = usd_band(plan.usd, at_least=plan.at_least)
    time, time_band = hours_band(plan.hours)
    burn = least_usd(plan.known_usd_per_hour, at_least=plan.usd_per_hour is None)
    before = "" if base is None else least_usd(base.usd.p50, at_least=base.at_least)
    changes = ["", ""] if base is None else _changes(plan, base)
    front = [f"**{escape(plan.name)}**", before, f"**{money}**", money_band.strip("()"), *changes]
    return [*front, f"**{time}** {time_band}", number(gpu_hours(plan)), burn if burn == "unknown" else f"{burn}/h"]


def _changes(plan: Plan, base: Plan) -> list[str]:
    if plan.at_least or base.at_least:
        return ["unknown", ""]
    percent = signed_percent(plan.usd.p50 / base.usd.p50) if base.usd.p50 else ""
    return [signed_usd(plan.usd.p50 - base.usd.p50), percent]


def _stage_row(plan: Plan, stage: StagePlan) -> list[str]:
    money, money_band = usd_band(stage.usd, at_least=stage.at_least)
    pools = [pool for pool in plan.pools if pool.stage == stage.name]
    prices = [pool.nodes * pool.usd_per_node_hour for pool in pools if pool.usd_per_node_hour is not None]
    burn = f"{usd(sum(prices))}/h" if len(prices) == len(pools) else "unknown"
    held = number(sum(pool.gpu_hours for pool in pools))
    front = [escape(stage.name), "", money, money_band.strip("()"), "", ""]
    return [*front, " ".join(hours_band(stage.hours)), held, burn]


def _idle(plan: Plan) -> str:
    """The dollars of GPUs that wait, if there are any worth a line."""
    sentences = [
        f"GPUs wait for the sandbox fleet in {escape(stage.name)}: **{usd(stage.idle.usd)}**"
        + (
            f"; {stage.idle.cure_nodes:,} more sandbox nodes ({signed_usd(stage.idle.cure_usd)}) "
            f"remove {cured(stage.idle.cure_share)}."
            if stage.idle.cure_nodes is not None and stage.idle.cure_usd is not None
            else "."
        )
        for stage in plan.stages
        if stage.idle is not None and (stage.idle.usd is None or stage.idle.usd > 0.005 * plan.usd.p50)
    ]
    return " ".join(sentences)


def _footer(plan: Plan) -> str:
    return (
        f"<sub>{escape(price_age(plan).text)} ({escape(plan.prices.book)})"
        f" · calibration {escape(plan.calibration)} · plan {escape(plan.id)} · P10–P90 is an 80% band</sub>"
    )
