"""A small HTTP/1.1 server: a thread for each connection, and limits on the time and memory that a client can take.

Why not a library's: h11 and waitress accept requests that can be read in two ways (folded lines, chunks beside a
Content-Length), and none ends a slow request as a whole; a sandbox needs its own thread in any case.
"""

from __future__ import annotations

import mmap
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from clusterctl.access import require_token
from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.http_request import (
    MAX_HEAD_BYTES,
    MAX_LINE_BYTES,
    NO_HTTP,
    Refused,
    Request,
    Response,
    body_bytes,
    check_sender,
    head_of,
    parse_head,
    refusal,
)

IDLE_SECONDS, HEAD_SECONDS, BODY_SECONDS, SEND_SECONDS, LINGER_SECONDS = 60.0, 10.0, 60.0, 60.0, 2.0
"""Most that a connection may wait for another request; and that a head, a body and an answer may take as a whole."""
_CHUNK_BYTES = 1 << 16
SPARE_BYTES, SPARE_SHARE = 1 << 20, 8
"""Bodies leave that much of the budget to answers, an eighth at most: `/metrics` answers when they hold the rest."""


class Budget:
    """Bytes that all bodies and answers may take together."""

    def __init__(self, total_bytes: int) -> None:
        self._left_bytes, self._lock = total_bytes, threading.Lock()

    @contextmanager
    def holder(self) -> Iterator[Callable[..., None]]:
        """A function that takes bytes and leaves some to spare, or raises Refused; the end gives all of them back."""
        taken_bytes = 0

        def take(num_bytes: int, spare: int = 0) -> None:
            nonlocal taken_bytes
            with self._lock:
                if num_bytes > self._left_bytes - spare:
                    raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "too many large requests at once; come again")
                self._left_bytes -= num_bytes
                taken_bytes += num_bytes

        try:
            yield take
        finally:
            with self._lock:
                self._left_bytes += taken_bytes


class HttpServer(socketserver.ThreadingTCPServer):
    """Answers requests by `handle`, which may raise Refused.  Start it by `serve_forever`."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 1024

    def __init__(
        self,
        address: tuple[str, int],
        handle: Callable[[Request], Response],
        *,
        token: str | None,
        max_connections: int,
        max_body_bytes: int,
        max_bytes_in_flight: int,
        open_paths: tuple[str, ...] = (),
    ) -> None:
        """open_paths need no token.

        Raises SpecError when `address` can be reached from outside and there is no token, or can't be had.
        """
        require_token(address[0], token)
        self.handle, self.token, self.open_paths, self.max_body_bytes = handle, token, open_paths, max_body_bytes
        self.budget, self._connections = Budget(max_bytes_in_flight), threading.Semaphore(max_connections)
        self.spare_bytes = min(SPARE_BYTES, max_bytes_in_flight // SPARE_SHARE)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, _Connection)
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise SpecError(f"cannot listen on {where}: {error.strerror}", hint="choose another port") from error
        self.host, self.port = address[0], int(self.server_address[1])

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """A thread for the connection, while there are few."""
        if self._connections.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:  # no thread could be started
                self._connections.release()
                raise
        elif isinstance(request, socket.socket):
            answer = refusal(HTTPStatus.GATEWAY_TIMEOUT, "too many connections; come again")
            with suppress(OSError):
                request.setblocking(False)
                request.send(head_of(answer, keep_alive=False) + answer.body)
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client: object) -> None:
        """The connection, to its end."""
        try:
            super().process_request_thread(request, client)
        finally:
            self._connections.release()

    def handle_error(self, *_: object) -> None:
        """A client that went away is no event."""


class _Connection(socketserver.BaseRequestHandler):
    server: HttpServer
    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read, self._idle_seconds = bytearray(), HEAD_SECONDS

    def handle(self) -> None:
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        """Whether another request may follow."""
        keep_alive = False
        with self.server.budget.holder() as take:
            try:
                request = self._request(partial(take, spare=self.server.spare_bytes))
                if request is None:
                    return False
                keep_alive = request.keep_alive
                answer = self.server.handle(request)
                del request
                take(len(answer.body))
            except Refused as refused:
                answer = refusal(refused.status, refused.detail)
            except ClusterctlError as error:
                answer = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, error.message)
            except Exception as error:  # noqa: BLE001 - the client hears of it, and may ask again
                answer = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__} in the server")
            self.request.settimeout(SEND_SECONDS)  # of a whole `sendall`
            start = head_of(answer, keep_alive=keep_alive) + answer.body[:_CHUNK_BYTES]
            self.request.sendall(start)
            self.request.sendall(memoryview(answer.body)[_CHUNK_BYTES:])
        self._idle_seconds = IDLE_SECONDS
        if not keep_alive:
            self._linger()
        return keep_alive

    def _request(self, take: Callable[[int], None]) -> Request | None:
        """The next one; None when there is none.  Raises Refused; the rest of the connection can't be read then."""
        try:
            head = self._head()
            if head is None:
                return None
            request, server = parse_head(head, self.request), self.server
            token = None if request.path in server.open_paths else server.token
            check_sender(request, server.host, server.port, token)
            length = body_bytes(request, server.max_body_bytes)
            if "expect" in request.headers:
                self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            return replace(request, body=self._body(length, take))
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request took too long") from None
        except ConnectionError:
            return None

    def _head(self) -> bytes | None:
        """Up to the empty line; None when the client sends nothing."""
        began = bool(self._read)
        deadline = time.monotonic() + (HEAD_SECONDS if began else self._idle_seconds)
        while (end := self._read.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)) < 0:
            if len(self._read) >= MAX_LINE_BYTES and self._read.find(b"\r\n", 0, MAX_LINE_BYTES) < 0:
                raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"a request line of more than {MAX_LINE_BYTES} bytes")
            if len(self._read) >= MAX_HEAD_BYTES:
                raise Refused(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"headers of more than {MAX_HEAD_BYTES} bytes"
                )
            if NO_HTTP.search(self._read):
                raise Refused(HTTPStatus.BAD_REQUEST, "no HTTP request with lines that end in CRLF")
            try:
                chunk = self._receive(_CHUNK_BYTES, deadline)
            except TimeoutError:
                if not began:
                    return None
                raise
            if not chunk:
                if began:
                    raise Refused(HTTPStatus.BAD_REQUEST, "the request broke off")
                return None
            if not began:
                began, deadline = True, time.monotonic() + HEAD_SECONDS
            self._read += chunk
        head = bytes(self._read[:end])
        del self._read[: end + 4]
        return head

    def _body(self, length: int, take: Callable[[int], None]) -> bytes:
        """What comes is taken from the budget, not what is announced: that costs a client nothing, and us no memory."""
        deadline = time.monotonic() + BODY_SECONDS
        memory = bytearray(length) if length <= _CHUNK_BYTES else mmap.mmap(-1, length)
        num_read = min(length, len(self._read))
        memory[:num_read] = self._read[:num_read]
        del self._read[:num_read]
        take(num_read)
        while num_read < length:
            chunk = self._receive(length - num_read, deadline)
            if not chunk:
                raise ConnectionError("the body broke off")
            take(len(chunk))
            memory[num_read : num_read + len(chunk)] = chunk
            num_read += len(chunk)
        return bytes(memory)

    def _receive(self, most_bytes: int, deadline: float) -> bytes:
        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self.request.settimeout(left_seconds)
        return self.request.recv(min(most_bytes, _CHUNK_BYTES))

    def _linger(self) -> None:
        """Take what still comes, so that the answer isn't lost by a reset."""
        deadline = time.monotonic() + LINGER_SECONDS
        with suppress(OSError):
            self.request.shutdown(socket.SHUT_WR)
            while self._receive(_CHUNK_BYTES, deadline):
                pass
