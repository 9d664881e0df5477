"""The agent's page for Prometheus: GET /metrics, on loopback unless there is a token."""

from __future__ import annotations

import hmac
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from clusterctl.access import require_token
from clusterctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_SECONDS = 60
"""A connection that sends nothing for so long is closed."""


def start(listen: str, token: str | None, page: Callable[[], str]) -> str:
    """Serve `page` in the background at `HOST:PORT`, or `:PORT` for loopback; returns the URL.

    prometheus_client's own server asks for no token.  Raises SpecError for an address that can't be had, or can be
    reached from outside without a token.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise SpecError(f"--listen {listen}: no port", hint="write HOST:PORT, such as 127.0.0.1:9400")
    require_token(host, token)
    handler = type("Handler", (_MetricsHandler,), {"page": staticmethod(page), "token": token})
    try:
        server = ThreadingHTTPServer((host, int(port)), handler)
    except OSError as error:
        raise SpecError(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another --listen") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="serve").start()
    return f"http://{host}:{server.server_port}/metrics"


class _MetricsHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    page: Callable[[], str]
    token: str | None

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if self.token is not None and not hmac.compare_digest(sent, self.token.encode()):
            status, text = HTTPStatus.UNAUTHORIZED, "send the agent's token: `Authorization: Bearer TOKEN`\n"
        elif self.path != "/metrics":
            status, text = HTTPStatus.NOT_FOUND, "see /metrics\n"
        else:
            status, text = HTTPStatus.OK, self.page()
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is no news."""
