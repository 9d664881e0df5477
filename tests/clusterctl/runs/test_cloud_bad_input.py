"""`up` where an account, its credentials, a region or a state is not as it should be: through the real clients of each cloud,
one message with the way on, nothing made and no run recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))
sys.path.insert(0, str(Path(__file__).parents[1] / "clouds"))

import azure_server  # found by the path above
import google_server
from fake_cloud import FakeFleets, FakeStack

from clusterctl.fleet.errors import FleetStateError, StackLocked
from clusterctl.ledger import open_ledger
from clusterctl.targets import cloud

Run = Callable[..., Any]
SPEC = """
name: rl
stages:
  - {{kind: rlcef, model: {model}, steps: 4, prompts_per_step: 2, samples_per_prompt: 2, job: {{command: "true"}}}}
fleet: {{targets: [{cloud}], regions: [{region}]{more}}}
limits: {{usd: 50, hours: 10}}
"""
REGIONS = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}


class User:
    """One who has `CLUSTERCTL_ACCESS_CIDRS` set, and whatever else a test gives."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder, self.fleets = run, folder, FakeFleets()
        self.environment = {
            "CLUSTERCTL_HOME": str(folder / "store"),
            "CLUSTERCTL_IMAGE": "registry/clusterctl:1",
            "CLUSTERCTL_ACCESS_CIDRS": "203.0.113.7/32",
            "HOME": str(folder),
            "PATH": str(folder),  # no `az`, no `gcloud`
            "AWS_EC2_METADATA_DISABLED": "true",
            "AZURE_SUBSCRIPTION_ID": azure_server.SUBSCRIPTION,
            "NO_GCE_CHECK": "true",
            "no_proxy": "127.0.0.1",
        }

    def up(
        self, kind: str, *, region: str = "", model: str = "clusterctl/quickstart", more: str = "", **environment: str
    ) -> Any:
        (self.folder / "run.yaml").write_text(
            SPEC.format(cloud=kind, region=region or REGIONS[kind], model=model, more=more)
        )
        ended = self.run("up", "run.yaml", "--yes", "--detach", **self.environment, **environment)
        assert ended.stderr.startswith("error: "), f"one message, and nothing before it: {ended.stderr}"
        assert self.fleets.made == {}, "nothing is made"
        ledger_file = self.folder / "store" / "ledger.db"
        if ledger_file.exists():
            with open_ledger(str(ledger_file)) as ledger:
                assert not ledger.runs(), "and no run is recorded"
        return ended


@pytest.fixture
def user(in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    user = User(in_process, tmp_path)
    monkeypatch.setattr(cloud, "CloudTarget", partial(cloud.CloudTarget, fleet_stack=user.fleets))
    monkeypatch.setattr(cloud, "require_programs", lambda _: None)
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "IDENTITY_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return user


@pytest.fixture
def google(tmp_path: Path) -> Iterator[tuple[google_server.Google, dict[str, str]]]:
    google = google_server.Google()
    server = google_server.serve(google)
    url = f"http://127.0.0.1:{server.server_port}"
    said = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{url}/" for name in ("COMPUTE", "CONTAINER", "CLOUDQUOTAS")}
    yield google, said | {"GOOGLE_APPLICATION_CREDENTIALS": google_server.account(tmp_path, url)}
    server.shutdown()
    server.server_close()


@pytest.fixture
def azure() -> Iterator[tuple[azure_server.Subscription, dict[str, str]]]:
    subscription = azure_server.Subscription()
    server = azure_server.serve(subscription)
    said = {
        "CLUSTERCTL_AZURE_ENDPOINT": subscription.url,
        "IDENTITY_ENDPOINT": f"{subscription.url}/msi/token",
        "IDENTITY_HEADER": "header",
    }
    yield subscription, said
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("aws", "`aws sso login`"), ("gcp", "`gcloud auth application-default login`"), ("azure", "`az login`")],
)
def test_without_credentials(user: User, kind: str, hint: str) -> None:
    up = user.up(kind)
    assert (up.returncode, hint in up.stderr) == (1, True), up.stderr


def test_a_project_that_is_not_ours_and_a_region_that_it_has_not(user: User, google: Any) -> None:
    server, said = google
    server.refuse["/compute/v1/projects/[^/]+$"] = [403] * 9
    up = user.up("gcp", **said)
    assert (up.returncode, "whoever administers the project" in up.stderr) == (1, True), up.stderr
    server.refuse.clear()
    up = user.up("gcp", region="europe-west4", **said)
    assert up.returncode == 2, up.stderr
    assert "gcp: this account can't use the region europe-west4" in up.stderr
    assert "us-central1" in up.stderr


def test_a_subscription_that_is_not_ours_an_old_login_and_a_region_that_it_has_not(user: User, azure: Any) -> None:
    server, said = azure
    server.refuse[f"{azure_server.ROOT}$"] = [403]
    up = user.up("azure", **said)
    assert (up.returncode, "whoever administers the subscription" in up.stderr) == (1, True), up.stderr
    server.refuse[f"{azure_server.ROOT}$"] = [401]
    up = user.up("azure", **said)
    assert (up.returncode, "`az login`" in up.stderr) == (1, True), up.stderr
    up = user.up("azure", region="northeurope", **said)
    assert (up.returncode, "azure: this account can't use the region northeurope" in up.stderr) == (2, True), up.stderr


@pytest.mark.parametrize("kind", list(REGIONS))
def test_a_region_that_does_not_have_the_machine(user: User, kind: str) -> None:
    region = {"aws": "af-south-1", "gcp": "africa-south1", "azure": "southafricawest"}[kind]
    up = user.up(kind, region=region, model="Qwen/Qwen2.5-Coder-32B-Instruct", more=", gpus: [B200]")
    assert (up.returncode, "no fleet can run this spec" in up.stderr) == (3, True), up.stderr
    assert "hint: the nearest: " in up.stderr


STATES = [
    FleetStateError("the fleet's state is encrypted with another passphrase", hint="PULUMI_CONFIG_PASSPHRASE_FILE …"),
    FleetStateError("the fleet's state was written by another version of Pulumi", hint="use that version"),
    FleetStateError(
        "rl-1 has a fleet, and s3://states holds no state of it", hint="`clusterctl sweep` finds the fleet"
    ),
    StackLocked("ann@desk has worked on this fleet since 10:00", hint="wait until that has ended"),
]


@pytest.mark.parametrize("error", STATES, ids=lambda error: error.message[:40])
def test_a_state_that_can_not_be_read(
    user: User, google: Any, monkeypatch: pytest.MonkeyPatch, error: FleetStateError
) -> None:
    """What Pulumi's engine says for each is tested on that (tests/engines/test_fleet_engine.py)."""

    def preview(*_: object) -> None:
        raise error

    monkeypatch.setattr(FakeStack, "preview", preview)
    up = user.up("gcp", **google[1])
    assert (up.returncode, error.message in up.stderr, str(error.hint) in up.stderr) == (5, True, True), up.stderr
