"""The top of the page: which run, on what, how long, how much, how sure; and its warnings."""

from __future__ import annotations

from clusterctl.ui.formats import UNKNOWN, count, hours_band, number, percent, usd, usd_band
from clusterctl.ui.plan_page.context import PageContext, flow, labelled
from clusterctl.ui.spans import Line, Span, Style, line, line_width, wrap
from planners.plan.value import Plan

OLD_DAYS = 60
"""Prices older than this are coloured; spot prices deserve a look much sooner."""
OLD_SPOT_DAYS = 7
FIRST_LINE_GAP = 4


def header(plan: Plan, page: PageContext) -> list[Line]:
    """`rlcef.yaml · GRPO on …, 400 steps · prices of 2026-11-01, 22 days old`."""
    parts = [line(Span(page.source, Style.STRONG)), line(title(plan)), [price_age(plan)]]
    return flow(parts, page.cells)


def title(plan: Plan) -> str:
    """What the run is: the stage's title, or the run's name and its stages."""
    if len(plan.stages) == 1:
        return plan.stages[0].title
    return f"{plan.name}: {', '.join(stage.name for stage in plan.stages)}"


def price_age(plan: Plan) -> Span:
    """`prices of 2026-11-01, 22 days old`, coloured when old; `your prices` where the spec states all of them."""
    prices = plan.prices
    if prices.oldest is None or prices.newest is None or prices.age_days is None:
        if prices.undated:
            return Span("prices of unknown age", Style.WARN)
        is_priced = any(bill_line.usd is not None for bill_line in plan.lines)
        return Span("your prices", Style.DIM) if is_priced else Span("no known price", Style.WARN)
    days = "today" if prices.age_days == 0 else f"{count(prices.age_days, 'day')} old"
    if prices.oldest == prices.newest:
        text = f"prices of {prices.oldest}, {days}"
    else:
        text = f"prices of {prices.oldest} to {prices.newest}, up to {days}"
    text += f"; {len(prices.undated)} of unknown age" if prices.undated else ""
    old = prices.age_days > OLD_DAYS or (prices.spot_age_days or 0) > OLD_SPOT_DAYS
    return Span(text, Style.WARN if old else Style.DIM)


def choice(plan: Plan, page: PageContext) -> list[Line]:
    """Where, how long, how much, how sure; then the limits and what the calibration doesn't cover."""
    time, time_band = hours_band(plan.hours)
    money, money_band = usd_band(plan.usd, at_least=plan.at_least)
    parts = [
        line(Span(plan.fleet, Style.STRONG)),
        line(Span(time, Style.STRONG), f" {time_band}"),
        _money(money, money_band),
        [how_sure(plan)],
    ]
    lines: list[Line] = []
    if not plan.feasible:
        text = line(Span("Not feasible as specified", Style.BAD), "; the nearest feasible plan follows.")
        lines += [*wrap(text, page.cells, indent=2), *warnings(plan, page), []]
    lines += _spread(parts, page.cells)
    outside = [phrase for stage in plan.stages for phrase in stage.calibrated.outside]
    if outside:
        lines += labelled("outside", [line("the calibrated range: ", Span("; ".join(outside), Style.WARN))], page.cells)
    lines += labelled("limits", _limits(plan), page.cells)
    return lines + labelled("decides", [line(Span(text, Style.WARN)) for text in plan.decided_by], page.cells)


def _money(money: str, money_band: str) -> Line:
    """`at least $9,900 ($8,100–$14,800)`, or that nobody knows."""
    if money == UNKNOWN:
        return line(Span("unknown dollars", Style.WARN))
    known = money.removeprefix("at least ")
    return line(Span(money.removesuffix(known), Style.WARN), Span(known, Style.STRONG), f" {money_band}")


def _spread(parts: list[Line], cells: int) -> list[Line]:
    """The parts on one line with room between them, or the last on a line of its own."""
    gap = [Span(" " * FIRST_LINE_GAP)]
    one: Line = []
    for part in parts:
        one += [*gap, *part] if one else part
    if line_width(one) <= cells:
        return [one]
    if len(parts) == 1:
        return wrap(parts[0], cells, indent=2)
    return [*_spread(parts[:-1], cells), [Span("  "), *parts[-1]]]


def how_sure(plan: Plan) -> Span:
    """`80% bands, calibrated on 14 published runs`, or which stages are like no run that is known."""
    support = {stage.name: stage.calibrated.cases + stage.calibrated.own_runs for stage in plan.stages}
    bare = [name for name, cases in support.items() if cases == 0]
    if len(bare) == len(support):
        return Span("80% bands, not checked on similar runs", Style.WARN)
    if bare:
        return Span(f"80% bands, not checked on similar runs: {', '.join(bare)}", Style.WARN)
    weakest = min(plan.stages, key=lambda stage: support[stage.name]).calibrated
    texts = [count(weakest.cases, "published run")] if weakest.cases else []
    texts += [f"{weakest.own_runs} of your runs"] if weakest.own_runs else []
    return Span(f"80% bands, calibrated on {' and '.join(texts)}", Style.GOOD)


def _limits(plan: Plan) -> list[Line]:
    """How much of each stated limit the run uses at the upper end of its band."""
    limits = plan.spec.get("limits")
    if not isinstance(limits, dict):
        return []
    no_rate = plan.usd_per_hour is None
    pairs = (
        ("usd", usd, plan.usd.p90, "P90 ", plan.at_least),
        ("hours", lambda value: f"{number(value)} h", plan.hours.p90, "P90 ", False),
        ("usd_per_hour", lambda value: f"{usd(value)}/h", plan.known_usd_per_hour, "", no_rate),
    )
    out: list[Line] = []
    for name, text, used, which, unpriced in pairs:
        limit = limits.get(name)
        if not isinstance(limit, int | float) or limit <= 0:
            continue
        share = used / limit
        style = Style.WARN if share > 1 else Style.PLAIN
        said = f"is {percent(share - 1)} over" if share > 1 else f"uses {percent(share)}"
        if unpriced:
            style, rest = Style.WARN, "what has no price comes on top"
            said = f"{said}; {rest}" if used else f"unknown; {rest}"
        out.append(line(f"{text(float(limit))}: ", Span(f"{which if used else ''}{said}", style)))
    return out


def warnings(plan: Plan, page: PageContext) -> list[Line]:
    return [part for text in plan.warnings for part in labelled("warning", [line(text)], page.cells, Style.WARN)]
