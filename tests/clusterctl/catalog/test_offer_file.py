"""Offers from a file that people maintain: what ships is in the book, an import changes what it names and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.refresh.offer_file import read_offer_file
from clusterctl.catalog.refresh.refresh_book import import_offers
from clusterctl.errors import PriceError, SpecError
from clusterctl.plan_service import Planner, open_source
from planners.plan.value import Plan

SHIPPED = embedded_dir().parent / "neoclouds.csv"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HEADER = "cloud,region,instance_type,capacity_type,usd_per_hour,as_of,source,gpu,num_gpus,vcpus,memory_gib\n"
NODE = "acme,any,h100-8,on_demand,8.0,2026-11-01,acme.example/prices,H100,8,,\n"
SPEC = """name: run
stages: [{{kind: sft, model: Qwen/Qwen2.5-7B-Instruct, samples: 50000, sample_tokens: 1500}}]
fleet: {{targets: [{targets}], gpus: [H100]}}
"""


def planned(tmp_path: Path, targets: str, book: Path | None = None) -> Plan:
    path = tmp_path / "run.yaml"
    path.write_text(SPEC.format(targets=targets))
    return Planner(now=NOW, book=book).plan(open_source(str(path)))


def test_the_embedded_book_holds_the_file_that_ships() -> None:
    """List prices of six clouds, each with the page that it was read from; H100 of Lambda: $31.92 for eight."""
    book = load_book(embedded_dir())
    for reading in read_offer_file(SHIPPED).readings:
        held = book.prices().filter(cloud=reading.cloud)
        assert held.sort(pl.all()).equals(reading.prices.sort(pl.all()))
    row = book.offers(["lambda"], instance_types=["gpu_8x_h100_sxm5"]).row(0, named=True)
    assert (row["usd_per_hour"], str(row["as_of"]), row["gpu"], row["num_gpus"]) == (31.92, "2026-09-20", "H100", 8.0)
    assert "lambda.ai/instances" in row["source"]


def test_a_spec_that_names_other_clouds_ranks_them_beside_the_three(tmp_path: Path) -> None:
    plan = planned(tmp_path, "aws, lambda, coreweave, nebius")
    assert {"aws", "lambda", "coreweave", "nebius"} <= {alternative.cloud for alternative in plan.alternatives}
    assert not plan.at_least
    assert {alternative.cloud for alternative in planned(tmp_path, "aws, gcp, azure").alternatives} <= {
        "aws",
        "gcp",
        "azure",
    }


def test_an_imported_cloud_is_planned_with_and_nothing_else_changes(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER + NODE)
    report = import_offers(tmp_path / "mine.csv", now=NOW, out=tmp_path / "book")
    assert [(each.cloud, each.num_added) for each in report.changes] == [("acme", 1)]
    old, new = load_book(embedded_dir()).prices(), load_book(tmp_path / "book").prices()
    assert new.filter(pl.col("cloud") != "acme").height == old.height
    plan = planned(tmp_path, "aws, acme", tmp_path / "book")
    assert plan.pools[0].cloud == "acme", "eight H100 for $8"
    with pytest.raises(SpecError, match="no cloud 'acne'; did you mean acme"):
        planned(tmp_path, "aws, acne", tmp_path / "book")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADER.replace("source,", "") + NODE, "column source is missing"),
        (HEADER.replace("vcpus", "cpus") + NODE, "column cpus is unknown"),
        (HEADER + NODE.replace("2026-11-01", "yesterday"), ":2: as_of is yesterday; expected a day"),
        (HEADER + NODE.replace("acme.example/prices", ""), ":2: source is nothing"),
        (HEADER + NODE.replace("on_demand", "ondemand"), ":2: capacity_type is ondemand"),
        (HEADER + NODE.replace("8.0", "0"), ":2: usd_per_hour is 0; expected dollars"),
        (HEADER + NODE.replace(",H100,", ",H1000,"), ":2: unknown GPU 'H1000'"),
        (HEADER + NODE.replace(",H100,8", ",,"), ":2: a machine without a GPU needs vcpus and memory_gib"),
        (HEADER + NODE.replace("acme,", "ac me,", 1), ":2: cloud is ac me; expected a name"),
        (HEADER + NODE.replace("8.0", "-8"), ":2: usd_per_hour is -8; expected a number, 0 or more"),
        (HEADER + NODE.replace(",H100,8", ",H100,0"), ":2: num_gpus is 0; expected how many H100"),
        (HEADER + NODE + NODE, ":3: h100-8 in any, on_demand has a price in line 2 already"),
        (HEADER + NODE.rstrip("\n") + ",x,y\n", ":2: has "),
        (HEADER.replace("vcpus", "gpu") + NODE, ":1: has the column gpu twice"),
        ("", "column cloud is missing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(PriceError) as caught:
        import_offers(path, now=NOW, out=tmp_path / "book")
    assert expected in caught.value.message
    assert not (tmp_path / "book").exists()


def test_a_machine_whose_memory_nobody_states_is_not_refused_for_it(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: run\n"
        "stages: [{kind: rl, model: Qwen/Qwen2.5-7B-Instruct, steps: 10, response_tokens: 2000}]\n"
        "fleet: {targets: [runpod], sandbox: {targets: [aws]}, gpus: [H100], num_gpus: 16}\n"
    )
    plan = Planner(now=NOW).plan(open_source(str(path)))
    assert {(pool.role, pool.cloud) for pool in plan.pools} == {("trainer+rollout", "runpod"), ("sandbox", "aws")}
