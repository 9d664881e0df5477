"""An AWS that is moto, in this process, over HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterctl.clouds import cloud_of
from clusterctl.clouds.base import Cloud

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    from moto.ec2 import utils
    from moto.server import ThreadedMotoServer

    utils.EC2_PREFIX_TO_RESOURCE |= {
        "eipalloc": "elastic-ip",
        "nat": "natgateway",
    }  # as AWS calls them in lists of tags
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty account; the URL of its endpoint."""
    import httpx

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    httpx.post(f"{moto_url}/moto-api/reset", trust_env=False)
    return moto_url


@pytest.fixture(scope="module")
def _one_session() -> list[Cloud]:
    """Reading what boto3 knows of EC2 takes half a second."""
    return []


@pytest.fixture
def aws_cloud(aws: str, _one_session: list[Cloud]) -> Cloud:
    """That account."""
    if not _one_session:
        _one_session.append(cloud_of("aws"))
    return _one_session[0]
