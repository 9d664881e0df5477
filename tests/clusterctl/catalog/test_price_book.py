"""The embedded book, every row of it, and what loading a book promises."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.check_book import check_book
from clusterctl.catalog.lookup import load_gpus
from clusterctl.catalog.price_book import UNKNOWN_REGION, PriceBook, load_book
from clusterctl.catalog.price_files import (
    EXTRA_SCHEMA,
    MANIFEST_NAME,
    PRICE_KEY,
    PRICE_SCHEMA,
    SHAPE_SCHEMA,
    SOURCE_SCHEMA,
    TOKEN_SCHEMA,
    BookFrames,
    write_book,
)
from clusterctl.errors import StateError
from planners.domain import OFFER_COLUMNS, CapacityType

TODAY = date(2026, 11, 23)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_book(embedded_dir())


@pytest.fixture(scope="module")
def frames(book: PriceBook) -> BookFrames:
    return book.frames()


# --- integrity of the embedded book ----------------------------------------------------------------------------------


def test_every_rule_holds_over_the_whole_book(frames: BookFrames) -> None:
    findings = check_book(frames, known_gpus=load_gpus().keys(), today=TODAY)
    assert {finding.rule: finding.detail for finding in findings if finding.level == "broken"} == {}


def test_nothing_was_lost_on_the_way(frames: BookFrames, book: PriceBook) -> None:
    assert frames.prices.height == 45_016
    assert frames.history.height == 956
    assert frames.shapes.height == 719
    assert frames.extras.height == 1_137
    per_cloud = dict(frames.prices.group_by("cloud").len().rows())
    assert {cloud: per_cloud[cloud] for cloud in ("aws", "azure", "gcp")} == {"aws": 1204, "azure": 9518, "gcp": 34_192}
    assert book.priced_at == (date(2024, 12, 13), date(2026, 11, 9))


def test_book_is_small() -> None:
    assert sum(file.stat().st_size for file in embedded_dir().iterdir()) < 400_000


def test_schemas(frames: BookFrames) -> None:
    pairs = [
        (frames.prices, PRICE_SCHEMA),
        (frames.history, PRICE_SCHEMA),
        (frames.shapes, SHAPE_SCHEMA),
        (frames.extras, EXTRA_SCHEMA),
        (frames.sources, SOURCE_SCHEMA),
        (frames.tokens, TOKEN_SCHEMA),
    ]
    for frame, schema in pairs:
        assert dict(frame.schema) == dict(schema)


@pytest.mark.parametrize(
    ("key", "usd"),
    [
        (("aws", "us-east-1", "p5.48xlarge", "on_demand"), 55.04),
        (("aws", "us-east-1", "p5.48xlarge", "capacity_block"), 34.608),
        (("gcp", "us-central1", "a3-highgpu-8g", "spot"), 50.609541),
        (("gcp", "us-central1", "e2-micro", "reserved_3y"), 0.003769),
        (("azure", "eastus", "Standard_ND96isr_H100_v5", "on_demand"), 98.32),
    ],
)
def test_known_prices_are_exact(frames: BookFrames, key: tuple[str, ...], usd: float) -> None:
    names = ("cloud", "region", "instance_type", "capacity_type")
    row = frames.prices.filter(*(pl.col(name) == value for name, value in zip(names, key, strict=True)))
    assert row["usd_per_hour"].to_list() == [usd]


def test_every_price_has_a_source_and_unknown_days_are_null(frames: BookFrames) -> None:
    assert frames.prices["source"].null_count() == 0
    assert frames.prices["as_of"].null_count() == 0
    assert frames.extras["as_of"].null_count() == 17


def test_the_price_cut_of_june_2025_is_in_the_history(book: PriceBook) -> None:
    rows = book.history().filter(instance_type="p5.48xlarge", region="us-east-1", capacity_type="on_demand")
    assert rows.sort("as_of")["usd_per_hour"].to_list()[0] == 98.32


def test_token_prices_cached_and_not(book: PriceBook) -> None:
    tokens = book.token_prices()
    row = tokens.filter(model="claude-sonnet-4-5", from_input_tokens=0).row(0, named=True)
    assert row["input_usd_per_million_tokens"] == 3.0
    assert row["cached_input_usd_per_million_tokens"] == 0.3
    assert row["cache_write_usd_per_million_tokens"] == 3.75
    assert row["output_usd_per_million_tokens"] == 15.0
    assert row["batch_input_usd_per_million_tokens"] is None, "no source names it"
    assert tokens.height == 492
    assert set(tokens["source"]) <= set(book.sources()["source_id"])


# --- offers ----------------------------------------------------------------------------------------------------------


def test_offers_have_the_columns_that_the_planner_reads(book: PriceBook) -> None:
    offers = book.offers()
    assert tuple(offers.columns) == OFFER_COLUMNS
    assert offers.schema["usd_per_hour"] == pl.Float64
    assert offers.schema["as_of"] == pl.Date
    assert offers.schema["vcpus"] == pl.Float64
    assert set(offers["capacity_type"].unique()) <= {kind.value for kind in CapacityType}
    assert set(offers["gpu"].drop_nulls().unique()) <= set(load_gpus())
    assert offers.filter(pl.col("zone").is_not_null())["capacity_type"].unique().to_list() == ["spot"]


def test_no_instance_type_vanishes_because_it_has_no_price(book: PriceBook) -> None:
    offers = book.offers()
    unknown = offers.filter(pl.col("usd_per_hour").is_null())
    assert sorted(unknown["instance_type"]) == ["HGX-B300 x8", "a4-highgpu-8g", "a4x-highgpu-4g", "p5e.48xlarge"]
    assert unknown["region"].unique().to_list() == [UNKNOWN_REGION]
    assert unknown["quality"].unique().to_list() == ["unknown"]
    shapes = book.shapes().select("cloud", "instance_type")
    assert shapes.join(offers, on=["cloud", "instance_type"], how="anti").is_empty()
    assert book.offers(["gcp"], regions=["us-central1"], gpus=["GB200"])["usd_per_hour"].to_list() == [None]
    assert book.offers(gpus=["GB200"], capacity_types=["spot"]).is_empty()


def test_filters_agree_with_filtering_afterwards(book: PriceBook) -> None:
    everything = book.offers()
    some = book.offers(["aws", "gcp"], regions=["us-east-1", "us-central1"], gpus=["H100"], capacity_types=["spot"])
    expected = everything.filter(
        pl.col("cloud").is_in(["aws", "gcp"]),
        pl.col("region").is_in(["us-east-1", "us-central1"]),
        pl.col("gpu") == "H100",
        pl.col("capacity_type") == "spot",
    )
    assert some.equals(expected)
    assert some.height > 0
    gpu, cpu = book.offers(kind="gpu"), book.offers(kind="cpu")
    assert gpu.height + cpu.height == everything.height
    assert gpu["gpu"].null_count() == 0
    assert cpu["gpu"].null_count() == cpu.height
    assert book.offers(["azure"], instance_types=["Standard_D2s_v5"])["instance_type"].n_unique() == 1
    assert book.offers([]).is_empty()


def test_sandbox_offers_are_the_cheapest_of_their_kind(book: PriceBook) -> None:
    useful = book.sandbox_offers(["gcp"], capacity_types=["on_demand"]).filter(region="us-central1")
    cpu = book.offers(["gcp"], regions=["us-central1"], capacity_types=["on_demand"], kind="cpu")
    assert tuple(useful.columns) == OFFER_COLUMNS
    assert 0 < useful.height < 24
    per_vcpu = (pl.col("usd_per_hour") / pl.col("vcpus")).min()
    big = cpu.filter(pl.col("vcpus") >= 4)
    assert useful.select(per_vcpu).item() == pytest.approx(big.select(per_vcpu).item(), abs=1e-5)
    assert useful["vcpus"].min() >= 4
    assert set(book.sandbox_offers()["cloud"].unique()) == {"aws", "azure", "gcp", "coreweave", "lambda", "nebius"}


# --- loading ---------------------------------------------------------------------------------------------------------


def copy_of_embedded(to: Path) -> Path:
    shutil.copytree(embedded_dir(), to)
    return to


def refreshed(home: Path, name: str, frames: BookFrames, *, base: str | None) -> Path:
    folder = home / "home" / "prices" / name
    write_book(frames, folder, base=base)
    return folder


def newer(frames: BookFrames, usd: float, day: date) -> BookFrames:
    """The book with one other price: p5.48xlarge on demand in us-east-1."""
    here = (pl.col("instance_type") == "p5.48xlarge") & (pl.col("region") == "us-east-1")
    here &= pl.col("capacity_type") == "on_demand"
    prices = frames.prices.with_columns(
        usd_per_hour=pl.when(here).then(usd).otherwise("usd_per_hour"),
        as_of=pl.when(here).then(pl.lit(day)).otherwise("as_of"),
    )
    return replace(frames, prices=prices)


def p5_usd() -> float:
    offers = load_book().offers(["aws"], regions=["us-east-1"], gpus=["H100"], capacity_types=["on_demand"])
    return float(offers.filter(instance_type="p5.48xlarge")["usd_per_hour"].item())


def test_the_same_rows_give_the_same_bytes(frames: BookFrames, tmp_path: Path) -> None:
    first = write_book(frames, tmp_path / "first")
    second = write_book(load_book(tmp_path / "first").frames(), tmp_path / "second")
    assert first == second
    for file in (tmp_path / "first").iterdir():
        assert (tmp_path / "second" / file.name).read_bytes() == file.read_bytes(), file.name
    again = load_book(tmp_path / "second")
    assert again.prices().equals(frames.prices)
    assert again.offers().equals(load_book(embedded_dir()).offers())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["gpu.parquet", "shapes.parquet", "extras.parquet", MANIFEST_NAME]),
    at=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=40),
)
def test_any_damage_is_a_state_error(name: str, at: float, junk: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "book"
    shutil.copytree(embedded_dir(), folder, dirs_exist_ok=True)
    content = (folder / name).read_bytes()
    start = int(at * len(content))
    changed = content[:start] + junk + content[start + len(junk) :]
    (folder / name).write_bytes(changed)
    try:
        load_book(folder).frames()
    except StateError:
        return
    assert name == MANIFEST_NAME or changed == content


def test_refreshed_book_wins(frames: BookFrames, book: PriceBook, tmp_path: Path) -> None:
    refreshed(tmp_path, "prices-2026-10-01T000000Z", newer(frames, 40.0, date(2026, 10, 1)), base=book.book_id)
    refreshed(tmp_path, "prices-2026-11-01T000000Z", newer(frames, 50.0, date(2026, 11, 20)), base=book.book_id)
    (tmp_path / "home" / "prices" / ".prices-2026-12-01.123").mkdir()
    assert p5_usd() == 50.0
    assert load_book().priced_at[1] == date(2026, 11, 20)
    assert load_book(embedded_dir()).book_id == book.book_id


def test_after_an_upgrade_the_newest_price_wins_row_by_row(frames: BookFrames, tmp_path: Path) -> None:
    refreshed(tmp_path, "prices-2026-11-20", newer(frames, 50.0, date(2026, 11, 20)), base="an older wheel")
    assert p5_usd() == 50.0
    assert load_book().prices().height == 45_016
    refreshed(tmp_path, "prices-2026-11-22", newer(frames, 60.0, date(2026, 1, 1)), base="an older wheel")
    assert p5_usd() == 55.04, "the embedded price is of 2026-07-20"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / MANIFEST_NAME).unlink(),
        lambda folder: (folder / MANIFEST_NAME).write_text("{", encoding="utf-8"),
        lambda folder: (folder / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00"),
        lambda folder: (folder / MANIFEST_NAME).write_text("[]", encoding="utf-8"),
        lambda folder: edit(folder, version=99),
        lambda folder: edit(folder, version="one"),
        lambda folder: edit(folder, priced_from="yesterday"),
        lambda folder: edit(folder, extra=1),
        lambda folder: (folder / "gpu.parquet").unlink(),
        lambda folder: (folder / "gpu.parquet").write_bytes(b""),
        lambda folder: (folder / "gpu.parquet").write_bytes((folder / "gpu.parquet").read_bytes()[:-9]),
        lambda folder: shutil.copy(folder / "cpu.parquet", folder / "gpu.parquet"),
        lambda folder: (folder / "shapes.parquet").write_text("no parquet", encoding="utf-8"),
    ],
)
def test_damaged_book_is_an_error_and_never_a_silent_fallback(damage, tmp_path: Path) -> None:
    folder = copy_of_embedded(tmp_path / "home" / "prices" / "prices-2026-11-01T000000Z")
    damage(folder)
    with pytest.raises(StateError) as failure:
        load_book().offers(gpus=["H100"])
    assert failure.value.exit_code == 5
    assert str(folder) in failure.value.message
    assert failure.value.hint is not None


def edit(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest | fields), encoding="utf-8")


def test_a_book_that_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "book"
    file.write_text("x", encoding="utf-8")
    for path in (file, tmp_path / "absent"):
        with pytest.raises(StateError):
            load_book(path)


def test_merge_key_is_unique(frames: BookFrames) -> None:
    assert not frames.prices.select(pl.struct(*PRICE_KEY).is_duplicated().any()).item()


def test_machines_for_infrastructure_are_priced_and_never_offered_to_a_plan() -> None:
    book = load_book()
    small = book.infrastructure_prices()
    priced = {
        (row["cloud"], row["region"], row["instance_type"], row["capacity_type"]): row["usd_per_hour"]
        for row in small.to_dicts()
    }
    assert priced["aws", "us-east-1", "t3.medium", "on_demand"] == 0.0416
    assert priced["gcp", "us-central1", "f1-micro", "on_demand"] == 0.0076
    assert priced["azure", "eastus", "Standard_DS2_v2", "on_demand"] == 0.146
    names = set(small["instance_type"])
    assert not names & set(book.offers()["instance_type"])
    assert not names & set(book.sandbox_offers()["instance_type"])
    assert not names & set(book.shapes()["instance_type"])
    named = book.offers(instance_types=["t3.medium"], with_infrastructure=True)
    assert named["usd_per_hour"].to_list() == [0.0416]
    assert set(book.all_prices()["instance_type"]) == names | set(book.prices()["instance_type"])


def test_the_book_in_the_wheel_is_small() -> None:
    assert sum(file.stat().st_size for file in embedded_dir().iterdir()) <= 1_500_000
