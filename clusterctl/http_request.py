"""HTTP/1.1 requests and answers.  The head of a request is read more strictly than the standard asks: one
Content-Length, no chunks, no folded lines, CRLF only.  So nothing can be read in two ways, here and by a proxy."""

from __future__ import annotations

import base64
import hmac
import re
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from clusterctl.access import is_own_host
from clusterctl.json_text import json_text

MAX_LINE_BYTES, MAX_HEAD_BYTES, MAX_HEADERS = 8 << 10, 16 << 10, 64
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_ONCE = {"host", "origin", "content-length", "content-type", "transfer-encoding", "authorization", "expect"}
"""Headers that may come once: of two, a proxy might believe the other one."""
NO_HTTP = re.compile(rb"(?<!\r)\n|\r(?!\n)(?!\Z)|\A[^A-Z]")
"""In the start of a head: a line's end that is no CRLF, or no method, as TLS would begin."""


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """What is answered instead: status and detail."""

    def __init__(self, status: HTTPStatus, detail: object) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By names in lower case."""
    keep_alive: bool
    connection: socket.socket
    body: bytes = b""

    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        poller = select.poll()
        poller.register(self.connection, select.POLLIN)
        with suppress(OSError):
            return bool(poller.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What is sent back."""

    body: bytes
    content_type: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK


def parse_head(head: bytes, connection: socket.socket) -> Request:
    """A request without its body.  Raises Refused for what isn't strictly HTTP/1.1."""
    first, *lines = head.split(b"\r\n")
    if len(first) > MAX_LINE_BYTES:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"a request line of more than {MAX_LINE_BYTES} bytes")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        version = re.search(rb" HTTP/[02-9]\.[0-9]$", first)
        status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if version else HTTPStatus.BAD_REQUEST
        raise Refused(status, "the request line is not `METHOD /path HTTP/1.1`")
    if len(lines) > MAX_HEADERS:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "a header that is not `Name: value` on one line")
        name, value = header[1].decode("ascii").lower(), header[2].decode("latin-1")
        if name in headers and name in _ONCE:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{name} more than once")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connection_says = headers.get("connection", "").lower()
    return Request(
        method=request_line[1].decode("ascii"),
        path=request_line[2].decode("ascii"),
        headers=headers,
        keep_alive="close" not in connection_says and (request_line[3] == b"1" or "keep-alive" in connection_says),
        connection=connection,
    )


def check_sender(request: Request, host: str, port: int, token: str | None) -> None:
    """Raises Refused for what a web page may have sent, by DNS rebinding too, or somebody without the token."""
    own, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not own:
        raise Refused(HTTPStatus.BAD_REQUEST, "send Host")
    if not is_own_host(own, host, port):
        raise Refused(HTTPStatus.FORBIDDEN, f"Host is not this server, {host}:{port}")
    if origin is not None and origin != f"http://{own}":
        raise Refused(HTTPStatus.FORBIDDEN, "no requests by web pages of others")
    if token is not None and not hmac.compare_digest(_token(request), token.encode()):
        hint = "`Authorization: Bearer TOKEN`, or http://any:TOKEN@HOST:PORT as the URL"
        raise Refused(HTTPStatus.UNAUTHORIZED, f"send the server's token: {hint}")


def body_bytes(request: Request, most_bytes: int) -> int:
    """Length of the body.  Raises Refused for headers that say it otherwise than by one Content-Length, for more than
    `most_bytes`, and for what isn't JSON by its type: browsers ask before they send that elsewhere."""
    headers = request.headers
    length = headers.get("content-length")
    if length is not None and ("transfer-encoding" in headers or not re.fullmatch(r"[0-9]{1,15}", length)):
        raise Refused(HTTPStatus.BAD_REQUEST, "send one Content-Length, a number, and no Transfer-Encoding")
    if request.method == "GET":
        if int(length or 0) or "transfer-encoding" in headers:
            raise Refused(HTTPStatus.BAD_REQUEST, "no GET with a body")
        return 0
    if request.method != "POST":
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "only GET and POST")
    if length is None:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "send Content-Length")
    if int(length) > most_bytes:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of more than {most_bytes >> 20} MiB")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise Refused(HTTPStatus.EXPECTATION_FAILED, "nothing but 100-continue can be expected")
    return int(length)


def _token(request: Request) -> bytes:
    """What the client sent, as a bearer or, by clients that know nothing but a URL, as the password in it."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    try:
        if kind.lower() == "basic":
            return base64.b64decode(text).partition(b":")[2]
    except ValueError:
        return b""
    return text.encode("latin-1") if kind.lower() == "bearer" else b""


def refusal(status: HTTPStatus, detail: object) -> Response:
    """In the shape of SandboxFusion's own (FastAPI's)."""
    return Response(status=status, body=json_text({"detail": detail}).encode())


def head_of(answer: Response, *, keep_alive: bool) -> bytes:
    """What comes before the answer's body."""
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", f"Content-Type: {answer.content_type}"]
    lines += [f"Content-Length: {len(answer.body)}", "X-Content-Type-Options: nosniff"]
    lines += [] if keep_alive else ["Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
