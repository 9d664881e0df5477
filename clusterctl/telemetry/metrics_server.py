"""The agent's page for Prometheus: GET /metrics, on loopback unless there is a token."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from clusterctl.errors import SpecError
from clusterctl.http_request import Refused, Request, Response
from clusterctl.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CONNECTIONS = 64
MAX_BYTES_IN_FLIGHT = 64 << 20
"""Of all pages that are being sent."""


def start(listen: str, token: str | None, page: Callable[[], str]) -> str:
    """Serve `page` in the background at `HOST:PORT`, or `:PORT` for loopback; returns the URL.

    prometheus_client's own server asks for no token.  Raises SpecError for an address that can't be had, or can be
    reached from outside without a token.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise SpecError(f"--listen {listen}: no port", hint="write HOST:PORT, such as 127.0.0.1:9400")

    def answer(request: Request) -> Response:
        if (request.method, request.path) != ("GET", "/metrics"):
            raise Refused(HTTPStatus.NOT_FOUND, "GET /metrics is all there is")
        return Response(body=page().encode(), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    server = HttpServer(
        (host, int(port)),
        answer,
        token=token,
        max_connections=MAX_CONNECTIONS,
        max_body_bytes=0,
        max_bytes_in_flight=MAX_BYTES_IN_FLIGHT,
    )
    threading.Thread(target=server.serve_forever, daemon=True, name="serve").start()
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}/metrics"
