"""A bucket of S3, as moto serves it."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest
from bucket_contract import BucketContract, Server

from clusterctl.errors import SpecError
from clusterctl.store import open_store


class Moto(Server):
    """The bucket `telemetry`."""

    store = "s3://telemetry/fleet"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def environ(self, url: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
            "AWS_REGION": "us-east-1",
        }

    def empty(self) -> None:
        httpx.post(f"{self.url}/moto-api/reset")
        assert httpx.put(f"{self.url}/telemetry", headers={"Host": "s3.amazonaws.com"}).is_success


class TestS3(BucketContract):
    server_class = Moto


def test_a_url_that_is_no_bucket_is_refused() -> None:
    for url in ("s3://", "az://container/folder", "ftp://somewhere"):
        with pytest.raises(SpecError):
            open_store(url)


def test_segments_need_no_polars() -> None:
    code = "import sys; import clusterctl.store.writer, clusterctl.store.bucket; sys.exit('polars' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
