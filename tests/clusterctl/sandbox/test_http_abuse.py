"""Abuses of the HTTP interface over raw sockets: each gets its status, and the server is alive and small afterwards."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from raw_http import END, GET, OWN, POST, RUN, TWO, TYPE, asked, closes, send, status
from sandbox_serving import serving

from clusterctl.telemetry import metrics_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as url:
        yield int(url.rpartition(":")[2])


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return int(metrics_server.start("127.0.0.1:0", None, lambda: "up 1\n").split(":")[2].split("/")[0])


ABUSES = {
    # framing: nothing may be read in two ways
    "two lengths": (POST + OWN + TYPE + TWO + b"Content-Length: 3\r\n\r\n{}", 400),
    "the same length twice": (POST + OWN + TYPE + TWO + TWO + b"\r\n{}", 400),
    "a list of lengths": (POST + OWN + TYPE + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    "a length and chunks": (POST + OWN + TYPE + TWO + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and a length": (POST + OWN + TYPE + b"Transfer-Encoding: chunked\r\n" + TWO + b"\r\n0\r\n\r\n", 400),
    "an odd coding and a length": (POST + OWN + TYPE + b"Transfer-Encoding: xchunked\r\n" + TWO + b"\r\n{}", 400),
    "several codings": (POST + OWN + TYPE + TWO + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "a coding after an odd space": (POST + OWN + TYPE + TWO + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a coding before an odd space": (POST + OWN + TYPE + b"Transfer-Encoding\xa0: chunked\r\n" + TWO + b"\r\n{}", 400),
    "chunks": (POST + OWN + TYPE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411),
    "a bad chunk size": (POST + OWN + TYPE + b"Transfer-Encoding: chunked\r\n\r\n0xg\r\n", 411),
    "a length with a sign": (POST + OWN + TYPE + b"Content-Length: +2\r\n\r\n{}", 400),
    "a negative length": (POST + OWN + TYPE + b"Content-Length: -1\r\n\r\n", 400),
    "a length in hex": (POST + OWN + TYPE + b"Content-Length: 0x2\r\n\r\n{}", 400),
    "a length with an underscore": (POST + OWN + TYPE + b"Content-Length: 1_0\r\n\r\n", 400),
    "a length in other digits": (POST + OWN + TYPE + "Content-Length: ٢\r\n\r\n{}".encode(), 400),
    "a length of 5,000 digits": (POST + OWN + TYPE + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "an empty length": (POST + OWN + TYPE + b"Content-Length:\r\n\r\n", 400),
    "no length": (POST + OWN + TYPE + b"\r\n", 411),
    "too long a body": (POST + OWN + TYPE + b"Content-Length: 99999999999\r\n\r\n", 413),
    "GET with a body": (GET + OWN + TWO + b"\r\n{}", 400),
    "GET with chunks": (GET + OWN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded line": (GET + OWN + b"X: a\r\n b\r\n\r\n", 400),
    "a folded length": (POST + OWN + TYPE + b"Content-Length:\r\n 2\r\n\r\n{}", 400),
    "a bare LF": (GET + OWN + b"X: a\nY: b\r\n\r\n", 400),
    "only LF": (b"GET /metrics HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", 400),
    "a bare CR": (GET + OWN + b"X: a\rY: b\r\n\r\n", 400),
    "NUL in a header": (GET + OWN + b"X: a\0b\r\n\r\n", 400),
    "space before the colon": (POST + OWN + TYPE + b"Content-Length : 2\r\n\r\n{}", 400),
    "no colon": (GET + OWN + b"what\r\n\r\n", 400),
    "no header name": (GET + OWN + b": x\r\n\r\n", 400),
    "a header name that is no token": (GET + OWN + b"X(y): x\r\n\r\n", 400),
    "an empty line first": (b"\r\n" + GET + OWN + b"\r\n", 400),
    "a space first": (b" " + GET + OWN + b"\r\n", 400),
    "no version": (b"GET /metrics\r\n" + OWN + b"\r\n", 400),
    "HTTP/2": (b"GET /metrics HTTP/2.0\r\n" + OWN + b"\r\n", 505),
    "HTTP/1.11": (b"GET /metrics HTTP/1.11\r\n" + OWN + b"\r\n", 400),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
    "noise": (bytes(range(256)), 400),
    "two spaces": (b"GET  /metrics HTTP/1.1\r\n" + OWN + b"\r\n", 400),
    "a tab in the line": (b"GET\t/metrics HTTP/1.1\r\n" + OWN + b"\r\n", 400),
    "a whole URL": (b"GET http://127.0.0.1:PORT/metrics HTTP/1.1\r\n" + OWN + b"\r\n", 400),
    "a path that is no ASCII": ("GET /métrics HTTP/1.1\r\n".encode() + OWN + b"\r\n", 400),
    "a small method": (b"get /metrics HTTP/1.1\r\n" + OWN + b"\r\n", 400),
    "CONNECT": (b"CONNECT 10.0.0.1:80 HTTP/1.1\r\n" + OWN + b"\r\n", 400),
    "TRACE": (b"TRACE / HTTP/1.1\r\n" + OWN + b"\r\n", 501),
    "OPTIONS, as browsers ask": (b"OPTIONS /run_code HTTP/1.1\r\n" + OWN + b"\r\n", 501),
    "broken off": (GET + OWN, 400),
    # sizes
    "a long path": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + OWN + b"\r\n", 414),
    "an endless path": (b"GET /" + b"a" * 100_000, 414),
    "a long header": (GET + OWN + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "many headers": (GET + OWN + b"X: a\r\n" * 1000 + b"\r\n", 431),
    "endless headers": (GET + OWN + b"Xx: a\r\n" * 50_000, 431),
    # who asks
    "no Host": (GET + b"\r\n", 400),
    "an empty Host": (GET + b"Host:\r\n\r\n", 400),
    "two Hosts": (GET + OWN + OWN + b"\r\n", 400),
    "a rebound name": (GET + b"Host: evil.example:PORT\r\n\r\n", 403),
    "a name that begins like ours": (GET + b"Host: localhost.evil.example:PORT\r\n\r\n", 403),
    "user and password in Host": (GET + b"Host: 127.0.0.1:PORT@evil.example\r\n\r\n", 403),
    "another port": (GET + b"Host: 127.0.0.1:1\r\n\r\n", 403),
    "no port": (GET + b"Host: 127.0.0.1\r\n\r\n", 403),
    "a public address": (GET + b"Host: 192.0.2.1:PORT\r\n\r\n", 403),
    "a foreign page": (GET + OWN + b"Origin: http://evil.example\r\n\r\n", 403),
    "a page of another port": (GET + OWN + b"Origin: http://127.0.0.1:1\r\n\r\n", 403),
    "a page of a file": (GET + OWN + b"Origin: null\r\n\r\n", 403),
    "a form of a foreign page": (
        POST + OWN + b"Origin: https://evil.example\r\nContent-Type: text/plain\r\n" + TWO + b"\r\n{}",
        403,
    ),
    "a form of nobody": (POST + OWN + b"Content-Type: text/plain\r\n" + TWO + b"\r\n{}", 415),
    "two types": (POST + OWN + b"Content-Type: text/plain\r\n" + TYPE + TWO + b"\r\n{}", 400),
    "an expectation": (POST + OWN + TYPE + TWO + b"Expect: a-miracle\r\n\r\n", 417),
}


@pytest.mark.parametrize("name", ABUSES)
def test_an_abuse_gets_its_status_and_the_connection_is_closed(port: int, metrics_port: int, name: str) -> None:
    raw, expected = ABUSES[name]
    answer = send(port, raw, half_close=True)
    assert (status(answer), closes(answer)) == (expected, True)
    if not raw.startswith(POST):
        assert status(send(metrics_port, raw, half_close=True)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"files": {"a" * 256: ""}},
        {"files": {"/".join(["a" * 200] * 6): ""}},
        {"fetch_files": ["é" * 128]},
        {"fetch_files": ["d/" * 300 + "x"] * 199},
        {"fetch_files": [f"a{number}" for number in range(201)]},
        {"files": {f"a{number}": "" for number in range(201)}},
        {"files": {"../up": ""}},
        {"files": {"a": "", "a/b": ""}},
        {"files": {"main.py/x": ""}},
        {"files": {"a\ud800": ""}},
        {"files": {"a\u0007": ""}},
        {"files": {"a": "no base64"}},
        {"files": {"a": "ümlaut"}},
        {"language": "x" * 65},
        {"language": None},
        {"run_timeout": -1},
        {"run_timeout": float("nan")},
        {"memory_limit_MB": -2},
        {"memory_limit_MB": 1.5},
        {"x": [[]] * 40_000},
        {"fetch_files": [""] * 40_000},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_request_that_cannot_be_is_its_own_fault_and_says_so_shortly(port: int, fields: dict[str, object]) -> None:
    answer = send(port, asked(**fields))
    assert status(answer) == 422
    assert len(answer) < 4096
    assert not closes(answer)


def test_deep_json_is_refused(port: int) -> None:
    body = b"[" * 50_000
    assert status(send(port, POST + OWN + TYPE + b"Content-Length: 50000\r\n\r\n" + body)) == 422


def test_requests_in_a_row_are_answered_in_a_row(port: int) -> None:
    """Also when they come at once, and with a body that waits for leave."""
    ping = b"GET /v1/ping HTTP/1.1\r\n" + OWN + END
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            (ping * 5 + ping.replace(OWN, OWN + b"Connection: close\r\n")).replace(b"PORT", b"%d" % port)
        )
        whole = b"".join(iter(lambda: connection.recv(65536), b""))
    assert whole.count(b"200 OK") == whole.count(b'"pong"') == 6
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        body = json.dumps(RUN).encode()
        head = POST + OWN + TYPE + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head.replace(b"PORT", b"%d" % port))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"200 OK" in connection.recv(100)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.0.0.2"])
def test_every_name_of_this_machine_is_served(port: int, host: str) -> None:
    own = b"Host: %s:PORT\r\n" % host.encode()
    origin = b"Origin: http://%s:PORT\r\n" % host.encode()
    assert status(send(port, GET + own + END)) == status(send(port, GET + own + origin + END)) == 200


def test_afterwards_it_is_alive_and_small(port: int) -> None:
    assert status(send(port, asked())) == 200
    assert threading.active_count() < 20
