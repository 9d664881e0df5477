"""The agent's page for Prometheus: GET /metrics, on loopback unless there is a token."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_SECONDS = 60
"""A connection that sends nothing for so long is closed."""


def split_address(listen: str) -> tuple[str, int]:
    """`HOST:PORT`, or `:PORT` for loopback.  Raises SpecError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise SpecError(f"--listen {listen}: no port", hint="write HOST:PORT, such as 127.0.0.1:9400")
    return host, int(port)


def start(listen: str, token: str | None, page: Callable[[], str]) -> str:
    """Serve `page` in the background; returns the address.

    Raises SpecError for an address that can't be had, or can be reached from outside without a token.
    """
    host, port = split_address(listen)
    try:
        outside = host != "localhost" and not ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise SpecError(f"--listen {listen}: {host} is no IP address") from error
    if outside and token is None:
        hint = "give a --token-file, or listen on 127.0.0.1"
        raise SpecError(f"{host} can be reached from outside this machine", hint=hint)
    handler = type("Handler", (_Handler,), {"page": staticmethod(page), "token": token})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise SpecError(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another --listen") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="serve").start()
    return f"http://{host}:{server.server_port}/metrics"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    page: Callable[[], str]
    token: str | None

    def do_GET(self) -> None:
        said = self.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if self.token is not None and not hmac.compare_digest(said, self.token.encode()):
            status, text = HTTPStatus.UNAUTHORIZED, "send the agent's token: `Authorization: Bearer TOKEN`\n"
        elif self.path != "/metrics":
            status, text = HTTPStatus.NOT_FOUND, "see /metrics\n"
        else:
            status, text = HTTPStatus.OK, self.page()
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is no news."""
