"""Clients that are slow, many or large: their time and the server's memory are bounded."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psutil
import pytest
from pydantic import ValidationError
from raw_http import END, GET, OWN, POST, TYPE, asked, send, status, whole
from sandbox_serving import serving

from clusterctl import http_server
from clusterctl.errors import SpecError
from clusterctl.sandbox.fusion import parse_request
from clusterctl.telemetry import metrics_server

MIB = 1 << 20


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as url:
        yield int(url.rpartition(":")[2])


def test_slow_clients_end_by_a_limit_of_the_whole(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(http_server, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.1)
    slow_head = [bytes([byte]) for byte in (GET + OWN)[:12]]
    slow_body = [POST + OWN + TYPE + b"Content-Length: 100\r\n\r\n", *[b"x"] * 12]
    for parts, expected in ((slow_head, 408), (slow_body, 408), ([], 0)):
        began = time.monotonic()
        assert status(send(port, *parts, pause_seconds=0.05)) == expected
        assert time.monotonic() - began < 3


def test_a_connection_that_is_kept_alive_waits_for_a_while(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall((b"GET /v1/ping HTTP/1.1\r\n" + OWN + END).replace(b"PORT", b"%d" % port))
        assert b"pong" in connection.recv(1000)
        began = time.monotonic()
        assert connection.recv(1000) == b""
        assert 0.2 < time.monotonic() - began < 3


def test_a_client_that_does_not_read_lets_go_of_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "SEND_SECONDS", 0.3)
    page = "x" * (8 * MIB)
    port = int(metrics_server.start("127.0.0.1:0", None, lambda: page).split(":")[2].split("/")[0])
    before = threading.active_count()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall((GET + OWN + END).replace(b"PORT", b"%d" % port))
        time.sleep(1.0)
        assert threading.active_count() <= before


def test_announced_and_unfinished_bodies_cost_nothing_and_what_came_is_bounded(port: int) -> None:
    rss = psutil.Process().memory_info().rss
    head = (POST + OWN + TYPE + b"Content-Length: %d\r\n\r\n" % (32 * MIB)).replace(b"PORT", b"%d" % port)
    open_ones = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(24)]
    try:
        for connection in open_ones:
            connection.setblocking(False)
            left = memoryview(head + bytes(12 * MIB))
            deadline = time.monotonic() + 0.5
            while left and time.monotonic() < deadline:
                try:
                    left = left[connection.send(left) :]
                except BlockingIOError:
                    time.sleep(0.001)
                except ConnectionError:
                    break
        assert psutil.Process().memory_info().rss - rss < 220 * MIB, "24 times 12 MiB came; 128 MiB are kept"
        assert status(send(port, GET + OWN + END)) == 200
    finally:
        for connection in open_ones:
            connection.close()
    assert status(send(port, asked())) == 200


@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * (2 * MIB), b'"' + b'\\"' * (2 * MIB) + b"\\", b'{"code": "' + b"\\" * (4 * MIB), b'"' * (4 * MIB)],
)
def test_a_string_that_never_ends_takes_no_longer_than_another(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises((SpecError, ValidationError)):
        parse_request(body)
    assert time.process_time() - began < 5


def test_large_answers_are_forgotten(port: int) -> None:
    """What the allocator keeps of one round serves another: of a few rounds one needs no more than the one before."""
    code, held = "open('out', 'wb').write(bytes(20 << 20))", list[int]()
    for _ in range(4):
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: len(whole(port, asked(code=code, fetch_files=["out"]))), range(3)))
        assert min(answers) > 20 * MIB
        held.append(psutil.Process().memory_info().rss)
    assert min(after - before for before, after in pairwise(held)) < 20 * MIB


def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "MAX_CONNECTIONS", 2)
    port = int(metrics_server.start("127.0.0.1:0", None, lambda: "").split(":")[2].split("/")[0])
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    for connection in held:
        connection.sendall(b"GET")
    time.sleep(0.1)
    assert status(send(port)) == 504
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 5
    while status(send(port, GET + OWN + END)) != 200:
        assert time.monotonic() < deadline


def test_afterwards_it_is_alive_and_small(port: int) -> None:
    assert status(send(port, asked())) == 200
    assert threading.active_count() < 20
