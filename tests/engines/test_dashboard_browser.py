"""The dashboard in a real Chromium: every page, light and dark, on a laptop and on a phone.

No console error, no exception box, nothing fetched from elsewhere, no scrolling sideways, and the figures are those of
ledger and store.  Pictures go to ~/.cache/clusterctl-engines/screenshots/ for people to look at.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from clusterctl.dashboard.sample import END, START, ensure_sample
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, ReportBatch, Run, Step
from clusterctl.store import open_store
from tools.simulated_day.story import EVALUATE, HOURS, RLCEF

SHOTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines" / "screenshots"
PAGES = (
    "",
    "run",
    "overview",
    "plan",
    "gpus",
    "where",
    "pipeline",
    "sandboxes",
    "allocation",
    "what_if",
    "orphans",
    "outcomes",
    "quality",
)
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
PROBED = re.compile(r"/\w+/_stcore/(health|host-config)$")
"""Streamlit's page looks for its server below the page's own path first, and is told that it isn't there."""
PATIENCE_MS = 60_000
USD_PER_GPU_HOUR = 55.04 / 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the simulated day and a live run without a step."""
    folder = tmp_path_factory.mktemp("home")
    ensure_sample(folder)
    now = datetime.now(tz=UTC)
    with open_ledger(str(folder / "ledger.db")) as ledger:
        ledger.add_run(Run(run_id="live-run", name="live-run", target="local", created_at=now))
        ledger.set_state("live-run", "running", at=now)
    return folder


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """Where the dashboard is, while the tests run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "clusterctl"), "dashboard"]
    environ = os.environ | {"CLUSTERCTL_HOME": str(home)}
    started = subprocess.run(
        [*command, "--background", "--port", str(port)], env=environ, capture_output=True, text=True, check=True
    )
    yield started.stdout.strip()
    subprocess.run([*command, "--stop"], env=environ, check=True, capture_output=True)


class Complaints:
    """What a page says that it should not."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("pageerror", lambda error: self.found.append(str(error)))
        page.on("console", self._console)
        page.on("response", self._response)
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # see _response
            self.found.append(message.text)

    def _response(self, response: Any) -> None:
        if response.status >= 400 and not PROBED.search(response.url):
            self.found.append(f"{response.status} {response.url}")

    def _request(self, request: Any) -> None:
        if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", request.url):
            self.found.append(f"asks {request.url}")


def open_page(browser: Browser, url: str, scheme: str = "light", width: int = 1280) -> tuple[Page, Complaints]:
    """A page that is drawn completely."""
    page = browser.new_page(
        viewport={"width": width, "height": 850}, color_scheme=scheme, timezone_id="Europe/Berlin", locale="en-GB"
    )  # type: ignore[arg-type]
    complaints = Complaints(page)
    page.goto(url)
    settle(page)
    return page, complaints


def settle(page: Page) -> None:
    page.wait_for_selector("h2", timeout=PATIENCE_MS)
    done = "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
    page.wait_for_function(done, timeout=PATIENCE_MS)
    page.wait_for_timeout(700)  # pictures are drawn after the script has ended


def figures(page: Page) -> dict[str, str]:
    """Label → value of the figures as a person sees them."""
    found = {}
    for metric in page.locator("[data-testid=stMetric]").all():
        label = metric.locator("[data-testid=stMetricLabel]").inner_text().strip()
        found[label] = metric.locator("[data-testid=stMetricValue]").inner_text().strip()
    return found


@pytest.fixture(scope="module")
def truth(home: Path) -> dict[str, dict[str, str]]:
    """Page → figures, from ledger and store by arithmetic of this test's own."""
    with open_store(str(home / "sample" / "telemetry")) as store:
        rows = store.read("gpu", start=START, end=END).with_columns(pl.col("seconds").cast(pl.Float64) / 3600)
        programs = store.read("sandbox", start=START, end=END)["finished"].sum()
    rows = rows.filter(pl.col("node").str.starts_with("gpu-"))
    idle = rows.filter(pl.col("reason").is_not_null())["seconds"].sum()
    free = rows.filter(pl.col("reason") == "no_process")["seconds"].sum()
    with open_ledger(str(home / "sample" / "ledger.db")) as ledger:
        bill, steps, run = ledger.bill(RLCEF).known_usd, ledger.steps(RLCEF), ledger.get_run(RLCEF)
        solved = sum(step.metrics["solved"] or 0 for step in ledger.steps(EVALUATE))
        evaluation = ledger.bill(EVALUATE).known_usd
    seconds = [(b.at - a.at).total_seconds() for a, b in pairwise(steps) if b.step == a.step + 1]
    assert run.limit_usd is not None
    return {
        "run": {"So far": f"${bill:,.0f}", "Progress": f"{steps[-1].step} of {steps[-1].of}"},
        "overview": {
            "Paid for idle GPUs": f"${idle * USD_PER_GPU_HOUR:,.0f}",
            "Spent": f"${bill:,.0f}",
            "Budget left": f"${run.limit_usd - bill:,.0f}",
            "Steps": f"{steps[-1].step} of {steps[-1].of}",
        },
        "plan": {"Seconds per step": f"{sum(seconds) / len(seconds):,.0f} s"},
        "sandboxes": {"Programs": f"{programs:,}", "Per 1,000 programs": f"${5440 * HOURS / programs:.2f}"},
        "allocation": {"Idle GPUs": f"${idle * USD_PER_GPU_HOUR:,.0f}"},
        "where": {
            "Held, and idle": f"${(idle - free) * USD_PER_GPU_HOUR:,.0f}",
            "Free GPUs": f"${free * USD_PER_GPU_HOUR:,.2f}",
        },
        "orphans": {"Left over": "1", "A day": f"${5.44 * 24:,.0f}"},
        "outcomes": {"Per solved task": f"${float(evaluation) / solved:.2f}"},
        "quality": {"GPU time measured": f"{100 * rows['seconds'].sum() / (64 * HOURS):.1f}%"},
    }


@pytest.mark.parametrize(("scheme", "width"), LOOKS, ids=str)
@pytest.mark.parametrize("name", PAGES, ids=lambda name: name or "runs")
def test_a_page_is_whole(
    name: str, scheme: str, width: int, browser: Browser, address: str, truth: dict[str, dict[str, str]]
) -> None:
    page, complaints = open_page(browser, f"{address}/{name}?data=simulated", scheme, width)
    try:
        assert complaints.found == []
        assert page.locator("[data-testid=stException]").all_inner_texts() == []
        assert page.locator("[data-testid=stBadge], .stBadge, :text('Simulated')").count() > 0
        for label, value in truth.get(name, {}).items():
            named = page.locator("[data-testid=stMetricLabel]", has_text=label)
            figure = page.locator("[data-testid=stMetric]").filter(has=named).first
            expect(figure.locator("[data-testid=stMetricValue]")).to_have_text(value, timeout=PATIENCE_MS)
        wide, room = page.evaluate(
            "(() => {const m = document.querySelector('[data-testid=stMain]'); return [m.scrollWidth, m.clientWidth]})()"
        )
        assert wide <= room, "the page scrolls sideways"
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(height + 10, 4000)})
        page.wait_for_timeout(300)
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{name or 'runs'}-{scheme}-{width}.png")
    finally:
        page.close()


def test_the_first_figure_is_there_at_once(browser: Browser, address: str) -> None:
    """Warm: from the click to the first figure.  1.2 to 1.6 s where nothing else runs; here others may."""
    url, shown = f"{address}/overview?data=simulated", "[data-testid=stMetricValue]"
    took = []
    context = browser.new_context()
    for _ in range(4):
        page, began = context.new_page(), time.perf_counter()
        page.goto(url, wait_until="commit")
        page.wait_for_selector(shown, timeout=PATIENCE_MS)
        took.append(time.perf_counter() - began)
        page.close()
    context.close()
    print(f"first figure after {', '.join(f'{seconds:.2f}' for seconds in took)} s")
    assert min(took[1:]) < 5


def test_hovering_shows_formula_price_and_its_age(browser: Browser, address: str) -> None:
    page, _ = open_page(browser, f"{address}/overview?data=simulated")
    spent = page.locator("[data-testid=stMetric]", has_text="Spent")
    icon = spent.locator("[data-testid=stTooltipIcon] button, [data-testid=stTooltipIcon] svg").first
    tip = page.locator("[data-testid=stTooltipContent]")
    for _ in range(10):  # a page that is drawn again beneath the pointer shows no tip until the pointer comes again
        icon.hover()
        with contextlib.suppress(PlaywrightTimeoutError):
            tip.wait_for(timeout=PATIENCE_MS / 10)
            break
        page.mouse.move(0, 0)
    expect(tip).to_contain_text("hours x price per hour", timeout=PATIENCE_MS)
    expect(tip).to_contain_text("2026-07-20")
    page.close()


def test_pages_are_reached_by_keyboard_and_keep_what_was_chosen(browser: Browser, address: str) -> None:
    page, _ = open_page(browser, f"{address}/overview?data=simulated&window=6h")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.getAttribute('href') ?? ''").partition("?")[0].endswith("/gpus"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/gpus\?.*"), timeout=PATIENCE_MS)
    settle(page)
    assert "data=simulated" in page.url
    assert "window=6h" in page.url
    assert "Europe/Berlin" in page.locator("[data-testid=stMain]").inner_text()
    page.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_runs_lead_to_a_run_and_its_dollars_stay_on_the_screen(width: int, browser: Browser, address: str) -> None:
    page, complaints = open_page(browser, f"{address}/?data=simulated", width=width)
    expect(page).to_have_title("Runs · clusterctl")
    heads = page.locator("table.runs th")
    dollars = heads.filter(has_text="$ so far").bounding_box()
    assert dollars is not None
    assert dollars["x"] + dollars["width"] <= width
    row = page.locator("table.runs tbody tr", has_text=RLCEF)
    expect(row).to_contain_text("$10,698")
    row.get_by_role("link").click()
    page.wait_for_url(re.compile(rf"/run\?.*run={RLCEF}"), timeout=PATIENCE_MS)
    settle(page)
    expect(page).to_have_title("Run · clusterctl")
    spent = page.locator("[data-testid=stMetric]", has_text="So far").locator("[data-testid=stMetricValue]")
    expect(spent).to_have_text("$10,698", timeout=PATIENCE_MS)
    assert "data=simulated" in page.url
    assert complaints.found == []
    page.close()


def test_a_live_page_changes_in_place(browser: Browser, address: str, home: Path) -> None:
    page, complaints = open_page(browser, f"{address}/overview?run=live-run")
    assert figures(page)["Steps"] == "none yet"
    page.evaluate("window.neverReloaded = true")
    with open_ledger(str(home / "ledger.db")) as ledger:
        now = datetime.now(tz=UTC)
        step = Step(run_id="live-run", stage="rlcef", step=1, of=9, at=now, metrics={"reward": 0.5})
        ledger.record_reports("live-run", ReportBatch(steps=(step,), since=now))
    steps = page.locator("[data-testid=stMetric]", has_text="Steps")
    expect(steps.locator("[data-testid=stMetricValue]")).to_have_text("1 of 9", timeout=PATIENCE_MS)
    assert page.evaluate("window.neverReloaded") is True
    assert complaints.found == []
    page.close()


def test_an_open_page_says_that_telemetry_has_stopped(browser: Browser, address: str, home: Path) -> None:
    """Its age grows and its alert comes without a reload, and so does the end of the window in the header."""
    stopped = datetime.now(tz=UTC) - timedelta(seconds=100)
    with open_ledger(str(home / "ledger.db")) as ledger:
        machine = Intent(
            resource_id="live-run/node/1", run_id="live-run", role="node", kind="machine", provider="local"
        )
        ledger.intend(machine, at=stopped - timedelta(hours=1))
        ledger.mark_live(machine.resource_id, address="gpu-1", at=stopped - timedelta(hours=1))
        ledger.extend_cost(machine.resource_id, until=stopped)
    row = {"at": stopped, "node": "gpu-1", "gpu": "0", "run": "live-run", "seconds": 10.0}
    with open_store(str(home / "telemetry")) as store:
        store.append("gpu", pl.DataFrame([row]))
    page, complaints = open_page(browser, f"{address}/overview?run=live-run")
    page.evaluate("window.neverReloaded = true")
    main = page.locator("[data-testid=stMain]")
    header = main.locator("[data-testid=stCaptionContainer]").first.inner_text()
    expect(main).to_contain_text(
        re.compile(r"No telemetry of its GPUs since (1\d\d s|[2-9] min) ago"), timeout=PATIENCE_MS
    )
    first = re.search(r"GPU telemetry: (\d+ \w+ ago)", main.inner_text())
    assert first is not None
    expect(main).not_to_contain_text(f"GPU telemetry: {first[1]}", timeout=PATIENCE_MS)
    expect(main.locator("[data-testid=stCaptionContainer]").first).not_to_have_text(header, timeout=2 * PATIENCE_MS)
    assert page.evaluate("window.neverReloaded") is True
    assert complaints.found == []
    page.close()


def selected_window(page: Page) -> dict[str, str]:
    """Window, from and to of the address."""
    query = parse_qs(urlsplit(page.url).query)
    return {name: query[name][0] for name in ("window", "from", "to") if name in query}


def test_dragging_over_a_picture_chooses_its_time(browser: Browser, address: str) -> None:
    page, complaints = open_page(browser, f"{address}/overview?data=simulated")
    chart = page.locator("[data-testid=stVegaLiteChart]").last
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box = chart.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=8)
    page.mouse.up()
    page.wait_for_url(re.compile("window=from-to"), timeout=PATIENCE_MS, wait_until="commit")
    settle(page)
    chosen = selected_window(page)
    start, end = (datetime.fromisoformat(chosen[name]) for name in ("from", "to"))
    assert START < start < end < END
    assert 3 < (end - start) / timedelta(hours=1) < 7, "a fifth of a day's picture, whose axis takes some room"
    assert start.utcoffset() == timedelta(hours=2), "the address says the moment in any zone"
    expect(page.locator("[data-testid=stMain]")).to_contain_text("up to 4 Aug")
    assert complaints.found == []
    page.close()


def test_an_alert_leads_to_its_moment(browser: Browser, address: str) -> None:
    page, complaints = open_page(browser, f"{address}/overview?data=simulated")
    row = page.locator("[data-testid=stHorizontalBlock]", has_text="reward hacking since step").last
    row.get_by_role("link", name="View details").click()
    page.wait_for_url(re.compile(r"/pipeline\?.*step=2\d\d"), timeout=PATIENCE_MS, wait_until="commit")
    settle(page)
    assert selected_window(page)["window"] == "from-to"
    assert {name: len(words) for name, words in parse_qs(urlsplit(page.url).query).items() if len(words) > 1} == {}
    expect(page.locator("[data-testid=stMain]")).to_contain_text("choose no step above to see all")
    assert complaints.found == []
    page.goto(page.url)
    settle(page)
    expect(page.locator("[data-testid=stMain]")).to_contain_text("choose no step above to see all")
    page.close()


def test_a_node_and_a_gpu_are_in_the_address(browser: Browser, address: str) -> None:
    page, complaints = open_page(browser, f"{address}/gpus?data=simulated&node=gpu-5&gpu=3")
    main = page.locator("[data-testid=stMain]")
    expect(main).to_contain_text("GPU 3 of gpu-5")
    page.get_by_role("button", name="All nodes").click()
    expect(main).to_contain_text("By node, the most idle dollars first", timeout=PATIENCE_MS)
    assert "node=" not in page.url
    assert complaints.found == []
    page.close()


@pytest.mark.parametrize(("button", "column"), [("CSV", '"$"|\\$'), ("FOCUS", "BilledCost")])
def test_allocation_is_downloaded(button: str, column: str, browser: Browser, address: str) -> None:
    page, _ = open_page(browser, f"{address}/allocation?data=simulated&run=all")
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_role("button", name=button, exact=True).click()
    head, *rows = Path(download.value.path()).read_text("utf-8").splitlines()
    assert re.search(column, head)
    assert rows
    page.close()
