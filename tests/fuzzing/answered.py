"""Malformed answers of servers, and what jobs, exporters and clients send: Prometheus, price interfaces, reports,
phases, metrics, HTTP requests to a sandbox server."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import httpx
import polars as pl
from attack import Attack
from mutations import broken, broken_bytes

from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.refresh.reading import Asked, Cache
from clusterctl.catalog.refresh.refresh_book import READERS
from clusterctl.catalog.refresh.transport import Transport
from clusterctl.foreign_files import read_lines
from clusterctl.runs.job_reports import CostReport, StepReport, read_report
from clusterctl.runs.run_alerts import read_samples
from clusterctl.telemetry import exposition
from clusterctl.telemetry.gpu_processes import GpuProcesses
from clusterctl.telemetry.phase_socket import Phases

sys.path.append(str(Path(__file__).resolve().parents[1] / "clusterctl" / "catalog"))
import fake_clouds as fake

LABELS = {
    "hostname": "n",
    "gpu": "0",
    "instance": "n:9400",
    "job": "j",
    "run": "r",
    "role": "trainer",
    "model": "H100",
    "reason": "no_process",
}
TABLES = ("gpu", "host", "sandbox", "devices", "notes")


class _Prometheus(BaseHTTPRequestHandler):
    """Answers each query with a series of the time that it asks for, something in it wrong."""

    rng = random.Random(0)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        end = float(form.get("end", form.get("time", ["1"]))[0])
        samples = [[end - 60 * minute, str(minute % 7)] for minute in range(5, -1, -1)]
        one = {"values": samples} if "step" in form or form["query"][0].endswith("s]") else {"value": samples[-1]}
        kind = "matrix" if "values" in one else "vector"
        good = {"status": "success", "data": {"resultType": kind, "result": [{"metric": LABELS, **one}]}}
        content = json.dumps(good).encode()
        content = broken(content, self.rng) if self.rng.random() < 0.5 else content
        self.send_response(self.rng.choice((200, 200, 200, 200, 400, 302, 500)))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@cache
def _prometheus() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Prometheus)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return f"prometheus+http://127.0.0.1:{server.server_port}"


def prometheus(rng: random.Random, folder: Path) -> Attack:
    """A Prometheus with odd answers."""
    _Prometheus.rng = rng
    export = ["export", rng.choice(TABLES), "--step", rng.choice(("0", "60")), "--format", rng.choice(("csv", "json"))]
    return Attack(args=["telemetry", *rng.choice((export, export, ["status", "--json"])), "--store", _prometheus()])


@cache
def _shapes() -> pl.DataFrame:
    return load_book().frames().shapes


class _Pages(Transport):
    """A price interface whose good answers are broken on the way."""

    def __init__(self, cloud: str, rng: random.Random) -> None:
        super().__init__(cloud, "http://127.0.0.1:1", {}, sleep=lambda _: None)
        self.rng, self.left = rng, 30

    @contextmanager
    def _get(self, url: str, **_: Any) -> Iterator[httpx.Response]:
        self.left -= 1
        content, headers = _page_of(self.cloud, url, self.rng), httpx.Headers({"ETag": '"a"'})
        if self.rng.random() < 0.5:
            content = broken(content, self.rng) if content[:1] == b"{" else broken_bytes(content, self.rng)
        if self.left < 0:
            content = b"null"  # endless pages end by the reader's own limit, after thousands
        chunks = lambda *_: iter([content[:100], content[100:]])  # noqa: E731
        yield SimpleNamespace(iter_bytes=chunks, iter_raw=chunks, headers=headers, status_code=200)  # type: ignore[misc]


def _page_of(cloud: str, url: str, rng: random.Random) -> bytes:
    if cloud == "gcp":
        skus = [
            fake.gcp_sku("E2 Instance Core running in Americas", 0.02),
            fake.gcp_sku("E2 Instance Ram running in Americas", 0.003, unit="GiBy.h"),
        ]
        return json.dumps({"skus": [*skus, *fake.a3_skus()], "nextPageToken": rng.choice(("", "", "more"))}).encode()
    if cloud == "azure":
        link = rng.choice((None, None, url))
        return json.dumps(fake.azure_page([fake.azure_item("Standard_D2s_v5", 0.1)], link)).encode()
    if url.endswith("region_index.json"):
        return json.dumps(
            {"regions": {"us-east-1": {"currentVersionUrl": f"{fake.aws_path('us-east-1')}.json"}}}
        ).encode()
    return fake.aws_csv(fake.aws_row("p5.48xlarge", "55.04"), fake.reserved("p5.48xlarge", "30"))


def refresh(rng: random.Random, folder: Path) -> Attack:
    """The answers of one cloud."""
    cloud = rng.choice(("aws", "azure", "gcp"))
    asked = Asked(
        transport=_Pages(cloud, rng),
        cache=Cache(folder / "cache"),
        shapes=_shapes().filter(cloud=cloud),
        regions=rng.choice((None, ["us-east-1"])),
        today=date(2026, 11, 23),
        advance=lambda *_: None,
    )
    return Attack(act=lambda: READERS[cloud](asked) and None)


REPORTS = (
    {"step": 3, "of": 9, "at": "2026-05-04T12:00:00Z", "stage": "rlcef", "metrics": {"reward": 0.5}, "phases": {"generate": 3.5}},
    {"cost": "tokens", "at": "2026-05-04T12:00:00Z", "quantity": 5200, "unit": "output tokens", "name": "gpt-5", "usd": "0.5"},
    {"step": 3, "text": "answer", "problem": "two-sum"},
)  # fmt: skip


def reports(rng: random.Random, folder: Path) -> Attack:
    """Lines that a job has written: steps, costs, samples."""
    lines = [json.dumps(rng.choice(REPORTS)).encode() for _ in range(6)]
    content = (
        b"\n".join(broken(line, rng).replace(b"\n", b" ") if rng.random() < 0.6 else line for line in lines) + b"\n"
    )
    file = folder / "lines"
    file.write_bytes(broken_bytes(content, rng) if rng.random() < 0.2 else content)

    def act() -> None:
        for _, line in read_lines(file, 0):
            said = read_report(line)
            if isinstance(said, StepReport | CostReport):
                json.loads(said.model_dump_json())
            elif not said:
                raise AssertionError("no reason is given")
        for sample in read_samples(file):
            sample.text.encode("utf-8", "surrogatepass")

    return Attack(act=act)


def phases(rng: random.Random, folder: Path) -> Attack:
    """Datagrams of anybody on the machine."""
    known = Phases(GpuProcesses())
    sent = [
        rng.choice((b"generate r trainer", b"train", b"x" * 600, b"\xff\0 \n", b" ", b"weight_sync r " + bytes(300)))
        for _ in range(20)
    ]

    def act() -> None:
        for datagram in sent:
            line = broken_bytes(datagram, rng)[:512].decode("utf-8", "replace")
            known.record(line, rng.choice((0, -1, 1, 2**22, 2**31 - 1)), rng.random() * 1e6)
        known.of("r", "trainer", 0.0)

    return Attack(act=act)


METRICS = b"""# HELP a words
# TYPE a counter
a_total{gpu="0",run="r"} 5 1700000000
# TYPE b histogram
b_bucket{le="0.1"} 2
b_bucket{le="+Inf"} 3
b_sum 1.5
b_count 3
"""


def metrics(rng: random.Random, folder: Path) -> Attack:
    """A file in Prometheus' text format that a job offers to pass on."""
    (folder / "m.prom").write_bytes(broken_bytes(broken_bytes(METRICS, rng), rng))

    def act() -> None:
        with suppress(OSError, ValueError):  # what the agent says and leaves out
            exposition.read_file(folder / "m.prom", max_age_seconds=60)

    return Attack(act=act)


TARGETS: dict[str, Callable[[random.Random, Path], Attack]] = {
    "metrics": metrics,
    "phases": phases,
    "prometheus": prometheus,
    "refresh": refresh,
    "reports": reports,
}
