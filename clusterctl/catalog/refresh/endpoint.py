"""Where each cloud's price interface is.  A base URL can be overridden, but never to a plain-text host elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from clusterctl.catalog.refresh.transport import Transport
from clusterctl.errors import PriceError

BASE_URLS = {
    "aws": "https://pricing.us-east-1.amazonaws.com",
    "azure": "https://prices.azure.com",
    "gcp": "https://cloudbilling.googleapis.com",
}
OVERRIDES = {cloud: f"CLUSTERCTL_{cloud.upper()}_PRICES_URL" for cloud in BASE_URLS}
"""Environment variable that replaces the base URL of a cloud: a mirror, or a test server."""
KEY_VARIABLE = "GOOGLE_API_KEY"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def transport_to(cloud: str, *, sleep: Callable[[float], None] = time.sleep) -> Transport:
    """A transport to the price interface of a cloud.  Raises PriceError for an unusable override or an absent key."""
    base_url = (os.environ.get(OVERRIDES[cloud]) or BASE_URLS[cloud]).rstrip("/")
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PriceError(f"{OVERRIDES[cloud]} is not a URL: {base_url}") from error
    del port  # reading it is the test that it is a number
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise PriceError(f"{OVERRIDES[cloud]} is not a base URL: scheme, host, maybe port and path, nothing else")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise PriceError(
            f"{OVERRIDES[cloud]} must start with https://",
            hint="plain http is accepted for this machine only (127.0.0.1)",
        )
    headers: dict[str, str] = {}
    if cloud == "gcp":
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise PriceError(
                f"Google Cloud's price list needs an API key in {KEY_VARIABLE}",
                hint="make one that may call the Cloud Billing API, or leave gcp out: --cloud aws,azure",
            )
        headers["X-Goog-Api-Key"] = key
    return Transport(cloud, base_url, headers, sleep)
