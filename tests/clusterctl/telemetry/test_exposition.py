"""Prometheus' text format, the host's counters, and a sandbox server's page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.sandbox.metrics import Metrics
from clusterctl.telemetry.exposition import Family, add, parse, write
from clusterctl.telemetry.host import Host
from clusterctl.telemetry.remote_write import RemoteWrite, write_request
from clusterctl.telemetry.sandboxes import SandboxServer, quantile


@given(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), st.text(max_size=20)),
    st.floats(allow_nan=False),
)
def test_what_is_written_is_read_again_whatever_labels_hold(labels: dict[str, str], value: float) -> None:
    page = write({"a_total": Family(kind="counter", help="Words.", samples=[("a_total", labels, value)])})
    ((name, read, number),) = parse(page)["a_total"].samples
    assert (name, read, number) == ("a_total", labels, value)


def test_pages_are_merged_under_one_type() -> None:
    first, second = parse("# HELP a A.\n# TYPE a gauge\na 1\n"), parse('# TYPE a gauge\na{x="1"} 2\n')
    add(first, second, {"run": "r"})
    assert write(first) == '# HELP a A.\n# TYPE a gauge\na 1.0\na{x="1",run="r"} 2.0\n'
    with pytest.raises(ValueError, match="no sample"):
        parse("what is this\n")


def test_the_sandbox_servers_own_page_is_understood() -> None:
    metrics = Metrics()
    metrics.add("requests_total", 3, '{language="python",result="time limit"}')
    metrics.observe("start_seconds", 0.02)
    families = parse(metrics.text(running=1, queued=0, workers=4))
    assert families["clusterctl_sandbox_requests_total"].samples == [
        ("clusterctl_sandbox_requests_total", {"language": "python", "result": "time limit"}, 3.0)
    ]
    assert families["clusterctl_sandbox_start_seconds"].kind == "histogram"
    assert len(families["clusterctl_sandbox_start_seconds"].samples) == 16
    assert parse(write(families)) == families


def test_a_sandbox_row_is_what_happened_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, server = Metrics(), SandboxServer("http://127.0.0.1:1")
    monkeypatch.setattr("clusterctl.telemetry.sandboxes._get", lambda *_: metrics.text(running=2, queued=7, workers=4))
    metrics.add("requests_total", 5, '{language="python",result="finished"}')
    assert server.row(10.0) is None
    metrics.add("requests_total", 2, '{language="python",result="finished"}')
    metrics.add("requests_total", 1, '{language="cpp",result="time limit"}')
    metrics.add("requests_total", 1, '{language="cpp",result="refused"}')
    for _ in range(10):
        metrics.observe("start_seconds", 0.02)
    row = server.row(15.0)
    assert row is not None
    assert (row["seconds"], row["finished"], row["time_limits"], row["memory_limits"], row["errors"]) == (
        5.0,
        2,
        1,
        0,
        0,
    )
    assert (row["running"], row["queued"], row["workers"]) == (2, 7, 4)
    assert row["start_p50_ms"] == pytest.approx(17.5)
    assert "request_p50_ms" not in row
    metrics = Metrics()
    assert server.row(20.0) is None  # it was started anew: nothing is known of the time between


def test_a_server_that_is_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused"):
        SandboxServer("http://127.0.0.1:9").row(0.0)


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


def test_a_host_counts_whole_disks_and_no_loopback(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n")

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
            f"a\nb\n    lo: 999 0 0 0 0 0 0 0 999 0\n  eth0: {received} 0 0 0 0 0 0 0 {received} 0\n"
        )

    host = Host(Path("/"), tmp_path)
    counters(100, 0, 0)
    host.row()
    counters(200, 1024, 512)
    row = host.row()
    assert row is not None
    assert row["cpu_pct"] == 25
    assert row["disk_kib_per_s"] * row["seconds"] == pytest.approx(1024)
    assert row["network_kib_per_s"] * row["seconds"] == pytest.approx(1)
    assert row["memory_used_mib"] == 1


def test_a_write_request_is_the_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    families = {"a": Family(kind="gauge", help="A.", samples=[("a", {"z": "1", "B": "ü"}, 1.5)])}
    expected = (
        b"\x0a\x38"
        b"\x0a\x07\x0a\x01B\x12\x02\xc3\xbc"
        b"\x0a\x0d\x0a\x08__name__\x12\x01a"
        b"\x0a\x08\x0a\x03job\x12\x01c"
        b"\x0a\x06\x0a\x01z\x12\x011"
        b"\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\x90\x4e"
    )
    assert write_request(families, 10000, {"job": "c"}) == expected


def test_refusals_are_dropped_and_absences_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    families = {"a": Family(kind="gauge", help="A.", samples=[("a", {}, 1.0)])}
    push = RemoteWrite("http://x/write", None)
    answers = [(503, "later"), (400, "out of order"), (204, "")]
    monkeypatch.setattr(push, "_post", lambda _: answers.pop(0))
    push.add(families, 1, {})
    push.add(families, 2, {})
    push.send()
    assert (push.failure, push.dropped) == ("http://x/write answers 503: later", 0)
    push.send()
    assert (push.failure, push.dropped, answers) == (None, 1, [])
    monkeypatch.setattr("clusterctl.telemetry.remote_write.MAX_WAITING_BYTES", 100)
    for at in range(50):
        push.add(families, at, {})
    assert push.dropped > 1
