"""`machine-prices.yaml`: what a person says of machines that no run has paid for, and what is wrong in it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from clusterctl.costs.observed_machines import observed_prices
from clusterctl.costs.own_machine_prices import own_machine_prices
from clusterctl.errors import SpecError

GPUS = pl.DataFrame(
    {
        "node": ["gpu-1", "ip-10-0-0-1.us-west-2.compute.internal", "old-1"],
        "model": ["NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", "Tesla K80"],
        "gpus": [8, 8, 2],
    }
)


def priced(folder: Path) -> dict[str, Decimal | None]:
    rows = observed_prices(GPUS, {}, own=own_machine_prices(folder))
    return dict(rows.select("node", "usd_per_gpu_hour").iter_rows())


def test_without_a_file_prices_are_list_prices_or_unknown(tmp_path: Path) -> None:
    found = priced(tmp_path)
    assert found["ip-10-0-0-1.us-west-2.compute.internal"] is not None
    assert found["gpu-1"] is not None
    assert found["old-1"] is None, "a GPU that the price book does not know"


def test_the_first_row_that_fits_counts(tmp_path: Path) -> None:
    text = (
        "machines:\n- {nodes: gpu-1, usd_per_gpu_hour: 2.49, note: contract 2026}\n- {gpu: H100, usd_per_hour: 16}\n"
        "- {nodes: 'old-*', usd_per_gpu_hour: 0.1}\n"
    )
    (tmp_path / "machine-prices.yaml").write_text(text)
    found = priced(tmp_path)
    assert [float(found[node] or 0) for node in GPUS["node"]] == [2.49, 2.0, 0.1]
    rows = observed_prices(GPUS, {}, own=own_machine_prices(tmp_path))
    assert rows["source"][0] == "your price: contract 2026"
    assert rows["own"].to_list() == [True, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("machines: [{nodes: a, usd_per_gpu_hour: -1}]", "usd_per_gpu_hour must be at least 0"),
        ("machines: [{nodes: a, price: 1}]", "price"),
        ("machines: [{nodes: a}]", "neither a price nor a place"),
        ("machines: [{usd_per_hour: 1, usd_per_gpu_hour: 1}]", "usd_per_gpu_hour and usd_per_hour"),
        ("machines: [{gpu: H1000, usd_per_hour: 1}]", "unknown GPU"),
        ("- a", ""),
        ("machines: {", "machine-prices.yaml:1"),
    ],
)
def test_a_mistake_is_one_message_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "machine-prices.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        own_machine_prices(tmp_path)
    assert message in caught.value.message
    assert "machine-prices.yaml" in caught.value.message


def test_a_named_file_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_MACHINE_PRICES", str(tmp_path / "none.yaml"))
    with pytest.raises(SpecError):
        own_machine_prices(tmp_path)
