"""Prices of machines that telemetry sees and no run has paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from clusterctl.catalog.price_book import PriceBook, load_book
from clusterctl.catalog.published_names import published_gpu
from planners.costs.estimated_price import EstimatedPrice, OwnMachinePrice, estimated_price
from planners.costs.machine_place import place_of
from planners.costs.observed import NODE_PRICES


def observed_prices(
    gpus: pl.DataFrame,
    labels: Mapping[str, Mapping[str, str]],
    *,
    own: Sequence[OwnMachinePrice],
    book: PriceBook | None = None,
) -> pl.DataFrame:
    """NODE_PRICES of machines.

    gpus: node, model (as the driver calls it, null = unknown), gpus (how many).  labels: of nodes in Kubernetes.
    """
    names = {model: None if model is None else published_gpu(model) for model in gpus["model"].unique()}
    known = sorted({gpu.name for gpu in names.values() if gpu is not None})
    offers = (book or load_book()).offers(gpus=known) if known else None
    found: dict[tuple[object, ...], EstimatedPrice] = {}
    rows = []
    for node, model, count in gpus.select("node", "model", "gpus").iter_rows():
        gpu, place = names[model], place_of(node, labels.get(node, {}))
        name = None if gpu is None else gpu.name
        said = next((number for number, one in enumerate(own) if one.matches(node, name)), None)
        key = (name, count, place, said)
        if key not in found:
            mine = () if said is None else own[said : said + 1]
            frame = pl.DataFrame() if offers is None else offers
            found[key] = estimated_price(node, name, count, place, own=mine, offers=frame)
        price = found[key]
        shown = name or model
        rows.append(
            (node, shown, count, price.usd_per_gpu_hour, price.cloud, price.capacity_type, price.source, price.own)
        )
    return pl.DataFrame(rows, schema=NODE_PRICES, orient="row")
