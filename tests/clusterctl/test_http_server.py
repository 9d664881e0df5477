"""The HTTP server's own rules, apart from what it serves; and the same requests as h11, a library's parser, reads them."""

from __future__ import annotations

import socket
import threading
import urllib.request
from http import HTTPStatus

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.access import is_own_host
from clusterctl.http_request import Refused, Request, Response, body_bytes, check_sender, parse_head
from clusterctl.http_server import Budget, HttpServer
from clusterctl.telemetry import metrics_server

HEAD = b"POST /run_code HTTP/1.1\r\nHost: a:1\r\nContent-Type: application/json\r\nContent-Length: 12\r\nX: y"
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 3",
    b",",
    b"+",
]
PIECES += [b"HTTP/1.0", b"GET", b"1", b"\x0b", b"\x0c", b"\x85", b"\xa0", b"Host: b", b"Content-Length"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    head = HEAD
    for _ in range(draw(st.integers(1, 4))):
        at, cut = draw(st.integers(0, len(head))), draw(st.integers(0, 3))
        head = head[:at] + draw(st.sampled_from(PIECES)) + head[at + cut :]
    return head


def parsed(head: bytes) -> tuple[Request, int] | None:
    try:
        request = parse_head(head, socket.socket.__new__(socket.socket))
        return request, body_bytes(request, 1000)
    except Refused:
        return None


@given(mutated() | st.binary(max_size=200))
def test_what_is_accepted_is_read_as_a_library_reads_it(head: bytes) -> None:
    accepted = parsed(head) if b"\r\n\r\n" not in head else None
    if accepted is not None and "host" in accepted[0].headers:
        request, length = accepted
        library = h11.Connection(h11.SERVER)
        library.receive_data(head + b"\r\n\r\n")
        event = library.next_event()
        assert isinstance(event, h11.Request)
        assert (event.method.decode(), event.target.decode()) == (request.method, request.path)
        headers = dict(event.headers)
        assert int(headers.get(b"content-length", 0)) == length
        assert b"transfer-encoding" not in headers
        assert headers.get(b"host", b"").decode("latin-1") == request.headers.get("host", "")


@pytest.mark.parametrize(
    ("said", "host", "own"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost:80", "::1", True),
        ("[::1]:80", "127.0.0.1", True),
        ("[::1]", "::1", True),
        ("10.0.0.5:80", "10.0.0.5", True),
        ("Node-7:80", "node-7", True),
        ("anything:9", "0.0.0.0", True),
        ("10.0.0.5:80", "127.0.0.1", False),
        ("127.0.0.1.evil.example:80", "127.0.0.1", False),
        ("127.0.0.1:8080", "127.0.0.1", False),
        ("127.0.0.1:080", "127.0.0.1", True),
        ("2130706433:80", "127.0.0.1", False),
        ("0.0.0.0:80", "127.0.0.1", False),
        ("localhost.:80", "127.0.0.1", False),
        ("[::1:80", "127.0.0.1", False),
        ("127.0.0.1:80:80", "127.0.0.1", False),
        ("127.0.0.1:99999999", "127.0.0.1", False),
        ("127.0.0.1 :80", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_whose_host_it_is(said: str, host: str, own: bool) -> None:
    assert is_own_host(said, host, 80) is own


@pytest.mark.parametrize(
    "sent",
    [
        "Bearer",
        "Bearer ",
        "Bearer secre",
        "Bearer secrets",
        "Basic c2VjcmV0",
        "Basic !",
        "Basic é",
        "secret",
        "Bearer sécret",
    ],
)
def test_what_is_no_token_is_refused(sent: str) -> None:
    request = parse_head(HEAD + b"\r\nAuthorization: " + sent.encode("latin-1"), socket.socket.__new__(socket.socket))
    with pytest.raises(Refused) as caught:
        check_sender(request, "a", 1, "secret")
    assert caught.value.status == HTTPStatus.UNAUTHORIZED


def test_a_budget_is_shared_and_given_back() -> None:
    budget = Budget(100)
    with budget.holder() as take, budget.holder() as other:
        take(60)
        take(20)
        with pytest.raises(Refused, match="come again"):
            other(21)
        other(20)
    with budget.holder() as take:
        take(100)


def test_a_page_beyond_the_budget_is_not_sent_and_a_server_on_ipv6_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    monkeypatch.setattr(metrics_server, "MAX_BYTES_IN_FLIGHT", 100)
    pages = iter(["x" * 100, "x" * 101])
    url = metrics_server.start("[::1]:0", None, lambda: next(pages))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert len(opener.open(url).read()) == 100
    with pytest.raises(urllib.error.HTTPError, match="504") as caught:
        opener.open(url)
    caught.value.close()


def test_a_connection_for_which_no_thread_can_be_had_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Request) -> Response:
        return Response(body=b"")

    options = {"token": None, "max_connections": 1, "max_body_bytes": 0, "max_bytes_in_flight": 0}
    with HttpServer(("127.0.0.1", 0), answer, **options) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        start = threading.Thread.start
        refused = iter([True, True])

        def failing(thread: threading.Thread) -> None:
            if next(refused, False):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", failing)
        answers = []
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % server.port)
                try:
                    answers.append(connection.recv(100)[:15])
                except ConnectionResetError:
                    answers.append(b"")
        server.shutdown()
    assert answers == [b"", b"", b"HTTP/1.1 200 OK"]
