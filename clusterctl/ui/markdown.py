"""`--markdown`: a plan as a comment for a pull request.  The verdict comes first, details fold, and are cut last first.

The first line is a marker by which a later comment of the same run finds and replaces this one, and `valid-at` lets a
slow job see that a newer comment is there already.

The folded blocks of the pull-request comment, the most wanted first: a long comment loses its last ones.

Markdown that survives foreign text: escaped cells, tables, folded blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clusterctl.ui.compare import sides
from clusterctl.ui.difference import Difference, gpu_hours
from clusterctl.ui.formats import (
    column,
    exact_usd,
    expected,
    hours,
    hours_band,
    least_usd,
    number,
    percent,
    phase_unit,
    signed_hours,
    signed_percent,
    signed_usd,
    unit_price,
    usd,
    usd_band,
)
from clusterctl.ui.plan_page.bill import outcome_text
from clusterctl.ui.plan_page.pools import pool_contents
from clusterctl.ui.plan_page.summary import how_sure, price_age, title
from clusterctl.ui.spans import clean
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


def _run_table(plan: Plan, found: Difference | None) -> str:
    """One row per stage if there are several, one for the run, one for everything unpriced."""
    base = None if found is None else found.base
    header = ["Run", *(["Baseline"] if base else []), "P50", "P10–P90", *(["Δ$", "Δ%"] if base else [])]
    header += ["Hours", "GPU-h", "$/h"]
    rows = [_stage_row(plan, stage, comparing=base is not None) for stage in plan.stages if len(plan.stages) > 1]
    money, money_band = usd_band(plan.usd, at_least=plan.at_least)
    time, time_band = hours_band(plan.hours)
    burn = least_usd(plan.known_usd_per_hour, at_least=plan.usd_per_hour is None)
    rows.append(
        [
            f"**{escape(plan.name)}**",
            *([least_usd(base.usd.p50, at_least=base.at_least)] if base else []),
            f"**{money}**",
            money_band.strip("()"),
            *(_changes(plan, base) if base else []),
            f"**{time}** {time_band}",
            number(gpu_hours(plan)),
            burn if burn == "unknown" else f"{burn}/h",
        ]
    )
    for item in plan.unpriced:
        unknown = [f"unpriced: {escape(item.name)}", *([""] if base else []), "unknown", escape(item.why)]
        rows.append([*unknown, *[""] * (len(header) - len(unknown))])
    return table(header, rows, right=set(range(1, len(header))))


def _changes(plan: Plan, base: Plan) -> list[str]:
    if plan.at_least or base.at_least:
        return ["unknown", ""]
    ratio = plan.usd.p50 / base.usd.p50 if base.usd.p50 else None
    return [signed_usd(plan.usd.p50 - base.usd.p50), "" if ratio is None else signed_percent(ratio)]


def _stage_row(plan: Plan, stage: StagePlan, *, comparing: bool) -> list[str]:
    money, money_band = usd_band(stage.usd, at_least=stage.at_least)
    time, time_band = hours_band(stage.hours)
    pools = [pool for pool in plan.pools if pool.stage == stage.name]
    held = sum(pool.nodes * pool.gpus_per_node * pool.hours for pool in pools)
    prices = [pool.nodes * pool.usd_per_node_hour for pool in pools if pool.usd_per_node_hour is not None]
    burn = f"{usd(sum(prices))}/h" if len(prices) == len(pools) else "unknown"
    front = [escape(stage.name), *([""] if comparing else []), money, money_band.strip("()")]
    return [*front, *(["", ""] if comparing else []), f"{time} {time_band}", number(held), burn]


def _idle(plan: Plan) -> str:
    """The dollars of GPUs that wait, if there are any worth a line."""
    sentences = [
        f"GPUs wait for the sandbox fleet in {escape(stage.name)}: **{usd(stage.idle.usd)}**"
        + (
            f"; {stage.idle.cure_nodes:,} more sandbox nodes ({signed_usd(stage.idle.cure_usd)}) remove it."
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


MAX_ROWS = 60
"""Rows of one block; the rest is counted."""


def details(plan: Plan, found: Difference | None) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each block; blocks without rows don't appear."""
    blocks = (
        ("what changed", _difference(found) if found else ""),
        ("phases", "\n\n".join(_phases(stage, many=len(plan.stages) > 1) for stage in plan.stages)),
        ("bill", _bill(plan)),
        ("alternatives", _alternatives(plan)),
        ("sensitivity", _sensitivity(plan)),
        ("assumptions", _assumptions(plan)),
    )
    for name, body in blocks:
        if body:
            yield name, folded(f"{name[0].upper()}{name[1:]}", body)


def _limited(header: list[str], rows: list[list[str]], right: set[int]) -> str:
    text = table(header, rows[:MAX_ROWS], right=right)
    return text if len(rows) <= MAX_ROWS else f"{text}\n\n…and {len(rows) - MAX_ROWS} more"


def _difference(found: Difference) -> str:
    fields = [[f"`{change.field}`", escape(change.base), escape(change.other)] for change in found.fields]
    rows = [[escape(row.name), *sides(row)] for row in found.rows if row.differs]
    header = [escape(title) for title in found.titles]
    parts = [_limited(["spec", *header], fields, set())] if fields else []
    parts += [_limited(["", *header], rows, {1, 2})] if rows else []
    return "\n\n".join(parts)


def _phases(stage: StagePlan, *, many: bool) -> str:
    unit = phase_unit(stage.seconds_per_unit.p50)
    written = column([phase.seconds / unit.seconds for phase in stage.phases])
    rows = [
        [escape(phase.name), seconds, percent(phase.share), escape(phase.bound_by)]
        for phase, seconds in zip(stage.phases, written, strict=True)
    ]
    total = sum(stage.waste_hours.values())
    overhead = ", ".join(f"{escape(name)} {hours(value)}" for name, value in stage.waste_hours.items() if value > 0)
    heading = f"**{escape(stage.name)}**: {escape(stage.title)}\n\n" if many else ""
    listed = _limited(["phase", f"{unit.name}/{escape(stage.unit)}", "share", "bound by"], rows, {1, 2})
    return f"{heading}{listed}" + (f"\n\nOverhead {hours(total)}: {overhead}" if overhead else "")


def _bill(plan: Plan) -> str:
    ordered = sorted(plan.lines, key=lambda line: (line.usd is not None, -(line.usd or 0.0)))
    rows = [
        [
            escape(line.name),
            f"{number(line.quantity)} {escape(line.unit)}",
            unit_price(line.usd_per_unit),
            exact_usd(line.usd),
            escape(f"{line.source}" if line.source else "unpriced"),
        ]
        for line in ordered
    ]
    each = " · ".join(escape(outcome_text(plan, outcome)) for outcome in plan.economics)
    listed = _limited(["line", "quantity", "price", "dollars", "source"], rows, {1, 2, 3})
    return (listed if rows else "") + (f"\n\n{each}" if each and rows else each)


def _alternatives(plan: Plan) -> str:
    if len(plan.alternatives) < 2:
        return ""
    rows = [
        [
            f"{other.number}",
            escape("this plan" if other.number == plan.frontier_chosen else other.label),
            escape(f"{other.cloud} {other.region}, {other.capacity_type.replace('_', ' ')}"),
            escape(other.fleet),
            " ".join(hours_band(other.hours)),
            " ".join(usd_band(other.usd, at_least=other.at_least)).strip(),
            signed_usd(None if other.at_least or plan.at_least else other.usd.p50 - plan.usd.p50),
            signed_hours(other.hours.p50 - plan.hours.p50),
            expected(other.interruptions),
        ]
        for other in plan.alternatives
    ]
    header = ["#", "", "where", "fleet", "time", "dollars", "Δ$", "Δtime", "expected interruptions"]
    return _limited(header, rows, {4, 5, 6, 7, 8})


def _sensitivity(plan: Plan) -> str:
    rows = [
        [
            escape(row.input),
            f"{escape(row.low)} to {escape(row.high)}",
            "unknown" if row.usd_low is None else f"{usd(row.usd_low)} to {usd(row.usd_high)}",
            f"{hours(row.hours_low)} to {hours(row.hours_high)}",
        ]
        for row in plan.movers
    ]
    return _limited(["input", "range", "dollars", "time"], rows, {2, 3}) if rows else ""


def _assumptions(plan: Plan) -> str:
    rows = [[escape(found.name), escape(found.value), escape(found.source)] for found in plan.assumptions]
    return _limited(["assumption", "value", "source"], rows, set()) if rows else ""


MAX_CELL = 200
"""Longer cells are cut in the middle: both ends of a name tell most."""
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "|": "&#124;",
    "`": "&#96;",
    "*": "&#42;",
    "[": "&#91;",
    "]": "&#93;",
    "@": "&#64;",
    "#": "&#35;",
    "~": "&#126;",
}
_TABLE = str.maketrans(_ENTITIES)
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Inside a word it is no mark-up."""


def escape(text: str) -> str:
    """Text that shows as itself: no mark-up, no mention of people, no line break."""
    text = clean(text)
    if len(text) > MAX_CELL:
        half = MAX_CELL // 2 - 1
        text = f"{text[:half]}…{text[-half:]}"
    return _UNDERSCORE.sub("&#95;", text.translate(_TABLE))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    """A table of ready Markdown cells; `right` are the columns of numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def folded(summary: str, body: str) -> str:
    """A block that opens on a click."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
