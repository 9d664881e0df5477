"""The sandbox server: SandboxFusion's interface over HTTP, a thread for each connection.

It keeps nothing: a request's files live in its sandbox's memory, and sandboxes die with the server, even by `kill -9`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import resource
import select
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from pydantic import ValidationError

from clusterctl import __version__
from clusterctl.access import require_token
from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.sandbox.fusion import RunCodeRequest, response
from clusterctl.sandbox.isolation import Isolation
from clusterctl.sandbox.languages import LANGUAGES, languages
from clusterctl.sandbox.orphaned_sandboxes import end_orphans
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import Policy, ProgramRequest, Verdict

MAX_REQUEST_BYTES = 64 << 20
IDLE_SECONDS = 60
"""A connection that sends nothing for so long is closed."""
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


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    """What is answered instead: status and detail."""


class SandboxServer(ThreadingHTTPServer):
    """`workers` requests run at once, `queue` more wait, others are told to come again.  Start it by
    `serve_forever`."""

    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        """A client that went away is no event."""

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
        require_token(address[0], token)
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (most_files, most_files)
        )  # for 1,000 connections and their sandboxes
        self.policy, self.isolation, self.workers, self.token = policy, isolation, workers, token
        self.metrics = Metrics(workers)
        end_orphans()
        self._places, self._lock = threading.Semaphore(workers), threading.Lock()
        self._num_inside, self._room = 0, workers + queue
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, _SandboxHandler)
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise SpecError(
                f"cannot listen on {where}: {error.strerror}", hint="choose another --host or --port"
            ) from error

    def run_code(self, body: bytes, is_gone: Callable[[], bool]) -> str:
        """`POST /run_code`; does not begin for a client that `is_gone` meanwhile: it asks again, or has given up."""
        began, language, result = time.monotonic(), "unknown", "refused"
        try:
            asked = RunCodeRequest.model_validate_json(body)
            language = asked.language if asked.language in LANGUAGES else language
            verdict = self._in_turn(asked.request(), is_gone)
            result = verdict.status.value
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, details) from error
        except SpecError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.message) from error
        finally:
            self.metrics.requests.labels(language, result).inc()
            self.metrics.request_seconds.observe(time.monotonic() - began)
        for phase in filter(None, (verdict.compile, verdict.run)):
            self.metrics.start_seconds.observe(phase.start_seconds)
            self.metrics.cpu_seconds.inc(phase.cpu_seconds or 0.0)
        return json.dumps(response(verdict))

    def _in_turn(self, request: ProgramRequest, is_gone: Callable[[], bool]) -> Verdict:
        with self._lock:
            if self._num_inside == self._room:  # verl asks again after this status, and after no other
                raise _Refused(HTTPStatus.GATEWAY_TIMEOUT, "the queue is full; come again")
            self._num_inside += 1
        try:
            with self._places:
                if is_gone():
                    raise _Refused(HTTPStatus.GATEWAY_TIMEOUT, "the client has gone")
                return run_program(request, self.policy, self.isolation)
        finally:
            with self._lock:
                self._num_inside -= 1

    def page(self, path: str) -> str:
        """What a GET answers."""
        if path == "/v1/ping":
            return '"pong"'
        if path == "/health":
            usable = {name: absent is None for name, absent in languages().items()}
            isolation = {"isolation": self.isolation.name, "weaker": self.isolation.weaker}
            return json.dumps({"status": "ok", "version": __version__, **isolation, "languages": usable})
        if path == "/metrics":
            running = min(self._num_inside, self.workers)
            self.metrics.running.set(running)
            self.metrics.queued.set(self._num_inside - running)
            return self.metrics.page()
        raise _Refused(HTTPStatus.NOT_FOUND, f"no page {path}")


class _SandboxHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"clusterctl/{__version__}"
    timeout = IDLE_SECONDS
    server: SandboxServer

    def do_GET(self) -> None:
        self._answer(lambda: self.server.page(self.path))

    def do_POST(self) -> None:
        self._answer(self._post)

    def _post(self) -> str:
        body = self._body()
        if self.path != "/run_code":
            raise _Refused(HTTPStatus.NOT_IMPLEMENTED, f"{self.path} is not served here: {UNSERVED}")
        return self.server.run_code(body, self._is_gone)

    def _is_gone(self) -> bool:
        poller = select.poll()
        poller.register(self.connection, select.POLLIN)
        return bool(poller.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _body(self) -> bytes:
        """The request's JSON.  Its content type keeps web pages out: browsers ask before they send one elsewhere."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "send Content-Length")
        if int(length) > MAX_REQUEST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_REQUEST_BYTES >> 20} MiB")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json")
        self._is_read = True
        return self.rfile.read(int(length))

    def _answer(self, handle: Callable[[], str]) -> None:
        self._is_read = self.command == "GET"
        try:
            token = self.server.token
            if token is not None and self.path != "/v1/ping" and not hmac.compare_digest(self._token(), token.encode()):
                hint = "`Authorization: Bearer TOKEN`, or http://any:TOKEN@HOST:PORT as the URL"
                raise _Refused(HTTPStatus.UNAUTHORIZED, f"send the server's token: {hint}")
            status, text = HTTPStatus.OK, handle()
        except _Refused as refused:
            status, text = refused.args[0], json.dumps({"detail": refused.args[1]})
        except ClusterctlError as error:
            status, text = HTTPStatus.INTERNAL_SERVER_ERROR, json.dumps({"detail": error.message})
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if self.path == "/metrics" else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        if not self._is_read:  # what is left of the request can't be told from the next one
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text.encode())

    def _token(self) -> bytes:
        """What the client sent, as a bearer or, by clients that know nothing but a URL, as the password in it."""
        kind, _, said = self.headers.get("Authorization", "").partition(" ")
        try:
            return base64.b64decode(said).partition(b":")[2] if kind == "Basic" else said.encode()
        except binascii.Error:
            return b""

    def log_message(self, *_: object) -> None:
        """The counters tell what happened; programs stay out of logs."""
