"""Messages posted to a webhook.  Its address is a secret: it is never shown, and no redirect is followed."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from clusterctl.access import is_loopback
from clusterctl.alerts.messages import Message, NotDelivered, as_json, one_line, slack
from clusterctl.alerts.receiver_secrets import read_secret
from clusterctl.alerts.rules_file import Webhook
from clusterctl.errors import SpecError
from clusterctl.json_text import json_text

CONNECT_SECONDS, READ_SECONDS = 10.0, 10.0
MOST_ANSWER_BYTES = 4096
MOST_SAID = 200


def post(receiver: Webhook, message: Message) -> str:
    """Post a message once.  Raises NotDelivered, SpecError."""
    whose = f"receivers.{message.receiver}"
    url = checked_address(read_secret(whose, env=receiver.url_env, file=receiver.url_file), receiver, whose)
    token = read_secret(whose, env=receiver.token_env, file=receiver.token_file)
    headers = {"User-Agent": "clusterctl", "Content-Type": "application/json", "Idempotency-Key": message.id}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    body = json_text(slack(message) if receiver.kind == "slack" else as_json(message)).encode()
    timeout = httpx.Timeout(min(READ_SECONDS, receiver.seconds), connect=min(CONNECT_SECONDS, receiver.seconds))
    over = threading.Event()
    with httpx.Client(verify=httpx.create_ssl_context(), timeout=timeout, follow_redirects=False) as client:

        def give_up() -> None:
            over.set()
            client.close()  # what still waits for an answer that comes byte by byte fails at its next read

        timer = threading.Timer(receiver.seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            with client.stream("POST", url, content=body, headers=headers) as response:
                _check(response, _start_of(response), secrets=(url, token))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, RuntimeError) as error:
            why = f"no answer within {receiver.seconds:g} s" if over.is_set() else _why(error)
            raise NotDelivered(f"{urlsplit(url).hostname}: {why}") from None
        finally:
            timer.cancel()
    return ""


def checked_address(url: str, receiver: Webhook, whose: str) -> str:
    """The address.  Raises SpecError, which does not show it, where it is none or would be sent in the open."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise SpecError(f"{whose}: its address is none", hint="https://HOST/PATH")
    if parts.scheme == "http" and not receiver.plain_http and not is_loopback(host):
        raise SpecError(
            f"{whose}: its address has no TLS: it could be read on the way", hint="https://, or plain_http: true"
        )
    return url


def _start_of(response: httpx.Response) -> bytes:
    """The beginning of an answer; the rest is not waited for."""
    found = bytearray()
    for chunk in response.iter_raw(MOST_ANSWER_BYTES):
        found += chunk
        if len(found) >= MOST_ANSWER_BYTES:
            break
    return bytes(found[:MOST_ANSWER_BYTES])


def _check(response: httpx.Response, body: bytes, *, secrets: tuple[str, ...]) -> None:
    """Raises NotDelivered for every answer but 2xx."""
    status, host = response.status_code, response.url.host
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise NotDelivered(f"{host}: HTTP {status} leads elsewhere, and is not followed: state the address there")
    words = body.decode("utf-8", "replace")
    for secret in filter(None, (*secrets, urlsplit(secrets[0]).path.strip("/"))):
        words = words.replace(secret, "***")
    words = "" if words.lstrip().startswith("<") else one_line(words)[:MOST_SAID]
    raise NotDelivered(f"{host}: HTTP {status}{f': {words}' if words else ''}", asked_pause=_asked_pause(response))


def _asked_pause(response: httpx.Response) -> timedelta | None:
    """What Retry-After asks for, in seconds or as a moment."""
    after = response.headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdecimal():
        return timedelta(seconds=min(int(after[:9]), 86_400))
    try:
        return max(parsedate_to_datetime(after) - datetime.now(tz=UTC), timedelta(0)) if after else None
    except (ValueError, TypeError):
        return None


def _why(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "its certificate or TLS is refused"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    if isinstance(error, httpx.ConnectError):
        return "it can't be connected to"
    return f"the connection failed ({type(error).__name__})"
