"""The sandbox server: SandboxFusion's interface over HTTP, a thread for each connection.

It keeps nothing: a request's files live in its sandbox's memory, and sandboxes die with the server, even by `kill -9`.
"""

from __future__ import annotations

import ctypes
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from pydantic import ValidationError

from clusterctl import __version__
from clusterctl.errors import SpecError
from clusterctl.http_request import Refused, Request, Response
from clusterctl.http_server import HttpServer
from clusterctl.json_text import json_text
from clusterctl.sandbox.fusion import MAX_REQUEST_BYTES, parse_request, response
from clusterctl.sandbox.isolation import Isolation, weaknesses
from clusterctl.sandbox.languages import LANGUAGES, languages
from clusterctl.sandbox.orphaned_sandboxes import end_orphans
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import Policy

MAX_BYTES_IN_FLIGHT = 128 << 20
"""Of all bodies and answers together; more are told to come again."""
LARGE_BLOCK_BYTES = 128 << 10
SPARE_CONNECTIONS = 64
"""Beside one for each request that may run or wait."""
UNSERVED = "only single programs, POST /run_code; no notebooks (/run_jupyter), no data sets (/submit, /get_prompts)"
BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PREFIX = "clusterctl_sandbox"

disable_created_metrics()  # type: ignore[no-untyped-call]  # the time of a series' first value: Prometheus asks for none


class Metrics:
    """Counters of one server; any thread may change them."""

    def __init__(self, workers: int) -> None:
        """workers: programs that the server runs at once."""
        self._registry = CollectorRegistry()
        self.requests = Counter(
            f"{_PREFIX}_requests", "Requests by how they ended.", ["language", "result"], registry=self._registry
        )
        self.cpu_seconds = Counter(
            f"{_PREFIX}_cpu_seconds", "CPU time of programs that were not stopped.", registry=self._registry
        )
        self.running = Gauge(f"{_PREFIX}_running", "Programs that run now.", registry=self._registry)
        self.queued = Gauge(f"{_PREFIX}_queued", "Requests that wait.", registry=self._registry)
        Gauge(f"{_PREFIX}_workers", "Programs that may run at once.", registry=self._registry).set(workers)
        self.request_seconds = self._histogram("request", "From a whole request read to its answer, waiting included.")
        self.start_seconds = self._histogram("start", "From asking for a sandbox to its program's start.")

    def page(self) -> str:
        """All of it as it is now."""
        return generate_latest(self._registry).decode()

    def _histogram(self, name: str, words: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}_seconds", words, buckets=BUCKETS_SECONDS, registry=self._registry)


class SandboxServer(HttpServer):
    """`workers` requests run at once, `queue` more wait, others are told to come again.  Start it by
    `serve_forever`."""

    def __init__(
        self,
        address: tuple[str, int],
        isolation: Isolation,
        policy: Policy,
        *,
        workers: int,
        queue: int,
        token: str | None,
    ) -> None:
        """Raises SpecError when `address` can be reached from outside and there is no token, or can't be had."""
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (most_files, most_files)
        )  # for 1,000 connections and their sandboxes
        _give_memory_back()
        self.policy, self.isolation, self.workers = policy, isolation, workers
        self.metrics = Metrics(workers)
        self._places, self._lock = threading.Semaphore(workers), threading.Lock()
        self._num_inside, self._room = 0, workers + queue
        super().__init__(
            address,
            self._answer,
            token=token,
            max_connections=self._room + SPARE_CONNECTIONS,
            max_body_bytes=MAX_REQUEST_BYTES,
            max_bytes_in_flight=MAX_BYTES_IN_FLIGHT,
            open_paths=("/v1/ping",),
        )
        end_orphans()

    def _answer(self, request: Request) -> Response:
        if request.method == "GET":
            kind = "text/plain" if request.path == "/metrics" else "application/json"
            return Response(body=self._page(request.path).encode(), content_type=kind)
        if request.path != "/run_code":
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, f"{request.path} is not served here: {UNSERVED}")
        return Response(body=self._run_code(request))

    def _run_code(self, request: Request) -> bytes:
        """`POST /run_code`; does not begin for a client that is gone meanwhile: it asks again, or has given up."""
        began, language, result = time.monotonic(), "unknown", "refused"
        try:
            question = parse_request(request.body)
            language = question.language if question.language in LANGUAGES else language
            program = question.request()
            with self._turn(request):
                verdict = run_program(program, self.policy, self.isolation)
                result = verdict.status.value
                for phase in filter(None, (verdict.compile, verdict.run)):
                    self.metrics.start_seconds.observe(phase.start_seconds)
                    self.metrics.cpu_seconds.inc(phase.cpu_seconds or 0.0)
                return json_text(response(verdict), ensure_ascii=False).encode(errors="replace")
        except ValidationError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, _first_details(error)) from error
        except SpecError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.message) from error
        finally:
            self.metrics.requests.labels(language, result).inc()
            self.metrics.request_seconds.observe(time.monotonic() - began)

    @contextmanager
    def _turn(self, request: Request) -> Iterator[None]:
        """One of the places.  It is held until the answer is made: so many answers of any size are made at once."""
        with self._lock:
            if self._num_inside == self._room:  # verl asks again after this status, and after no other
                raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "the queue is full; come again")
            self._num_inside += 1
        try:
            with self._places:
                if request.is_gone():
                    raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "the client has gone")
                yield
        finally:
            with self._lock:
                self._num_inside -= 1

    def _page(self, path: str) -> str:
        """What a GET answers."""
        if path == "/v1/ping":
            return '"pong"'
        if path == "/health":
            usable = {name: absent is None for name, absent in languages().items()}
            isolation = {"isolation": self.isolation.name, "weaker": weaknesses(self.isolation)}
            return json_text({"status": "ok", "version": __version__, **isolation, "languages": usable})
        if path == "/metrics":
            running = min(self._num_inside, self.workers)
            self.metrics.running.set(running)
            self.metrics.queued.set(self._num_inside - running)
            return self.metrics.page()
        raise Refused(HTTPStatus.NOT_FOUND, f"no page {path}")


def _give_memory_back() -> None:
    """Let glibc return large blocks to the system once they are free: else a server stays as large as it ever was.

    mallopt(3): M_MMAP_THRESHOLD is -3, and grows up to 32 MiB where it isn't set.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-3, LARGE_BLOCK_BYTES)


def _first_details(error: ValidationError) -> list[dict[str, Any]]:
    """What FastAPI would say of the first mistakes, without the request's own long words."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[:10]
    return [{**detail, "loc": [str(part)[:100] for part in detail["loc"]]} for detail in details]
