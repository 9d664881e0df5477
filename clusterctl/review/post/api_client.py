"""One way to talk to the API of a code host: JSON over HTTPS, tried again where that helps, bounded in time.

Cut connections, 429, 5xx and rate limits are tried again (`retry_rules.py`).  The token goes to the API's
own scheme, host and port only: a redirect or a next page elsewhere is an error.  It is in no message: what the API
says is scrubbed of it.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.json_text import json_text
from clusterctl.review.post.code_host import CommentPlace
from clusterctl.review.post.retry_rules import (
    ATTEMPTS,
    MOST_SECONDS,
    PASSING,
    PassingFailure,
    asked_pause,
    is_rate_limited,
    lasting_reason,
    pause_seconds,
)

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
MOST_ANSWER_BYTES = 32 << 20
MOST_PAGES = 200
MOST_REDIRECTS = 3
MOST_SAID_CHARACTERS = 300
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """A successful answer."""

    value: Any
    """JSON; None where the body is empty."""
    next_url: str
    """Of the header Link with rel="next"; empty without."""


class ApiRefused(ClusterctlError):  # noqa: N818 - what happened
    """The API did not do what was asked.  Exit code 1."""

    def __init__(self, message: str, *, hint: str, status: int = 0, said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status, self.said = status, said


class ApiClient:
    """Requests to one API.  `sleep` and `monotonic` are arguments so that tests need not wait.

    authorization: the value of the header, with the token in it.  Raises SpecError for a URL to which no token may go.
    """

    def __init__(
        self,
        place: CommentPlace,
        base_url: str,
        *,
        authorization: str,
        token: str,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place, self.base_url = place, checked_url(base_url)
        self._secrets = sorted({token, authorization.partition(" ")[2], authorization} - {""}, key=len, reverse=True)
        self._sleep, self._monotonic, self._began = sleep, monotonic, monotonic()
        sent = {"User-Agent": "clusterctl", "Accept": "application/json", **(headers or {})}
        self._client = httpx.Client(
            verify=_tls(), timeout=TIMEOUT, follow_redirects=False, headers={**sent, "Authorization": authorization}
        )

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, send: object = None) -> ApiAnswer:
        """One request.  path: below the base URL, or a whole URL of the same server.  Raises ApiRefused."""
        url = path if "://" in path else f"{self.base_url}{path}"
        retrying = Retrying(
            wait=pause_seconds,
            stop=self._is_over,
            retry=retry_if_exception_type(PassingFailure),
            sleep=self._sleep,
            before_sleep=self._say_pause,
            reraise=True,
        )
        try:
            return retrying(self._once, method, url, query, send)
        except PassingFailure as error:
            tries = retrying.statistics["attempt_number"]
            raise ApiRefused(
                f"{self._named(method, url)} failed: {error}" + (f", {tries} times" if tries > 1 else ""),
                hint=f"try again later: a new run of the job posts again; it gives up after {MOST_SECONDS:.0f} s",
                status=error.status,
                said=str(error),
            ) from None

    def pages(
        self, path: str, query: Mapping[str, str], next_of: Callable[[ApiAnswer], str] = lambda answer: answer.next_url
    ) -> Iterator[Any]:
        """The JSON value of each page of a list.  Raises ApiRefused."""
        url, asked = path, query
        for _ in range(MOST_PAGES):
            answer = self.call("GET", url, query=asked)
            yield answer.value
            url, asked = next_of(answer), {}
            if not url:
                return
        raise ApiRefused(f"{self._named('GET', path)} has more than {MOST_PAGES} pages", hint="nothing was posted")

    def _once(self, method: str, url: str, query: Mapping[str, str] | None, send: object) -> ApiAnswer:
        for _ in range(MOST_REDIRECTS + 1):
            if _origin(url) != _origin(self.base_url):
                raise ApiRefused(
                    f"{self._named(method, url)} leads to another server, {_origin(url)}",
                    hint=f"the token goes to {_origin(self.base_url)} alone; is the address of the API right?",
                )
            response, body = self._read(method, url, query, send)
            location = response.headers.get("Location", "")
            if not (300 <= response.status_code < 400 and location):
                return self._checked(method, url, response, body)
            url, query = urljoin(url, location), None
        raise ApiRefused(f"{self._named(method, url)} leads in a circle", hint="is the address of the API right?")

    def _read(
        self, method: str, url: str, query: Mapping[str, str] | None, send: object
    ) -> tuple[httpx.Response, bytes]:
        content = None if send is None else json_text(send).encode()
        headers = {} if send is None else {"Content-Type": "application/json"}
        left = MOST_SECONDS - (self._monotonic() - self._began)
        if left <= 0:
            raise ApiRefused(
                f"{self._named(method, url)} was not asked: {MOST_SECONDS:.0f} s are over", hint="try again"
            )
        try:
            with self._client.stream(method, url, params=query or None, content=content, headers=headers) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MOST_ANSWER_BYTES or self._monotonic() - self._began > MOST_SECONDS:
                        raise PassingFailure("the answer is endless", response.status_code)
                return response, bytes(body)
        except (httpx.TransportError, httpx.DecodingError) as error:
            if why := lasting_reason(error):
                raise ApiRefused(f"{self._named(method, url)}: {why}", hint="check the address and the proxy") from None
            raise PassingFailure(f"the connection failed ({type(error).__name__})") from None
        except httpx.InvalidURL:
            raise ApiRefused(f"{self.place.title}: the address is none", hint="is the address right?") from None

    def _checked(self, method: str, url: str, response: httpx.Response, body: bytes) -> ApiAnswer:
        status, said = response.status_code, self._said(body)
        if status in PASSING or (status == 403 and is_rate_limited(response, said)):
            raise PassingFailure(f"HTTP {status}: {said}" if said else f"HTTP {status}", status, asked_pause(response))
        if not 200 <= status < 300:
            hint = _hint(self.place, status)
            tail = f": {said}" if said else ""
            raise ApiRefused(f"{self._named(method, url)}: HTTP {status}{tail}", hint=hint, status=status, said=said)
        next_url = str(response.links.get("next", {}).get("url", ""))
        if not body.strip():
            return ApiAnswer(value=None, next_url=next_url)
        try:
            return ApiAnswer(value=json.loads(body), next_url=next_url)
        except (ValueError, RecursionError):
            is_page = body.lstrip()[:1] == b"<"
            what = "a web page, perhaps of a login" if is_page else "what is no JSON"
            raise ApiRefused(
                f"{self._named(method, url)} answers with {what}",
                hint=f"is the address of the API right, and the token ({self.place.token_variables[0]}) still valid?",
                status=status,
            ) from None

    def _said(self, body: bytes) -> str:
        """The API's own words on one line, without the token; empty for a web page."""
        text = body.decode("utf-8", "replace").strip()
        try:
            text = " ".join(_texts(json.loads(text)))
        except (ValueError, RecursionError):
            text = "" if text.startswith("<") else text
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:MOST_SAID_CHARACTERS]

    def _named(self, method: str, url: str) -> str:
        return f"{self.place.title}: {method} {urlsplit(url).path}"

    def _is_over(self, state: RetryCallState) -> bool:
        spent = self._monotonic() - self._began
        return state.attempt_number >= ATTEMPTS or spent + state.upcoming_sleep > MOST_SECONDS

    def _say_pause(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _LOG.info("%s: %s; again in %.0f s", self.place.title, error, state.upcoming_sleep)


@cache
def _tls() -> ssl.SSLContext:
    """Authorities of the machine's Python, or of SSL_CERT_FILE; read once, as it takes a while."""
    return httpx.create_ssl_context()


def checked_url(url: str) -> str:
    """A base URL without trailing slash.  Raises SpecError where a token would travel in the open or go astray."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        raise SpecError("the address of the API is none", hint="https://HOST/PATH, without user, password and query")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise SpecError(
            f"the API at {host} isn't asked without TLS: the token could be read on the way", hint="https://"
        )
    return url.strip().rstrip("/")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _texts(value: object) -> Iterator[str]:
    """Texts of an error that say something: of GitHub, GitLab, Bitbucket and Azure DevOps."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in {"message", "error", "errors", "detail", "error_description", "body", "note", "base", "fields"}:
                yield from _texts(inner)


def _hint(place: CommentPlace, status: int) -> str:
    if status == 401:
        return f"the token in {place.token_variables[0]} is wrong, or has expired"
    if status == 403:
        return f"the token needs {place.rights}"
    if status == 404:
        return "do the repository and the pull request exist, and may the token see them?"
    return "the message above is the API's own"
