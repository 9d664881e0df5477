"""Pushing samples by Prometheus' remote-write 1.0: protobuf, snappy, POST.  For sites that can't scrape their nodes."""

from __future__ import annotations

import http.client
import struct
import urllib.parse
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clusterctl.telemetry.exposition import Families

TIMEOUT_SECONDS = 10.0
MAX_WAITING_BYTES = 8 * 2**20
"""Requests that wait for a receiver that is away: half a day of a node with 8 GPUs at 10 s."""


class RemoteWrite:
    """`add` what is to be sent; `send` from a thread that may wait."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url, self._token = url, token
        self.failure: str | None = None
        self.dropped = 0
        """Requests that were refused for good, or that waited too long."""
        self._waiting: deque[bytes] = deque()

    def add(self, families: Families, at_ms: int, labels: Mapping[str, str]) -> None:
        """All samples as they are now, with these labels.  Drops the oldest requests when too many wait."""
        from cramjam import snappy

        self._waiting.append(bytes(snappy.compress_raw(write_request(families, at_ms, labels))))
        while sum(map(len, self._waiting)) > MAX_WAITING_BYTES:
            self._waiting.popleft()
            self.dropped += 1

    def send(self) -> None:
        """Oldest first.  As the protocol wants: 5xx and 429 are tried again later, other refusals never."""
        while self._waiting:
            content = self._waiting[0]
            try:
                status, words = self._post(content)
            except (OSError, http.client.HTTPException) as error:
                self.failure = f"{self.url} can't be reached: {error}"
                return
            if status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS:
                self.failure = f"{self.url} answers {status}: {words}"
                return
            self.failure = None
            if status >= 300:
                self.failure, self.dropped = f"{self.url} refuses: {status} {words}", self.dropped + 1
            if self._waiting and self._waiting[0] is content:
                self._waiting.popleft()

    def _post(self, content: bytes) -> tuple[int, str]:
        parts = urllib.parse.urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "User-Agent": "clusterctl",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        } | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        try:
            connection.request("POST", parts.path + (f"?{parts.query}" if parts.query else ""), content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(200).decode("utf-8", "replace").strip()
        finally:
            connection.close()


def write_request(families: Families, at_ms: int, labels: Mapping[str, str]) -> bytes:
    """`prometheus.WriteRequest`: repeated TimeSeries = 1 {repeated Label = 1 {name = 1, value = 2}, repeated Sample = 2
    {double value = 1, int64 timestamp = 2}}; labels sorted by name."""
    return b"".join(_field(1, b"".join(_series(*one, at_ms, labels))) for f in families.values() for one in f.samples)


def _series(name: str, own: Mapping[str, str], value: float, at_ms: int, labels: Mapping[str, str]) -> Iterator[bytes]:
    for key, text in sorted({**labels, **own, "__name__": name}.items()):
        yield _field(1, _field(1, key.encode()) + _field(2, text.encode()))
    yield _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)
