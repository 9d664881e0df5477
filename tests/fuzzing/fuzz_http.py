"""Fuzz the sandbox server over raw sockets: `python tests/fuzzing/fuzz_http.py --inputs 10000 --seed 1`.

Programs aren't run.  A find is: no answer to a whole request, an answer that is no HTTP or no JSON, a server error, or
more than 10 s.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mutations import broken

from clusterctl.http_request import Request
from clusterctl.sandbox import sandbox_server
from clusterctl.sandbox.isolation import UNPROTECTED
from clusterctl.sandbox.sandbox_server import SandboxServer
from clusterctl.sandbox.verdict import Policy, Status, Verdict

SECONDS_EACH = 10
ALLOWED = {200, 400, 403, 404, 408, 411, 413, 414, 415, 417, 422, 431, 501, 504, 505}
QUESTION = {
    "code": "print(input())",
    "language": "python",
    "stdin": "a\n",
    "run_timeout": 1.5,
    "compile_timeout": 2,
    "memory_limit_MB": 64,
    "files": {"data/in.txt": "AAAA", "no": None},
    "fetch_files": ["out"],
}
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b",",
    b"%00",
    b"\xff",
    b"9" * 400,
    b"a" * 9000,
    b"X: y\r\n" * 70,
]
PIECES += [b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Expect: 100-continue\r\n", b"Host: b\r\n"]
PIECES += [
    b"Origin: null\r\n",
    b"Connection: keep-alive\r\n",
    b"Authorization: Basic ===\r\n",
    b"GET ",
    b"HTTP/2.0",
    b" b\r\n",
]


def request(rng: random.Random, port: int) -> bytes:
    """A request with something wrong, mostly."""
    body = broken(json.dumps(QUESTION).encode(), rng) if rng.random() < 0.6 else json.dumps(QUESTION).encode()
    line = rng.choice([b"POST /run_code", b"POST /run_code", b"POST /run_jupyter", b"GET /metrics", b"GET /health"])
    head = b"%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n" % (line, port)
    head += b"Content-Length: %d\r\n\r\n" % (
        len(body) if rng.random() < 0.9 else rng.choice([0, 1, 10**9, len(body) + 1])
    )
    for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2, 4])):
        at, cut = rng.randrange(len(head)), rng.randrange(4)
        head = head[:at] + rng.choice(PIECES) + head[at + cut :]
    return head + body


def complaint(port: int, raw: bytes) -> tuple[int, str | None]:
    """The status, and what is wrong with how the server answered, or None."""
    began = time.monotonic()
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_EACH) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(1 << 16):
                answer += chunk
        except TimeoutError:
            return 0, "hangs"
        except OSError as error:
            return 0, f"{type(error).__name__}"
    if time.monotonic() - began > SECONDS_EACH:
        return 0, "slow"
    text = bytes(answer).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    if not text:  # a body that broke off
        return 0, None
    try:
        head, _, rest = text.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        if status != 200:
            json.loads(rest[:length])
    except (ValueError, IndexError):
        return 0, f"no HTTP: {text[:200]!r}"
    return status, None if status in ALLOWED and len(rest) >= length else f"status {status}: {rest[:200]!r}"


@contextmanager
def server() -> Iterator[int]:
    """The port of a server that runs nothing."""
    real, is_gone = sandbox_server.run_program, Request.is_gone
    sandbox_server.run_program = lambda *_: Verdict(status=Status.FINISHED, isolation="none")
    Request.is_gone = lambda _: False  # a client that has sent all says so
    try:
        with SandboxServer(("127.0.0.1", 0), UNPROTECTED, Policy(), workers=4, queue=10, token=None) as serving:
            threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
            yield serving.port
            serving.shutdown()
    finally:
        sandbox_server.run_program, Request.is_gone = real, is_gone


def finds(inputs: int, seed: int) -> tuple[list[str], Counter[int]]:
    """What went wrong, and how often each status came (0: the connection was closed)."""
    counts: Counter[int] = Counter()
    found = []
    with server() as port:
        for index in range(inputs):
            raw = request(random.Random(f"http/{seed + index}"), port)
            status, wrong = complaint(port, raw)
            counts[status] += 1
            if wrong:
                found.append(f"http seed {seed + index}: {wrong}\n{raw[:300]!r}")
    return found, counts


def main() -> int:
    """Print the finds and the counts; exit code 1 if there was any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    found, counts = finds(options.inputs, options.seed)
    print("\n".join(found))
    print(
        f"{options.inputs} requests, {len(found)} finds, {time.monotonic() - began:.0f} s; by status: {dict(sorted(counts.items()))}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
