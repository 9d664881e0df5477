"""The pools of a plan: nodes, GPUs or sandboxes, prices; then the layout of the models on the GPUs."""

from __future__ import annotations

from clusterctl.ui.formats import UNKNOWN, count, hours, number, usd
from clusterctl.ui.plan_page.context import PageContext, labelled
from clusterctl.ui.spans import Line, Style
from clusterctl.ui.table import Cell, Column, cell, draw, right
from planners.plan.value import Alternative, Plan, Pool

POOL_COLUMNS = (
    "pool",
    right("nodes"),
    "type",
    right("GPUs, sandboxes"),
    Column("where", drop=2),
    right("hours", drop=1),
    right("$/h"),
    right("$/GPU-h", drop=4),
    right("dollars"),
    Column("price of", drop=3),
)


def pools(plan: Plan, page: PageContext) -> list[Line]:
    """One row per pool, then the layout of the models on the GPUs."""
    many = len(plan.stages) > 1
    one_place = len({(pool.cloud, pool.region, pool.capacity_type) for pool in plan.pools}) == 1
    hidden = set[str]()
    if not page.verbose:
        hidden = {"price of", "dollars", *(["where"] if one_place else []), *([] if many else ["hours"])}
    if not any(pool.gpu for pool in plan.pools):
        hidden.add("$/GPU-h")
    lines = draw(POOL_COLUMNS, [_pool_row(pool, many=many) for pool in plan.pools], page.cells, hide=hidden)
    for stage in plan.stages if not many or page.verbose else ():
        # `colocated`, `train tp 8`: a word says what it is, a number needs its name
        named = (value if isinstance(value, str) else f"{key} {number(value)}" for key, value in stage.layout.items())
        lines += labelled(stage.name if many else "layout", [cell(text, Style.DIM) for text in named], page.cells)
    return lines


def _pool_row(pool: Pool, *, many: bool) -> list[Cell]:
    price = None if pool.usd_per_node_hour is None else pool.usd_per_node_hour * pool.nodes
    style = Style.WARN if price is None else Style.PLAIN
    per_gpu = usd(pool.usd_per_node_hour / pool.gpus_per_node) if pool.gpu and pool.usd_per_node_hour else ""
    return [
        f"{pool.stage}: {pool.role}" if many else pool.role,
        f"{pool.nodes:,} ×",
        pool.instance_type,
        cell(pool_contents(pool), Style.STRONG),
        f"{pool.cloud} {pool.region}, {capacity(pool)}",
        hours(pool.hours),
        cell(usd(price), style),
        cell(per_gpu, Style.DIM),
        cell(usd(pool.usd), style),
        cell(f"{pool.price_as_of or UNKNOWN}", Style.DIM),
    ]


def capacity(bought: Pool | Alternative) -> str:
    """`on demand`, `spot`, `your reservation`: how a pool, or the GPUs of an alternative, are bought."""
    pools = [bought] if isinstance(bought, Pool) else [pool for pool in bought.pools if pool.gpu]
    is_own = any(pool.price_source == "your price" for pool in pools)
    if is_own and bought.capacity_type.startswith("reserved"):
        return "your reservation"
    return bought.capacity_type.replace("_", " ")


def pool_contents(pool: Pool) -> str:
    """`64 H100`, `1,152 sandboxes` (at once), or nothing."""
    if pool.slots is not None:
        return count(pool.slots, "sandbox", "sandboxes")
    return f"{pool.gpus:,} {pool.gpu}" if pool.gpu else ""
