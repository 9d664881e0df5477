"""Run as a process and killed: writes rows 0, 1, 2, …, compacts, and says after each flush how far it is."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import polars as pl

from clusterctl.store import compact, open_store

FIRST = datetime(2026, 5, 4, tzinfo=UTC)
SPACING_SECONDS = 100
"""Between rows, so that each keeps a 10 s bucket, and some forty make an hour."""


def rows(node: str, first: int, count: int) -> pl.DataFrame:
    ats = [FIRST + timedelta(seconds=SPACING_SECONDS * (number + 1)) for number in range(first, first + count)]
    return pl.DataFrame({"at": ats, "node": node, "gpu": "0", "seconds": 10.0, "power_w": 300, "energy_j": 3000})


def main(url: str, node: str) -> None:
    compact.GRACE = compact.ABANDONED = timedelta(seconds=1)
    store, written = open_store(url, node=node), 0
    while True:
        store.append("gpu", rows(node, written, 7))
        store.flush()
        written += 7
        print(written, flush=True)
        if written % 21 == 0:
            store.compact(FIRST + timedelta(days=365))


if __name__ == "__main__":
    main(*sys.argv[1:])
