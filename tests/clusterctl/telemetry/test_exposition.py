"""Prometheus' text format, the host's counters, and a sandbox server's page."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.sandbox.sandbox_server import Metrics
from clusterctl.telemetry.exposition import (
    MAX_PAGE_BYTES,
    Families,
    add_sample,
    merge,
    parse,
    read_file,
    samples,
    write,
)
from clusterctl.telemetry.host_usage import Host
from clusterctl.telemetry.sandbox_scraper import SandboxScraper, quantile


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), st.text(max_size=20)),
    st.floats(allow_nan=False),
)
def test_what_is_written_is_read_again_whatever_labels_hold(labels: dict[str, str], value: float) -> None:
    families: Families = {}
    add_sample(families, ("a_total", "counter", "Words."), labels, value)
    assert samples(parse(write(families)), "a_total") == [(labels, value)]


def test_pages_are_merged_under_one_type() -> None:
    first, second = parse("# HELP a A.\n# TYPE a gauge\na 1\n"), parse('# TYPE a gauge\na{x="1"} 2\n')
    merge(first, second, {"run": "r"})
    assert write(first) == '# HELP a A.\n# TYPE a gauge\na 1.0\na{run="r",x="1"} 2.0\n'
    with pytest.raises(ValueError, match="not in Prometheus' text format"):
        parse("what is this\n")


PIECES = st.sampled_from(
    [
        "a",
        "{",
        "}",
        '"',
        "\\",
        "\n",
        " ",
        "=",
        ",",
        "#",
        " # TYPE a ",
        "# HELP a",
        "1",
        "1e999",
        "9" * 400,
        "NaN",
        'x="y"',
        "\ud800",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40))
def test_no_page_does_more_than_be_refused(page: str) -> None:
    try:
        families = parse(page)
    except ValueError:
        return
    write(families)


def test_a_file_that_a_job_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    (tmp_path / "large").write_bytes(b"#" * (MAX_PAGE_BYTES + 1))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "time").write_text("a 1 inf\n")
    for name in ("folder", "pipe", "binary", "large", "loop", "none"):
        with pytest.raises((OSError, ValueError)):
            read_file(tmp_path / name, max_age_seconds=60)
    assert samples(read_file(tmp_path / "time", max_age_seconds=60), "a") == [({}, 1.0)]
    os.utime(tmp_path / "time", (0, 0))
    assert read_file(tmp_path / "time", max_age_seconds=60) == {}


def test_the_sandbox_servers_own_page_is_understood() -> None:
    metrics = Metrics(workers=4)
    metrics.requests.labels("python", "time limit").inc(3)
    metrics.start_seconds.observe(0.02)
    families = parse(metrics.page())
    name = "clusterctl_sandbox_requests_total"
    assert samples(families, name) == [({"language": "python", "result": "time limit"}, 3.0)]
    assert families["clusterctl_sandbox_start_seconds"].type == "histogram"
    assert len(families["clusterctl_sandbox_start_seconds"].samples) == 16
    assert parse(write(families)) == families


def test_a_sandbox_row_is_what_happened_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, server = Metrics(workers=4), SandboxScraper("http://127.0.0.1:1")
    monkeypatch.setattr("clusterctl.telemetry.sandbox_scraper._get", lambda *_: metrics.page())
    metrics.running.set(2)
    metrics.queued.set(7)
    metrics.requests.labels("python", "finished").inc(5)
    assert server.row(10.0) is None
    metrics.requests.labels("python", "finished").inc(2)
    metrics.requests.labels("cpp", "time limit").inc()
    metrics.requests.labels("cpp", "refused").inc()
    for _ in range(10):
        metrics.start_seconds.observe(0.02)
    row = server.row(15.0)
    assert row is not None
    ended = (row["seconds"], row["finished"], row["time_limits"], row["memory_limits"], row["errors"])
    assert ended == (5.0, 2, 1, 0, 0)
    assert (row["running"], row["queued"], row["workers"]) == (2, 7, 4)
    assert row["start_p50_ms"] == pytest.approx(17.5)
    assert "request_p50_ms" not in row
    metrics = Metrics(workers=4)
    assert server.row(20.0) is None  # it was started anew: nothing is known of the time between


def test_a_server_that_is_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused"):
        SandboxScraper("http://127.0.0.1:9").row(0.0)


def test_quantiles_as_prometheus_has_them() -> None:
    inf = float("inf")
    assert quantile({0.1: 0, 0.2: 10, inf: 10}, 0.5) == pytest.approx(0.15)
    assert quantile({0.1: 0, inf: 10}, 0.5) == 0.1
    assert quantile({0.1: 0, inf: 0}, 0.5) is None


def test_the_host_is_read_from_proc() -> None:
    host = Host(Path("/"))
    assert host.row() is None
    time.sleep(0.05)
    row = host.row()
    assert row is not None
    assert 0 <= row.get("cpu_pct", 0) <= 100
    assert row["memory_used_mib"] > 0
    assert row["disk_used_mib"] > 0
    assert row["network_kib_per_s"] >= 0


def test_a_host_counts_whole_disks_and_no_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    monkeypatch.setattr("psutil.PROCFS_PATH", str(tmp_path))
    memory = {"MemTotal": 2048, "MemAvailable": 1024}
    names = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Active", "Inactive", "Shmem", "Slab")
    (tmp_path / "meminfo").write_text("".join(f"{name}: {memory.get(name, 1)} kB\n" for name in names))

    def counters(ticks: int, sectors: int, received: int) -> None:
        (tmp_path / "stat").write_text(f"cpu {ticks} 0 0 {3 * ticks} 0 0 0 0 0 0\n")
        disk = "8 {n} {name} 1 0 {s} 0 1 0 {s} 0 0 0 0\n"
        (tmp_path / "diskstats").write_text(
            "".join(
                disk.format(n=n, name=name, s=sectors)
                for n, name in enumerate(("nvme0n1", "nvme0n1p1", "dm-0", "loop0"))
            )
        )
        (tmp_path / "net" / "dev").write_text(
            f"a\nb\n    lo: 999{' 0' * 7} 999{' 0' * 7}\n  eth0: {received}{' 0' * 7} {received}{' 0' * 7}\n"
        )

    host = Host(Path("/"))
    counters(100, 0, 0)
    host.row()
    counters(200, 1024, 512)
    row = host.row()
    assert row is not None
    assert row["cpu_pct"] == 25
    assert row["disk_kib_per_s"] * row["seconds"] == pytest.approx(1024)
    assert row["network_kib_per_s"] * row["seconds"] == pytest.approx(1)
    assert row["memory_used_mib"] == 1
