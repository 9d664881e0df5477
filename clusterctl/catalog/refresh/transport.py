"""One way to read from a price interface: bounded, retried, resumable.  Knows no cloud's format.

A failure that may pass (cut connection, 429, 5xx, a page that isn't JSON) is tried again with growing pauses, or the
pause that `Retry-After` asks for.  What asking again doesn't mend (another 4xx, an unknown host, a certificate, the
same page twice that isn't JSON) is a PriceError at once, as is whatever fails for good.  Redirects are never followed,
so a key goes to its own endpoint only; messages name scheme, host and path, never query or headers.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from clusterctl.catalog.refresh.download import Part
from clusterctl.errors import PriceError

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 60
LONGEST_RETRY_AFTER_SECONDS = 300
MAX_PAGE_BYTES = 64 * 2**20
MAX_FILE_BYTES = 4 * 2**30
MAX_RESUMES = 1000
"""Continuations of one download that each brought something: enough for a bad line, finite for a bad server."""
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
PAGE_SECONDS = 300.0
CHUNK_BYTES = 2**16
PASSING = {408, 425, 429, 500, 502, 503, 504}
RERUN = "run the command again: it continues with the pages it has"


class Passing(Exception):  # noqa: N818 - a condition, not always an error
    """A failure that may pass."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Transport:
    """Reads pages and files of one cloud.  `sleep` is an argument so that tests need not wait.

    base_url: without trailing slash.  headers: sent there and nowhere else; they may hold a key.
    """

    def __init__(self, cloud: str, base_url: str, headers: Mapping[str, str], sleep: Callable[[float], None]) -> None:
        self.cloud, self.base_url = cloud, base_url
        self._headers, self._sleep = headers, sleep
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False, headers={"User-Agent": "clusterctl"})

    def url(self, path: str) -> str:
        """A path below the base URL."""
        return f"{self.base_url}{path}"

    def same_origin(self, url: str) -> bool:
        """Whether `url` leads to the base URL's scheme, host and port."""
        return _origin(url) == _origin(self.base_url)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def page(self, url: str, params: Mapping[str, str] | None = None) -> object:
        """The JSON value at `url`.  Raises PriceError."""
        not_json: set[bytes] = set()
        return self._retried(url, lambda: self._page_once(url, params, not_json))

    def download(self, url: str, to: Path) -> str:
        """The bytes of `url` as sent, in the file `to`; returns their content encoding ("" or "gzip").

        A file begun earlier is continued by a range request, if the server still has the same version of it.
        """
        for _ in range(MAX_RESUMES):
            encoding = self._retried(url, lambda: self._continue(url, to))
            if encoding is not None:
                return encoding
        raise PriceError(f"{self.cloud}: {_named(url)} was cut {MAX_RESUMES} times", hint=RERUN)

    def _retried(self, url: str, once: Callable[[], T]) -> T:
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=_pause_seconds,
            retry=retry_if_exception_type(Passing),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(once)
        except Passing as error:
            said = f"{self.cloud}: {_named(url)}: {error}, {ATTEMPTS} times in a row"
            raise PriceError(said, hint=RERUN) from error

    def _page_once(self, url: str, params: Mapping[str, str] | None, not_json: set[bytes]) -> object:
        with self._get(url, params=params) as response:
            body = b"".join(_limited(response.iter_bytes(CHUNK_BYTES), MAX_PAGE_BYTES, url))
        try:
            return json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            start = body[:40].decode("utf-8", "replace").strip()
            said = f"the page is not JSON (it starts with {start!r})"
            if body in not_json:
                hint = "the price interface may have changed, or something on the way answers in its place"
                raise PriceError(f"{self.cloud}: {_named(url)}: {said}, twice the same", hint=hint) from error
            not_json.add(body)
            raise Passing(said) from error

    def _continue(self, url: str, to: Path) -> str | None:
        """One request for what `to` still lacks.  None: cut after it brought something; ask again."""
        part = Part(to)
        if part.complete:
            return part.encoding
        received = 0
        try:
            with self._get(url, headers=part.range_headers()) as response:
                part.answered(response, url)
                with to.open("ab") as file:
                    for chunk in _limited(response.iter_raw(), MAX_FILE_BYTES, url, seconds=None):
                        received += file.write(chunk)
        except Passing:
            if received and part.etag:
                return None
            raise
        part.save(complete=True)
        return part.encoding

    @contextmanager
    def _get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """A response whose status is success.  Raises Passing or PriceError."""
        sent = {**self._headers, **(headers or {})}
        try:
            with self._client.stream("GET", url, params=params or None, headers=sent) as response:
                status, where = response.status_code, f"{self.cloud}: {_named(url)}"
                if status in PASSING:
                    raise Passing(f"HTTP {status}", retry_after_seconds=_retry_after_seconds(response, where))
                if status in {401, 403}:
                    hint = "check the API key and what it may call"
                    raise PriceError(f"{where} refuses (HTTP {status})", hint=hint)
                if status not in {200, 206}:
                    raise PriceError(f"{where} answers HTTP {status}", hint="the price interface may have moved")
                yield response
        except httpx.TransportError as error:
            if why := _lasting(error):
                raise PriceError(f"{self.cloud}: {_named(url)}: {why[0]}", hint=why[1]) from error
            raise Passing(f"the connection failed ({type(error).__name__})") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise Passing(f"the answer can't be decoded ({type(error).__name__})") from error


def _lasting(error: BaseException) -> tuple[str, str] | None:
    """Message and hint of a failed connection that asking again doesn't mend; None of one that may pass."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate or TLS is refused", "check the clock, the proxy and SSL_CERT_FILE of this machine"
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return "the host is unknown", "check the network and the name servers of this machine"
        if isinstance(cause, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return "the URL can't be asked", "check its scheme, and that the key holds no line break"
        cause = cause.__cause__ or cause.__context__
    return None


def _retry_after_seconds(response: httpx.Response, where: str) -> float | None:
    """What Retry-After asks for, as seconds from now; PriceError when it is longer than we wait."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        seconds = float(text)
    else:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if seconds > LONGEST_RETRY_AFTER_SECONDS:
        raise PriceError(f"{where} asks to wait {seconds:.0f} s", hint=f"wait, then {RERUN}")
    return max(seconds, 0.0)


def _pause_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Passing) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return wait_exponential_jitter(initial=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)(state)


def _limited(chunks: Iterator[bytes], most: int, url: str, *, seconds: float | None = PAGE_SECONDS) -> Iterator[bytes]:
    """The chunks, until they are more than `most` bytes or take longer than `seconds`."""
    size, started = 0, time.monotonic()
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            hint = "the price interface may have changed"
            raise PriceError(f"{_named(url)} sends more than {most:,} bytes", hint=hint)
        if seconds is not None and time.monotonic() - started > seconds:
            raise Passing(f"the page took more than {seconds:.0f} s")
        yield chunk


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _named(url: str) -> str:
    """The URL as far as it may be printed: no query."""
    return url.partition("?")[0]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", None, None
