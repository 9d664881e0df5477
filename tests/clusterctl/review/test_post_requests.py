"""Requests to code hosts: rate limits, cut connections, redirects, pages of logins; and no token where none belongs."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from code_hosts import (
    HEAD,
    TOKEN,
    Asked,
    LocalAzureDevOps,
    LocalBitbucket,
    LocalCodeHost,
    LocalGitHub,
    LocalGitLab,
    Reply,
    serving,
)

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.review.post.api_client import ApiClient, ApiRefused, checked_url
from clusterctl.review.post.code_host import PLACES
from clusterctl.review.post.marker import Marker
from clusterctl.review.post.post_review import PostResult, post_review
from clusterctl.review.post.retry_rules import ATTEMPTS, MOST_SECONDS
from clusterctl.review.post.target import PostRequest

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MINE = Marker(id="review", valid_at=NOON, head=HEAD)
GITHUB_LIMIT = {"message": "API rate limit exceeded for installation ID 1.", "status": "403"}
GITHUB_SECONDARY = {
    "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
}


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def github() -> Iterator[LocalCodeHost]:
    with serving(LocalGitHub()) as local:
        yield local


def post(host: LocalCodeHost, clock: Clock) -> PostResult:
    return post_review(
        lambda place: "# body\n",
        MINE,
        PostRequest(api_url=host.url),
        environment=host.environment(),
        sleep=clock.sleep,
        monotonic=clock.monotonic,
    )


def failing(host: LocalCodeHost, *replies: Reply, method: str = "GET") -> None:
    """The first requests of a method are answered so."""
    left = list(replies)
    host.before = lambda asked: left.pop(0) if left and asked.method == method else None


@pytest.mark.parametrize(
    ("reply", "least_seconds"),
    [
        (Reply({"message": "429"}, 429, {"Retry-After": "17"}), 17),
        (
            Reply(
                {"message": "429"},
                429,
                {"Retry-After": format_datetime(NOON.replace(second=40)), "Date": format_datetime(NOON)},
            ),
            40,
        ),
        (
            Reply(
                GITHUB_LIMIT,
                403,
                {
                    "x-ratelimit-remaining": "0",
                    "x-ratelimit-reset": str(int(NOON.timestamp()) + 60),
                    "Date": format_datetime(NOON),
                },
            ),
            60,
        ),
        (Reply(GITHUB_SECONDARY, 403, {"Retry-After": "60"}), 60),
        (Reply(GITHUB_SECONDARY, 403), 1),
        (
            Reply(
                {"message": "Retry later"},
                429,
                {
                    "RateLimit-Remaining": "0",
                    "RateLimit-Reset": str(int(NOON.timestamp()) + 9),
                    "Date": format_datetime(NOON),
                },
            ),
            9,
        ),
        (Reply(raw=b"<html>Bad gateway</html>", status=502), 1),
        (Reply({"message": "Server Error"}, 500), 1),
        (Reply(status=0), 1),
        (Reply({"message": "429"}, 429, {"Retry-After": "soon"}), 1),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_may_pass_is_tried_again_after_the_pause_that_is_asked_for(
    github: LocalCodeHost, reply: Reply, least_seconds: float, method: str
) -> None:
    failing(github, reply, reply, method=method)
    clock = Clock()
    assert post(github, clock).action == "created"
    assert len(clock.pauses) == 2
    assert all(least_seconds <= pause for pause in clock.pauses)
    assert len(github.mine()) == 1


def test_pauses_grow_and_end(github: LocalCodeHost) -> None:
    github.before = lambda asked: Reply({"message": "Server Error"}, 503)
    clock = Clock()
    with pytest.raises(ApiRefused, match=rf"HTTP 503: Server Error, {ATTEMPTS} times"):
        post(github, clock)
    assert len(clock.pauses) == ATTEMPTS - 1
    assert clock.pauses == sorted(clock.pauses)


def test_a_limit_that_is_reset_too_late_is_not_waited_for(github: LocalCodeHost) -> None:
    github.before = lambda asked: Reply(GITHUB_LIMIT, 429, {"Retry-After": "3600"})
    clock = Clock()
    with pytest.raises(ApiRefused, match="API rate limit exceeded") as failure:
        post(github, clock)
    assert clock.pauses == []
    assert failure.value.hint is not None
    assert f"{MOST_SECONDS:.0f} s" in failure.value.hint


def test_all_requests_together_are_bounded_in_time(github: LocalCodeHost) -> None:
    clock = Clock()

    def slow(asked: Asked) -> None:
        clock.seconds += 70

    github.before = slow
    with pytest.raises(ApiRefused, match=r"180 s are over|endless"):
        post(github, clock)


def test_a_comment_whose_answer_was_lost_is_not_there_twice(github: LocalCodeHost) -> None:
    lost: list[Asked] = []

    def lose(asked: Asked) -> Reply | None:
        if asked.method == "POST" and asked.path.endswith("/comments") and not lost:
            lost.append(asked)
            github.say(asked.value["body"])
            return Reply(raw=b"", status=504)
        return None

    github.before = lose
    assert post(github, Clock()).action == "created"
    assert len(github.mine()) == 1
    assert len([written for written in github.comments if written.deleted]) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422])
def test_a_refusal_is_one_message_and_not_asked_again(github: LocalCodeHost, status: int) -> None:
    github.before = lambda asked: Reply({"message": "No.", "errors": [{"message": "Really."}]}, status)
    with pytest.raises(ApiRefused) as failure:
        post(github, Clock())
    assert failure.value.message == f"GitHub: GET /repos/acme/fleet/pulls/7: HTTP {status}: No. Really."
    assert failure.value.exit_code == 1
    assert len(github.asked) == 1


def test_a_wrong_token_is_named_by_its_variable() -> None:
    for kind, said in (
        (LocalGitHub, "Bad credentials"),
        (LocalGitLab, "401 Unauthorized"),
        (LocalBitbucket, "Token is invalid"),
        (LocalAzureDevOps, "a web page, perhaps of a login"),
    ):
        with serving(kind()) as host:
            environment = {name: "wrong" if value == TOKEN else value for name, value in host.environment().items()}
            with pytest.raises(ApiRefused) as failure:
                post_review(lambda place: "# body\n", MINE, PostRequest(api_url=host.url), environment=environment)
            assert said in failure.value.message
            assert "TOKEN" in str(failure.value.hint)


def test_a_redirect_within_the_api_is_followed(github: LocalCodeHost) -> None:
    """As of a repository that was renamed."""

    def moved(asked: Asked) -> Reply | None:
        if asked.path.startswith("/repos/acme/fleet/pulls"):
            return Reply({"message": "Moved Permanently"}, 301, {"Location": f"{github.url}/repositories/1/pulls/7"})
        asked.path = asked.path.replace("/repositories/1/", "/repos/acme/fleet/")
        return None

    github.before = moved
    assert post(github, Clock()).action == "created"


@pytest.mark.parametrize("where", ["another port", "a page elsewhere", "a circle", "another scheme"])
def test_the_token_follows_no_redirect_to_another_server(github: LocalCodeHost, where: str) -> None:
    with serving(LocalGitHub()) as other:
        to = {
            "another port": Reply(None, 302, {"Location": f"{other.url}/repos/acme/fleet/pulls/7"}),
            "a page elsewhere": Reply(
                [], headers={"Link": f'<{other.url}/repos/acme/fleet/issues/7/comments>; rel="next"'}
            ),
            "a circle": Reply(None, 307, {"Location": "/repos/acme/fleet/pulls/7"}),
            "another scheme": Reply(None, 302, {"Location": github.url.replace("http:", "https:")}),
        }[where]
        github.before = lambda asked: to if asked.path.endswith("/comments") == (where == "a page elsewhere") else None
        with pytest.raises(ApiRefused, match="leads in a circle" if where == "a circle" else "leads to another server"):
            post(github, Clock())
        assert other.asked == []


def test_bitbucket_pages_stay_on_the_server_too() -> None:
    with serving(LocalBitbucket()) as host, serving(LocalBitbucket()) as other:
        host.before = lambda asked: (
            Reply({"values": [], "next": f"{other.url}/x"}) if asked.path.endswith("/comments") else None
        )
        with pytest.raises(ApiRefused, match="leads to another server"):
            post(host, Clock())
        assert other.asked == []


def test_the_token_is_in_no_message_and_no_log(
    github: LocalCodeHost, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even where the server sends it back."""
    caplog.set_level(logging.DEBUG)
    echo = {"message": f"not you: Bearer {TOKEN}", "errors": [TOKEN]}
    for status in (401, 422, 500):
        github.before = lambda asked, status=status: Reply(echo, status)  # type: ignore[misc]
        with pytest.raises(ApiRefused) as failure:
            post(github, Clock())
        said = f"{failure.value} {failure.value.hint} {failure.value.said} {failure.value.__cause__} {failure.value.__context__}"
        assert TOKEN not in said
        assert "***" in said
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())
    assert all(TOKEN not in asked.path for asked in github.asked)


def test_basic_credentials_are_scrubbed_in_both_forms() -> None:
    with serving(LocalBitbucket()) as host:
        host.before = lambda asked: Reply({"error": {"message": f"{asked.headers['Authorization']} me:{TOKEN}"}}, 401)
        environment = {**host.environment(), "BITBUCKET_TOKEN": f"me:{TOKEN}"}
        with pytest.raises(ApiRefused) as failure:
            post_review(lambda place: "# body\n", MINE, PostRequest(api_url=host.url), environment=environment)
        assert host.asked[0].headers["Authorization"].startswith("Basic ")
        assert host.asked[0].headers["Authorization"].partition(" ")[2] not in failure.value.message
        assert TOKEN not in failure.value.message


def test_a_build_of_azure_pipelines_sends_its_jwt_as_bearer() -> None:
    with serving(LocalAzureDevOps()) as host:
        environment = {**host.environment(), "SYSTEM_ACCESSTOKEN": "eyJ0.eyJz.c2ln"}
        with pytest.raises(ApiRefused):
            post_review(lambda place: "# body\n", MINE, PostRequest(api_url=host.url), environment=environment)
        assert host.asked[0].headers["Authorization"] == "Bearer eyJ0.eyJz.c2ln"


def test_what_the_api_says_is_one_short_line(github: LocalCodeHost) -> None:
    github.before = lambda asked: Reply({"message": "a\x1b[31m\n::error::b\r" + "c" * 5_000}, 422)
    with pytest.raises(ApiRefused) as failure:
        post(github, Clock())
    assert "a [31m ::error::b c" in failure.value.message
    assert len(failure.value.message) < 400


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "ftp://127.0.0.1",
        "",
        "https://",
        "https://user:secret@host",
        "https://host?x=1",
        "nonsense",
        "https://[::1",
    ],
)
def test_an_address_to_which_no_token_goes(url: str) -> None:
    with pytest.raises(SpecError) as failure:
        checked_url(url)
    assert "secret" not in str(failure.value)


def test_a_server_without_tls_where_tls_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def plain() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        answering = threading.Thread(target=plain)
        answering.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        client = ApiClient(PLACES["github"], url, authorization=f"Bearer {TOKEN}", token=TOKEN)
        with client as api, pytest.raises(ApiRefused, match="certificate or TLS is refused"):
            api.call("GET", "/user")
        answering.join()


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    clock = Clock()
    client = ApiClient(
        PLACES["gitlab"],
        f"http://127.0.0.1:{port}",
        authorization="Bearer x",
        token="x",
        sleep=clock.sleep,
        monotonic=clock.monotonic,
    )
    with (
        client as api,
        pytest.raises(ClusterctlError, match=r"GitLab: GET /user failed: the connection failed \(ConnectError\)"),
    ):
        api.call("GET", "/user")
