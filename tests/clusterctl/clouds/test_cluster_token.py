"""The login to a cluster that `kubectl` asks for."""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from clusterctl.clouds import cluster_token


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of one account, and no others that this machine may have."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDANN",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)


def said(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cluster_token", *words])
    return cluster_token.main()


@pytest.mark.usefixtures("keys")
def test_a_token_of_eks_is_a_question_to_sts_signed_for_this_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(monkeypatch, "aws", "eu-west-1", "rl-1") == 0
    text = capsys.readouterr().out
    status = json.loads(text)["status"]
    kind, _, signed = status["token"].rpartition(".")
    assert kind == "k8s-aws-v1"
    url = urlparse(base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4)).decode())
    asked = parse_qs(url.query)
    assert url.hostname == "sts.eu-west-1.amazonaws.com"
    assert asked["Action"] == ["GetCallerIdentity"]
    assert asked["X-Amz-Credential"][0].startswith("AKIDANN/")
    assert asked["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"], "it is of no use for another cluster"
    assert "hush" not in text + url.geturl()
    left = datetime.fromisoformat(status["expirationTimestamp"]) - datetime.now(tz=UTC)
    assert 0 < left.total_seconds() < 15 * 60


@pytest.mark.usefixtures("keys")
def test_without_credentials_it_says_how_to_log_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert said(monkeypatch, "aws", "eu-west-1", "rl-1") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Unable to locate credentials" in shown.err
    assert "aws sso login" in shown.err


@pytest.mark.parametrize(("cloud", "package"), [("aws", "boto3"), ("gcp", "google.auth"), ("azure", "azure.identity")])
def test_a_missing_library_is_named_with_the_extra(
    cloud: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert said(monkeypatch, cloud, "r", "c") == 1
    assert f"clusterctl[{cloud}]" in capsys.readouterr().err
