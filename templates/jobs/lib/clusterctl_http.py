"""JSON over HTTP with retries: a server that is away or busy is asked again until the patience is over."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 20.0
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that say "again later"."""
MOST_ANSWER_BYTES = 64 << 20

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Servers of a run are reached without a proxy."""


class ServerAway(Exception):  # noqa: N818 - says what is wrong
    """No server answered within the patience."""


class ServerRefused(Exception):  # noqa: N818 - says what is wrong
    """A server says that the question is wrong: asking again does not help."""


def post_json(
    urls: Sequence[str],
    path: str,
    question: Mapping[str, Any],
    *,
    patience_seconds: float,
    timeout_seconds: float,
    longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    headers: Mapping[str, str] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """The answer of one of several equal servers; the next one is asked after each failure.

    Raises ServerAway when none answers within the patience, ServerRefused for a question that none would take.
    """
    body = json.dumps(question).encode()
    deadline = time.monotonic() + patience_seconds
    first = random.randrange(len(urls)) if urls else 0
    for number in range(1_000_000):
        url = urls[(first + number) % len(urls)].rstrip("/") + path if urls else path
        try:
            return _posted(url, body, headers or {}, timeout_seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = f"{url}: {error or type(error).__name__}"
            longest = min(FIRST_PAUSE_SECONDS * 2 ** min(number, 10), longest_pause_seconds)
            seconds = random.uniform(longest / 2, longest)
            if not urls or time.monotonic() + seconds > deadline:
                raise ServerAway(f"no answer for {patience_seconds:g} s; last: {reason}") from error
            pause(seconds)
    raise AssertionError("unreachable")


def _posted(url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with _direct.open(request, timeout=timeout_seconds) as answer:
            said = json.loads(answer.read(MOST_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        if error.code in BUSY:
            raise
        reason = error.read(500).decode(errors="replace")
        raise ServerRefused(f"{url}: HTTP status {error.code}: {reason}") from error
    if not isinstance(said, dict):
        raise ValueError("the answer is no JSON object")
    return said
