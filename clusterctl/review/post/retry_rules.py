"""Which failures of a code host's API may pass, and how long to wait before it is asked again.

GitHub has two rate limits: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime

import httpx
from tenacity import RetryCallState, wait_exponential_jitter

ATTEMPTS = 6
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
MOST_SECONDS = 180.0
"""So long all requests of one review may take together, pauses included: a job of CI waits for it."""
PASSING = {408, 425, 429, 500, 502, 503, 504}
_GROWING = wait_exponential_jitter(initial=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS, jitter=1.0)


class PassingFailure(Exception):  # noqa: N818 - a condition, not always an error
    """A failure that may pass."""

    def __init__(self, said: str, status: int = 0, pause_seconds: float = 0.0) -> None:
        super().__init__(said)
        self.status, self.pause_seconds = status, pause_seconds


def is_rate_limited(response: httpx.Response, said: str) -> bool:
    """Whether a refusal (403) is one of a rate limit, as GitHub says it."""
    spent = response.headers.get("x-ratelimit-remaining") == "0" or "Retry-After" in response.headers
    return spent or "rate limit" in said.lower()


def asked_pause(response: httpx.Response) -> float:
    """Seconds that the answer asks to wait: Retry-After, or until the reset of a used-up rate limit; 0 without.

    A reset is a moment by the server's clock, so the answer's Date is what it is compared with."""
    headers = response.headers
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdecimal():
        return float(after)
    try:
        now = parsedate_to_datetime(headers["Date"]).timestamp() if "Date" in headers else time.time()
        if after:
            return max(parsedate_to_datetime(after).timestamp() - now, 0.0)
        reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
        used_up = "0" in {headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")}
        return max(float(reset) - now + 1, 0.0) if used_up and reset.isdecimal() else 0.0
    except ValueError:
        return 0.0


def pause_seconds(state: RetryCallState) -> float:
    """The pause that the API asks for, else a growing one."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause_seconds if isinstance(error, PassingFailure) else 0.0
    return max(asked, _GROWING(state))


def lasting_reason(error: BaseException) -> str:
    """What asking again doesn't mend of a failed connection; empty of what may pass."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate or TLS is refused"
        if isinstance(cause, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return "the address, or the token, has what HTTP doesn't allow"
        cause = cause.__cause__ or cause.__context__
    return ""
