"""A server that answers as Prometheus, Thanos, Mimir and VictoriaMetrics do, or as none of them does."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import polars as pl
import pytest

from clusterctl.errors import SpecError
from clusterctl.store import open_source, open_store, prometheus_api
from clusterctl.store.prometheus import Prometheus
from planners.telemetry.tables import schema

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = {"start": NOON, "end": NOON + timedelta(hours=1)}
TEN_PAST = NOON.timestamp() + 600
HELD = {
    "Hostname": "node-1",
    "UUID": "GPU-604ac76c",
    "container": "dcgm-exporter",
    "device": "nvidia0",
    "exported_pod": "train-0",
    "exported_namespace": "lab",
    "gpu": "0",
    "instance": "10.0.0.1:9400",
    "job": "dcgm",
    "modelName": "NVIDIA H100",
    "namespace": "gpu-operator",
    "pod": "dcgm-exporter-x7",
}
FREE = {name: text for name, text in HELD.items() if not name.startswith("exported_")} | {"gpu": "1"}
AGENT = {
    "hostname": "node-1",
    "gpu": "0",
    "instance": "node-1:9401",
    "job": "clusterctl",
    "run": "r1",
    "role": "trainer",
    "model": "NVIDIA H100",
}


class Server:
    """`answer(query)` gives status and body, or labels with values at ten past noon; `asked` is what came."""

    def __init__(self) -> None:
        self.answer: Callable[[str], object] = lambda query: {}
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = {
                    name: values[0]
                    for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
                }
                outer.asked.append((self.path, form, dict(self.headers)))
                said = outer.answer(form["query"])
                status, body = said if isinstance(said, tuple) else (200, outer.success(said, form))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients may hang up
        self.where = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def success(self, said: object, form: dict[str, str]) -> object:
        if isinstance(said, dict) and "status" in said:
            return said
        pairs = said if isinstance(said, list) else []
        if form["query"].endswith("s]"):  # one series as it was scraped, every 15 s
            result = [{"metric": {}, "values": [[TEN_PAST - 15 * i, "1"] for i in range(40, 0, -1)]}]
        elif "step" in form:
            result = [{"metric": labels, "values": [[TEN_PAST, str(value)]]} for labels, value in pairs]
        else:
            result = [{"metric": labels, "value": [TEN_PAST, str(value)]} for labels, value in pairs]
            return {"status": "success", "data": {"resultType": "vector", "result": result}}
        return {"status": "success", "data": {"resultType": "matrix", "result": result}}

    def series(self, values: dict[str, list[tuple[dict[str, str], object]]]) -> None:
        """Answer each query by the name of the metric in it."""

        def answer(query: str) -> list[tuple[dict[str, str], object]]:
            pairs = next((pairs for name, pairs in values.items() if name in query), [])
            return [(labels, int(float(value) < 1)) for labels, value in pairs] if "< bool" in query else pairs

        self.answer = answer


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.http.shutdown()
    started.http.server_close()


@pytest.fixture
def source(server: Server) -> Prometheus:
    return Prometheus(f"prometheus+{server.where}", timeout_seconds=1)


def test_what_a_dcgm_exporter_knows_is_read(server: Server, source: Prometheus) -> None:
    server.series(
        {
            "FB_USED": [(HELD, 40), (FREE, 40)],
            "GPU_UTIL": [(HELD, 87.6), (FREE, 0)],
            "GPU_TEMP": [(HELD, "NaN"), (FREE, 300)],
            "POWER_USAGE": [(HELD, 9223372036854775794), (FREE, -1)],
            "ENERGY": [(HELD, 400.4)],
            "PIPE_TENSOR": [(HELD, 12.3)],
        }
    )
    rows = source.read("gpu", step_seconds=600, **HOUR).sort("gpu")
    assert rows.schema == schema("gpu")
    assert rows.select(
        "at", "node", "gpu", "run", "role", "reason", "seconds", "gpu_util_pct", "tensor_active_pct", "energy_j"
    ).rows() == [
        (NOON + timedelta(minutes=10), "node-1", "0", "lab/train-0", None, None, 600.0, 88, 12, 400),
        (NOON + timedelta(minutes=10), "node-1", "1", None, None, "no_process", 600.0, 0, None, None),
    ]
    assert rows["temperature_c"].to_list() == rows["power_w"].to_list() == [None, None]  # no number of theirs
    assert source.problems() == ()


def test_of_an_agent_and_a_dcgm_exporter_on_one_gpu_the_agent_counts(server: Server, source: Prometheus) -> None:
    idle = AGENT | {"reason": "waiting_sandbox"}
    server.series(
        {
            "FB_USED": [(HELD, 20), (AGENT, 40)],
            "idle_seconds": [(idle, 150)],
            "GPU_UTIL": [(HELD, 60), (AGENT, 60)],
            "ENERGY": [(HELD, 100), (AGENT, 100)],
        }
    )
    rows = source.read("gpu", step_seconds=600, **HOUR).sort("seconds")
    assert rows.select("run", "role", "reason", "seconds", "energy_j").rows() == [
        ("r1", "trainer", "waiting_sandbox", 150.0, 25),
        ("r1", "trainer", None, 450.0, 75),
    ]


def test_no_more_is_asked_than_is_wanted(server: Server, source: Prometheus) -> None:
    server.series({"FB_USED": [(AGENT, 40)]})
    source.read("gpu", step_seconds=600, columns=["node", "seconds"], nodes=['a"b'], run="r1", **HOUR)
    form = next(form for _, form, _ in server.asked if form.get("step") == "600" and "topk" not in form["query"])
    assert len(server.asked) == 4  # how often it is scraped, what is there, and the samples of one step of either
    assert form | {"query": ""} == {
        "query": "",
        "start": f"{TEN_PAST}",
        "end": f"{NOON.timestamp() + 3600}",
        "step": "600",
    }
    assert 'count_over_time(DCGM_FI_DEV_FB_USED{exported_hostname=~"a\\"b",exported_run="r1"}[600s])' in form["query"]
    long = {"start": NOON, "end": NOON + timedelta(days=365)}
    source.read("host", step_seconds=10, columns=["cpu_pct"], **long)
    steps = [
        (float(form["end"]) - float(form["start"])) / float(form["step"])
        for _, form, _ in server.asked
        if "step" in form
    ]
    assert max(steps) <= 11_000


def test_hosts_sandboxes_and_devices_are_read(server: Server, source: Prometheus) -> None:
    server.series(
        {
            "host_memory": [(AGENT, 40)],
            "host_cpu": [(AGENT, 12.5)],
            "requests_total": [(AGENT, 3.2)],
            "sandbox": [(AGENT, 40)],
            "FB_": [(AGENT, 1000)],
        }
    )
    assert source.read("host", step_seconds=600, **HOUR).select("node", "cpu_pct", "disk_used_mib").rows() == [
        ("node-1", 12.5, None)
    ]
    (sandbox,) = source.read("sandbox", step_seconds=600, **HOUR).iter_rows(named=True)
    assert (sandbox["run"], sandbox["seconds"], sandbox["finished"], sandbox["running"]) == ("r1", 600.0, 3, 40)
    (device,) = source.read("devices", **HOUR).iter_rows(named=True)
    assert (device["at"], device["model"], device["fb_total_mib"]) == (NOON + timedelta(hours=1), "NVIDIA H100", 3000)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ((200, b"<html>Grafana</html>"), "answers, but not as a Prometheus does"),
        ((200, b""), "answers, but not as a Prometheus does"),
        ((200, b'{"status":"success"}'), "answers, but not as a Prometheus does"),
        (
            (200, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}'),
            "answers, but not as a Prometheus does",
        ),
        (
            (
                200,
                b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"gpu":"0"},"values":[[1e300,"1"]]}]}}',
            ),
            "answers, but not as a Prometheus does",
        ),
        ((200, b"[" * 200_000), "answers, but not as a Prometheus does"),
        ((200, b"[1,2]"), "answers, but not as a Prometheus does"),
        ((200, b"\xff\xfe\x00"), "answers, but not as a Prometheus does"),
        ((404, b"404 page not found"), "refuses: 404 Not Found"),
        ((401, b"Unauthorized"), "refuses: 401 Unauthorized"),
        ((401, b"no org id"), "refuses: 401 Unauthorized"),
        ((302, b""), "refuses: 302 Found"),
        (
            (
                422,
                b'{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}',
            ),
            "refuses: 422 Unprocessable Entity execution: query processing would load too many samples into memory",
        ),
        (
            (503, b'{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}'),
            "refuses: 503 Service Unavailable timeout: query timed out in expression evaluation",
        ),
        ((200, b'{"status":"error","errorType":"bad_data","error":"nonsense"}'), "refuses: 200 OK bad_data: nonsense"),
    ],
)
def test_a_bad_answer_is_one_clear_message(server: Server, source: Prometheus, said: object, problem: str) -> None:
    server.answer = lambda query: said
    for table in ("gpu", "host", "sandbox", "devices", "notes"):
        assert source.read(table, step_seconds=600, **HOUR).is_empty()
        assert source.problems() == (f"{server.where} {problem}",)
    assert source.span() is None


def test_a_bad_answer_is_forgotten_when_all_goes_well(server: Server, source: Prometheus) -> None:
    server.answer = lambda query: (404, b"404 page not found")
    for table in ("gpu", "host", "sandbox", "devices", "notes"):
        source.read(table, **HOUR)
    assert source.span() is None
    assert len(source.problems()) == 1
    server.answer = lambda query: []
    for table in ("gpu", "host", "sandbox", "devices", "notes"):
        source.read(table, **HOUR)
    assert source.span() is None
    assert source.problems() == ()


def test_what_one_query_lacks_the_others_show(server: Server, source: Prometheus) -> None:
    values = {"FB_USED": [(HELD, 40)], "GPU_UTIL": [(HELD, 50)]}
    answers = lambda query: next((pairs for name, pairs in values.items() if name in query), [])  # noqa: E731
    server.answer = lambda query: (500, b"oops") if "POWER" in query else answers(query)
    rows = source.read("gpu", step_seconds=600, **HOUR)
    assert rows.select("gpu_util_pct", "power_w").rows() == [(50, None)]
    assert source.problems() == (f"{server.where} refuses: 500 Internal Server Error",)


def test_partial_answers_of_thanos_and_victoriametrics_are_read(server: Server, source: Prometheus) -> None:
    warning = "No StoreAPIs matched for this query"
    result = [{"metric": {"__name__": "x", **HELD}, "values": [[TEN_PAST, "40"]]}]
    body = {
        "status": "success",
        "isPartial": False,
        "data": {"resultType": "matrix", "result": result},
        "warnings": [warning],
        "stats": {"seriesFetched": "1", "executionTimeMsec": 2},
    }
    server.answer = lambda query: body
    assert source.read("gpu", step_seconds=600, columns=["node", "seconds"], **HOUR)["node"].to_list() == ["node-1"]
    assert source.problems() == (f"{server.where} warns: {warning}",)


def test_a_server_that_is_slow_or_gone_costs_little_time(server: Server, source: Prometheus) -> None:
    ends = threading.Event()
    server.answer = lambda query: ends.wait(120)
    began = time.monotonic()
    assert source.read("gpu", step_seconds=600, columns=["seconds"], **HOUR).is_empty()
    assert time.monotonic() - began < 60
    ends.set()
    assert source.problems() == (f"{server.where} does not answer in time",)
    gone = Prometheus("prometheus+http://127.0.0.1:9", timeout_seconds=1)
    assert gone.read("gpu", **HOUR).is_empty()
    assert gone.problems() == ("http://127.0.0.1:9 does not answer: Connection refused",)


def test_absent_columns_are_noted_unless_nobody_answers(server: Server, source: Prometheus) -> None:
    server.series({"DCGM_FI_DEV_GPU_UTIL": [({}, 8)]})
    notes = source.read("notes", **HOUR)
    assert set(notes["kind"]) == {"absent"}
    assert "gpu_util_pct" not in notes["subject"].to_list()
    text = notes.filter(pl.col("subject") == "temperature_c")["text"][0]
    assert text == f"{server.where} has no series DCGM_FI_DEV_GPU_TEMP"


def test_secrets_come_from_file_or_environment_and_are_never_shown(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = lambda query: (401, b"go away")
    monkeypatch.setenv("CLUSTERCTL_PROMETHEUS_TOKEN", "of-environment")
    source = open_source(f"prometheus+{server.where}/prom?tenant=team-a")
    source.read("host", **HOUR)
    path, _, headers = server.asked[-1]
    assert path.startswith("/prom/api/v1/query")
    assert (headers["Authorization"], headers["X-Scope-Orgid" if "X-Scope-Orgid" in headers else "X-Scope-OrgID"]) == (
        "Bearer of-environment",
        "team-a",
    )
    (tmp_path / "token").write_text("of-file\n")
    monkeypatch.setenv("CLUSTERCTL_PROMETHEUS_TOKEN_FILE", str(tmp_path / "token"))
    named = open_source(f"prometheus+{server.where}".replace("//", "//1234%40x@"))
    named.read("host", **HOUR)
    assert server.asked[-1][2]["Authorization"] == f"Basic {base64.b64encode(b'1234@x:of-file').decode()}"
    said = " ".join((*source.problems(), *named.problems()))
    assert "401" in said
    assert not any(secret in said for secret in ("of-file", "of-environment", "1234"))
    monkeypatch.setenv("CLUSTERCTL_PROMETHEUS_TOKEN_FILE", str(tmp_path / "gone"))
    with pytest.raises(SpecError, match=r"gone: the token can't be read: No such file"):
        open_source(f"prometheus+{server.where}")


@pytest.mark.parametrize(
    "url",
    ["prometheus+http://user:hunter2@host", "prometheus+ftp://host", "prometheus+http://", "prometheus+http://[::1"],
)
def test_a_url_that_is_none_or_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(SpecError) as caught:
        open_source(url)
    assert "hunter2" not in caught.value.message + (caught.value.hint or "")


def test_a_prometheus_is_read_only_and_folders_are_sources_too(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="it can be read"):
        open_store("prometheus+http://127.0.0.1:9090")
    assert open_source(str(tmp_path)).span() is None


ODD_VALUES = ("NaN", "+Inf", "-Inf", "1e999", "-1", "1e300", 1e308, None, [], "x", "0x10", True, "9" * 400, 10**400)
ODD_LABELS = (
    {},
    {"gpu": "", "instance": ""},
    {"gpu": None, "Hostname": 5},
    {"gpu": "\ud800", "hostname": "\0"},
    {"model": "x" * 70_000},
    [],
    None,
    "x",
)
ODD_ANSWERS = (
    b"", b"<html><body>login</body></html>", b'{"status": "success", "data": {"resultType": "mat', b"\xff\xfe", b"null", b"[" * 100_000,
    {"status": "success"}, {"status": "success", "data": []}, {"status": "success", "data": {"resultType": "matrix", "result": 5}},
    {"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}, {"status": "success", "data": {"result": [{}]}},
    {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [["x", "1"]]}]}},
    {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1e99, "1"], [1]]}]}},
    {"status": "success", "data": {"resultType": "vector", "result": []}, "warnings": 5}, {"status": "error"}, {"status": 5}, 5, "x",
)  # fmt: skip


@pytest.mark.parametrize("table", ["gpu", "host", "devices"])
def test_odd_answers_are_left_out_or_a_problem(server: Server, source: Prometheus, table: str) -> None:
    def read() -> pl.DataFrame:
        rows = source.read(table, start=NOON, end=NOON + timedelta(hours=1), step_seconds=600)
        assert rows.schema == schema(table)
        assert not [name for name in rows.columns if rows[name].dtype.is_float() and not rows[name].is_finite().all()]
        return rows

    for value in ODD_VALUES if table != "host" else ():
        server.answer = lambda query, value=value: [(HELD, value), (AGENT, value)]  # type: ignore[misc]
        read()
    for labels in ODD_LABELS if table == "gpu" else ():
        server.answer = lambda query, labels=labels: [(labels, 5), (HELD, 60)]  # type: ignore[misc]
        read()
    for answer in ODD_ANSWERS if table == "host" else ():
        server.answer = lambda query, answer=answer: (200, answer)  # type: ignore[misc]
        read()
        assert source.problems() or answer["data"] == []  # type: ignore[index,call-overload]


def test_an_answer_that_never_ends_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_api, "MAX_ANSWER_BYTES", 1 << 20)
    server.answer = lambda query: (200, b" " * (2 << 20))
    source = Prometheus(f"prometheus+{server.where}")
    assert source.span() is None
    assert source.problems() == (
        f"{server.where} answers with more than 1 MiB: ask for a shorter time or a longer step",
    )
