"""The dashboard beyond this machine, behind a real OpenID Connect provider, in a real Chromium."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from clusterctl.dashboard.sample import ensure_sample

PATIENCE_MS = 60_000
COMMAND = str(Path(sys.executable).parent / "clusterctl")
PEOPLE = {
    "ann@example.com": {"email": "ann@example.com", "email_verified": True},
    "Bob": {"email": "bob@team.example.com", "email_verified": True},
    "eve@evil.example": {"email": "eve@evil.example", "email_verified": True},
    "mallory": {"email": "ann@example.com", "email_verified": False},
    "nobody": {"email": "ann@example.com"},
}
"""Who the provider knows, by what they type there."""
COOKIE_SECRET = "a-secret-of-cookies-that-nobody-should-see"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def provider(port: int) -> Iterator[str]:
    """oidc-provider-mock: the whole authorization code flow, signed tokens, clients with secrets."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--require-registration",
        "True",
    ]
    process = subprocess.Popen(
        [*command, *(f"--user-claims={json.dumps({'sub': sub, **claims})}" for sub, claims in PEOPLE.items())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class Site:
    """A dashboard on all addresses, which people reach as http://dashboard.test, and its provider."""

    def __init__(self, home: Path, issuer: str) -> None:
        self.home, self.issuer, self.port = home, issuer, free_port()
        self.url, self.folder = f"http://dashboard.test:{self.port}", home / "dashboard"
        redirect = f"{self.url}/oauth2callback"
        client = httpx.post(f"{issuer}/oauth2/clients", json={"redirect_uris": [redirect]}, trust_env=False).json()
        self.secret = client["client_secret"]
        self.auth = {
            "redirect_uri": redirect,
            "cookie_secret": COOKIE_SECRET,
            "client_id": client["client_id"],
            "client_secret": self.secret,
            "server_metadata_url": f"{issuer}/.well-known/openid-configuration",
        }

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {"CLUSTERCTL_HOME": str(self.home)}
        return subprocess.run([COMMAND, "dashboard", *args], env=environ, capture_output=True, text=True, check=False)

    def start(self, host: str = "0.0.0.0", **changes: str) -> subprocess.CompletedProcess[str]:
        self.run("--stop")
        file = self.folder / ".streamlit" / "secrets.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = ["[auth]", *(f'{name} = "{text}"' for name, text in (self.auth | changes).items())]
        file.write_text(
            "\n".join([*lines, "[clusterctl]", 'allowed_emails = ["ann@example.com", "*@team.example.com"]\n'])
        )
        file.chmod(0o600)
        done = self.run("--background", "--host", host, "--port", str(self.port))
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    ensure_sample(home)
    with provider(free_port()) as issuer:
        site = Site(home, issuer)
        try:
            started = site.start()
            assert (started.stdout, "TLS" in started.stderr) == (f"{site.url}\n", True)
            yield site
        finally:
            site.run("--stop")


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """Somebody with no cookie."""
    context = browser.new_context()
    yield context
    context.close()


def log_in(page: Page, site: Site, name: str) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Log in").click(timeout=PATIENCE_MS)
    page.wait_for_url(f"{site.issuer}/**", timeout=PATIENCE_MS)
    page.locator("input[name=sub]").fill(name)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{site.url}/**", timeout=PATIENCE_MS)


def see_figures(page: Page, site: Site) -> None:
    expect(page.get_by_role("button", name="Log out")).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{site.url}/overview?data=simulated")
    spent = page.locator("[data-testid=stMetric]", has_text="Spent").locator("[data-testid=stMetricValue]")
    expect(spent).to_have_text(re.compile(r"\$\d"), timeout=PATIENCE_MS)


def bytes_of(frame: bytes | str) -> bytes:
    return frame if isinstance(frame, bytes) else frame.encode()


@pytest.mark.parametrize("path", ["/?data=simulated", "/gpus?data=simulated", "/allocation?run=all", "/nosuch"])
def test_who_has_not_logged_in_sees_only_the_login(visitor: BrowserContext, site: Site, path: str) -> None:
    page, received = visitor.new_page(), []
    page.on("websocket", lambda stream: stream.on("framereceived", lambda frame: received.append(bytes_of(frame))))
    page.goto(site.url + path)
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_timeout(500)
    assert page.locator("[data-testid=stMetric], [data-testid=stSidebarNav], [data-testid=stException]").count() == 0
    frames = b" ".join(received)
    assert b"Log in" in frames
    assert not [word for word in (b"Overview", b"Spent", b"GPU fleet", b"rlcef", b"Simulated") if word in frames]


def test_no_other_address_tells_who_has_not_logged_in(site: Site) -> None:
    here = f"http://127.0.0.1:{site.port}"
    with httpx.Client(base_url=here, trust_env=False) as client:
        for path in (
            "/_stcore/metrics",
            "/_stcore/script-health-check",
            "/media/0.csv",
            "/app/static/main.py",
            "/app/static/../data.py",
            "/_stcore/agent/interact",
            "/_stcore/agent/mcp",
            "/_stcore/agent/openapi.json",
            "/component/x/main.py",
        ):
            answer = client.get(path)
            said = answer.text
            assert answer.status_code >= 400 or "<title>Streamlit</title>" in said, f"{path}: {said[:200]}"
        assert client.get("/_stcore/health").text == "ok"
        assert site.secret not in client.get("/_stcore/host-config").text
        upload = client.put("/_stcore/upload_file/x/y", files={"file": b"x"})
        assert upload.status_code >= 400


@pytest.mark.parametrize("name", ["ann@example.com", "Bob"])
def test_who_is_on_the_list_sees_figures_until_logging_out(visitor: BrowserContext, site: Site, name: str) -> None:
    page = visitor.new_page()
    log_in(page, site, name)
    see_figures(page, site)
    cookies = {cookie["name"]: cookie for cookie in visitor.cookies(site.url)}
    assert cookies["_streamlit_user"]["httpOnly"]
    page.get_by_role("button", name="Log out").click(timeout=PATIENCE_MS)
    page.get_by_role("button", name="End session").click(timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=PATIENCE_MS)
    assert "_streamlit_user" not in {cookie["name"] for cookie in visitor.cookies(site.url)}
    expect(page.locator("[data-testid=stAlert]")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.parametrize("name", ["eve@evil.example", "mallory", "nobody"])
def test_others_of_the_provider_are_refused_and_may_log_out(visitor: BrowserContext, site: Site, name: str) -> None:
    page = visitor.new_page()
    log_in(page, site, name)
    expect(page.locator("[data-testid=stAlert]")).to_contain_text(str(PEOPLE[name]["email"]), timeout=PATIENCE_MS)
    assert page.locator("[data-testid=stMetric], [data-testid=stSidebarNav]").count() == 0
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="End session").click(timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=PATIENCE_MS)


def test_a_forged_cookie_is_none(visitor: BrowserContext, site: Site) -> None:
    visitor.add_cookies([{"name": "_streamlit_user", "value": '{"email":"ann@example.com"}', "url": site.url}])
    page = visitor.new_page()
    page.goto(site.url)
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=PATIENCE_MS)


def test_who_says_no_at_the_provider_is_told(visitor: BrowserContext, site: Site) -> None:
    page = visitor.new_page()
    page.goto(site.url)
    page.get_by_role("button", name="Log in").click(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Deny").click(timeout=PATIENCE_MS)
    expect(page.locator("[data-testid=stAlert]")).to_contain_text("The login failed", timeout=PATIENCE_MS)


def holds(folder: Path, secrets: list[str]) -> list[str]:
    """Files that hold a secret, other than the one that is for them."""
    return [
        str(file)
        for file in folder.rglob("*")
        if file.is_file()
        and file.name != "secrets.toml"
        and any(secret.encode() in file.read_bytes() for secret in secrets)
    ]


def test_secrets_are_nowhere_else(visitor: BrowserContext, site: Site) -> None:
    page = visitor.new_page()
    log_in(page, site, "ann@example.com")
    see_figures(page, site)
    (cookie,) = (cookie["value"] for cookie in visitor.cookies(site.url) if cookie["name"] == "_streamlit_user")
    secrets = [site.secret, COOKIE_SECRET, cookie]
    assert holds(site.home, secrets) == []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        assert not [secret for secret in secrets if secret.encode() in said], process
    assert site.folder.stat().st_mode & 0o077 == 0


def test_a_wrong_client_secret_is_said(visitor: BrowserContext, site: Site) -> None:
    site.start(client_secret="not-the-secret")
    page = visitor.new_page()
    log_in(page, site, "ann@example.com")
    expect(page.locator("[data-testid=stAlert]")).to_contain_text("client_secret", timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    log = (site.folder / "dashboard.log").read_text()
    assert "invalid_client" in log
    assert "not-the-secret" not in log


def test_a_provider_that_is_gone_is_said_and_comes_back(visitor: BrowserContext, site: Site) -> None:
    port = free_port()
    site.start(server_metadata_url=f"http://127.0.0.1:{port}/.well-known/openid-configuration")
    page = visitor.new_page()
    page.goto(site.url)
    page.get_by_role("button", name="Log in").click(timeout=PATIENCE_MS)
    expect(page.locator("[data-testid=stAlert]")).to_contain_text("can't be reached", timeout=PATIENCE_MS)
    with provider(port):
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"http://127.0.0.1:{port}/**", timeout=PATIENCE_MS)
