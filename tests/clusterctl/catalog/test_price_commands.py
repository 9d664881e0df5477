"""`clusterctl prices …` as a person and as a program call it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import fake_clouds as fake
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_price_book import TODAY

from clusterctl.catalog import show
from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.check_book import check_book
from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.query import Filters, comparison, listing, series
from clusterctl.ui.formats import unit_price
from clusterctl.ui.table import Column, draw_text
from clusterctl.ui.terminal import Terminal

Run = Callable[..., CompletedProcess[str]]
WIDTHS = (80, 100, 120, 160, 200)


def terminal(columns: int, *, colour: bool = False, interactive: bool = False) -> Terminal:
    return Terminal(columns=columns, colour=colour, interactive=interactive)


# --- through the command line ----------------------------------------------------------------------------------------


def test_list_as_table_json_and_csv_agree(in_process: Run) -> None:
    asked = ("prices", "list", "--gpu", "h200", "--cloud", "aws,gcp", "--capacity", "on_demand")
    page = in_process(*asked, "--limit", "5")
    assert page.returncode == 0, page.stderr
    assert re.search(
        r"shown 5 of \d+ offers · prices of 2024-12-13 to 2026-11-09 · 1 without a known price", page.stdout
    )
    data = json.loads(in_process(*asked, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(in_process(*asked, "--csv").stdout)))
    assert data["schema"] == "clusterctl.prices/1"
    assert data["num_offers"] == len(data["offers"]) == len(rows)
    assert [row["instance_type"] for row in rows] == [offer["instance_type"] for offer in data["offers"]]
    unknown = [offer for offer in data["offers"] if offer["usd_per_hour"] is None]
    assert [offer["instance_type"] for offer in unknown] == ["p5e.48xlarge"]
    assert rows[-1]["usd_per_hour"] == "", "unknown is empty in CSV, null in JSON, never 0"


def test_a_small_machine_is_found_by_its_name_only(in_process: Run) -> None:
    by_name = in_process("prices", "list", "--instance", "t3.medium", "--json")
    assert [(row["instance_type"], row["usd_per_hour"]) for row in json.loads(by_name.stdout)["offers"]] == [
        ("t3.medium", 0.0416)
    ]
    everything = in_process("prices", "list", "--cloud", "aws", "--region", "us-east-1", "--json")
    assert "t3.medium" not in everything.stdout
    assert "t3.medium" not in in_process("prices", "list", "--gpu", "L4").stdout
    assert "0.0416" in in_process("prices", "history", "t3.medium").stdout.replace("$", "")


def test_compare_is_cheapest_first_and_names_ages(in_process: Run) -> None:
    data = json.loads(in_process("prices", "compare", "H100", "B200", "--json").stdout)
    per_gpu = [offer["usd_per_gpu_hour"] for offer in data["offers"] if offer["usd_per_gpu_hour"] is not None]
    assert per_gpu == sorted(per_gpu)
    assert data["offers"][0]["times_cheapest"] == 1.0
    assert data["offers"][-1]["usd_per_gpu_hour"] is None, "unknown comes last, and comes"
    spot = [offer for offer in data["offers"] if offer["capacity_type"] == "spot"]
    assert all(offer["age_days"] > 0 for offer in spot)


def test_history_shows_the_price_cut(in_process: Run) -> None:
    page = in_process("prices", "history", "p5.48xlarge", "--region", "us-east-1", "--capacity", "on_demand").stdout
    assert "$98.32" in page
    assert "$55.04" in page
    assert "-44%" in page
    data = json.loads(in_process("prices", "history", "p5.48xlarge", "--json").stdout)
    assert data["num_prices"] == len(data["prices"]) > 20


def test_check_passes_and_fails_by_exit_code(in_process: Run, tmp_path: Path) -> None:
    good = in_process("prices", "check")
    assert good.returncode == 0
    assert "broken" not in good.stdout
    book = load_book(embedded_dir())
    frames = book.frames()
    bad = frames.prices.with_columns(usd_per_hour=-pl.col("usd_per_hour"))
    from dataclasses import replace

    from clusterctl.catalog.price_files import write_book

    write_book(replace(frames, prices=bad), tmp_path / "bad")
    done = in_process("prices", "check", "--book", str(tmp_path / "bad"))
    assert done.returncode == 4
    assert "price > 0" in done.stderr
    report = json.loads(in_process("prices", "check", "--book", str(tmp_path / "bad"), "--json").stdout)
    assert {found["level"] for found in report["findings"]} == {"ok", "note", "broken"}


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("list", "--region", "us-esat-1"), 2, "us-east-1"),
        (("list", "--cloud", "asure"), 2, "azure"),
        (("list", "--gpu", "H1OO"), 2, "H100"),
        (("list", "--instance", "p5.48xlarg"), 2, "p5.48xlarge"),
        (("list", "--capacity", "preemptible"), 2, "spot"),
        (("list", "--sort", "dollars"), 2, "--sort"),
        (("list", "--limit", "-1"), 2, "--limit"),
        (("list", "--min-gpus", "nan"), 2, "--min-gpus"),
        (("list", "--json", "--csv"), 2, "exclude"),
        (("list", "--book", "nowhere"), 5, "nowhere"),
        (("history", "p5.48xlarg"), 2, "p5.48xlarge"),
        (("refresh", "--cloud", "ibm"), 2, "ibm"),
        (("refresh", "--cloud", "gcp"), 4, "GOOGLE_API_KEY"),
    ],
)
def test_bad_input_is_one_clear_message(args: tuple[str, ...], code: int, says: str, in_process: Run) -> None:
    done = in_process("prices", *args)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert says in done.stderr


def test_refresh_through_the_command_line(in_process: Run, tmp_path: Path) -> None:
    body = fake.aws_csv(fake.aws_row("p5.48xlarge", "44.0"))
    home = {"CLUSTERCTL_HOME": str(tmp_path / "home")}
    with fake.serve(fake.aws_answers({"us-east-1": body})) as server:
        urls = {"CLUSTERCTL_AWS_PRICES_URL": server.url} | home
        dry = in_process("prices", "refresh", "--cloud", "aws", "--dry-run", **urls)
        done = in_process("prices", "refresh", "--cloud", "aws", "--json", **urls)
    assert dry.returncode == done.returncode == 0, dry.stderr + done.stderr
    assert "dry run: nothing written" in dry.stdout
    assert "p5.48xlarge" in dry.stdout
    assert "-20.1%" in dry.stdout
    assert "spot and capacity blocks left as they were" in dry.stdout
    report = json.loads(done.stdout)
    assert report["clouds"][0]["num_cheaper"] == 1
    assert Path(report["book"]).is_dir()
    listed = json.loads(
        in_process("prices", "list", "--instance", "p5.48xlarge", "--region", "us-east-1", "--json", **home).stdout
    )
    assert 44.0 in [offer["usd_per_hour"] for offer in listed["offers"]]


# --- the pages -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return listing(load_book(embedded_dir()), Filters(), today=TODAY, sort="gpu-price")


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("interactive", [False, True])
def test_no_page_is_wider_than_the_terminal(columns: int, interactive: bool, rows: pl.DataFrame) -> None:
    book = load_book(embedded_dir())
    screen = terminal(columns, interactive=interactive)
    findings = check_book(book.frames(), known_gpus=["H100"], today=TODAY)
    azure = rows.filter(cloud="azure")
    pages = [
        show.offers_table(azure, book.priced_at, screen, limit=200),
        show.offers_table(comparison(rows), book.priced_at, screen, limit=200, compare=True),
        show.history_table(series(book, "p5.48xlarge", Filters()), screen, limit=None),
        show.check_table(findings, screen),
    ]
    for page in pages:
        assert max(len(line) for line in page.splitlines()) <= columns
        assert "\x1b" not in page


def test_unknown_is_written_out(rows: pl.DataFrame) -> None:
    page = show.offers_table(rows.filter(gpu="GB200", cloud="gcp"), (TODAY, TODAY), terminal(120), limit=None)
    assert "unknown" in page
    assert "$0" not in page
    assert "nothing" not in show.offers_table(rows.clear(), (TODAY, TODAY), terminal(80), limit=None)
    assert "no offer" in show.offers_table(rows.clear(), (TODAY, TODAY), terminal(80), limit=None)


def test_colour_only_where_it_is_wanted() -> None:
    columns = (Column("a"),)
    assert "\x1b[" in draw_text(columns, [("unknown",)], terminal(80, colour=True, interactive=True))
    assert "\x1b[" not in draw_text(columns, [("unknown",)], terminal(80, interactive=True))


def test_markup_in_a_name_is_text() -> None:
    assert "[bold]x[/bold]" in draw_text((Column("a"),), [("[bold]x[/bold]",)], terminal(80))


def test_words_for_values() -> None:
    assert [unit_price(usd) for usd in (None, 1234.5, 1.0, 0.0384)] == ["unknown", "$1,234.50", "$1.00", "$0.0384"]
    assert [show.age(days) for days in (None, 12, 709)] == ["unknown", "12 d", "23 mo"]
    assert [show.number_or_dash(value) for value in (None, 8.0, 0.333, 2048.0)] == ["-", "8", "0.333", "2,048"]


@given(st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1, max_size=30))
def test_sparkline_has_one_mark_per_price(values: list[float]) -> None:
    line = show.sparkline(values)
    assert len(line) == len(values)
    if max(values) > min(values):
        assert line[values.index(max(values))] == "█"
        assert line[values.index(min(values))] == "▁"
