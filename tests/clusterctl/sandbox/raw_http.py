"""Requests over raw sockets, byte by byte as a test wants them."""

from __future__ import annotations

import json
import socket
import time

RUN = {"code": "print(1)", "language": "python"}


def send(port: int, *parts: bytes, pause_seconds: float = 0.0, half_close: bool = False) -> bytes:
    """All that is answered to `parts` until the server closes, or waits for more."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            for part in parts:
                connection.sendall(part.replace(b"PORT", b"%d" % port))
                time.sleep(pause_seconds)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has heard enough
        answer = b""
        try:
            while b"\r\n\r\n" not in answer and (chunk := connection.recv(65536)):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


def closes(answer: bytes) -> bool:
    return b"Connection: close" in answer


GET, POST, OWN = b"GET /metrics HTTP/1.1\r\n", b"POST /run_code HTTP/1.1\r\n", b"Host: 127.0.0.1:PORT\r\n"
TYPE, TWO, END = b"Content-Type: application/json\r\n", b"Content-Length: 2\r\n", b"\r\n"


def asked(**fields: object) -> bytes:
    body = json.dumps(RUN | fields).encode()
    return POST + OWN + TYPE + b"Content-Length: %d\r\n\r\n" % len(body) + body


def whole(port: int, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw.replace(OWN, OWN + b"Connection: close\r\n").replace(b"PORT", b"%d" % port))
        return b"".join(iter(lambda: connection.recv(1 << 20), b""))
