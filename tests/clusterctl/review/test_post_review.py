"""Posting a review, against local servers that answer as the four places do: modes, authors, races, paging."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
from clusterctl.review.post.code_host import CommentPlace
from clusterctl.review.post.marker import Marker, parse_marker
from clusterctl.review.post.post_review import PostResult, post_review
from clusterctl.review.post.target import PostRequest

Run = Callable[..., subprocess.CompletedProcess[str]]
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MINE = Marker(id="review", valid_at=NOON, head=HEAD)
HOSTS = {"github": LocalGitHub, "gitlab": LocalGitLab, "bitbucket": LocalBitbucket, "azure-devops": LocalAzureDevOps}
BODY = "# $1,200 more\n\n| run | usd |\n| --- | --- |\n"


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Iterator[LocalCodeHost]:
    with serving(HOSTS[request.param]()) as local:
        yield local


@pytest.fixture
def github() -> Iterator[LocalCodeHost]:
    with serving(LocalGitHub()) as local:
        yield local


def post(
    host: LocalCodeHost,
    body: str = BODY,
    marker: Marker = MINE,
    environment: dict[str, str] | None = None,
    **asked: Any,
) -> PostResult:
    request = PostRequest(api_url=host.url, **asked)
    return post_review(
        lambda place: f"{marker.line()}\n\n{body}",
        marker,
        request,
        environment=environment or host.environment(),
        sleep=_never,
    )


def _never(seconds: float) -> None:
    raise AssertionError(f"waited {seconds} s")


def older(hours: float = 1, **changed: Any) -> Marker:
    return Marker(**{"id": "review", "valid_at": NOON - timedelta(hours=hours), "head": HEAD, **changed})


def comment(marker: Marker, body: str, host: LocalCodeHost) -> str:
    return f"{marker.line('link' if isinstance(host, LocalBitbucket) else 'html')}\n\n{body}"


def test_the_first_review_becomes_a_comment(host: LocalCodeHost) -> None:
    result = post(host)
    assert result.action == "created"
    assert len(host.mine()) == 1
    first, _, rest = host.comments[0].body.partition("\n")
    assert parse_marker(first) == MINE
    assert first.startswith("[//]: #" if isinstance(host, LocalBitbucket) else "<!--")
    assert rest.strip() == BODY.strip()
    if not isinstance(host, LocalGitLab):
        assert "1001" in result.url


def test_the_command_line_says_where_outside_of_ci(host: LocalCodeHost, in_process: Run) -> None:
    preview = Path(__file__).parents[2] / "data" / "previews" / "aws-py-eks.json"
    place = next(name for name, kind in HOSTS.items() if isinstance(host, kind))
    repository = {"gitlab": "278964", "azure-devops": "My Project/3411ebc1"}.get(place, "acme/fleet")
    where = ["--repository", repository, "--pull-request", "7"]
    token = {name: value for name, value in host.environment().items() if "TOKEN" in name}
    review = ["review", "--preview", str(preview), "--out", "r.md"]
    done = in_process(*review, "--post", place, *where, "--api-url", host.url, **token)
    assert done.returncode == 0, done.stderr
    assert len(host.mine()) == 1
    assert "$145" in host.comments[0].body
    done = in_process(*review, *where)
    assert done.returncode == 1
    assert "give --post github|gitlab|bitbucket|azure-devops too" in done.stderr


def test_the_next_review_updates_it_among_hundreds_of_others(host: LocalCodeHost) -> None:
    for number in range(330):
        host.say(f"comment {number}", "somebody")
    ours = host.say(comment(older(), "# old\n", host))
    for number in range(130):
        host.say(f"comment {number}", "somebody")
    assert post(host).action == "updated"
    assert [written.body for written in host.mine()] == [ours.body]
    assert BODY.strip() in ours.body
    assert parse_marker(ours.body) == MINE
    assert [written.body for written in host.comments if written.author == "somebody"][-1] == "comment 129"


def test_what_the_comment_says_already_is_not_written_again(host: LocalCodeHost) -> None:
    host.say(comment(older(), f"{BODY}\n2026-11-30 11:00 UTC\n", host))
    assert post(host, f"{BODY}\n2026-11-30 12:00 UTC\n").action == "unchanged"
    assert host.writes() in ([], ["PUT"])  # Bitbucket's PUT of what is there finds the author out
    assert post(host, f"{BODY}\n2026-11-30 12:00 UTC\n", mode="new").action == "unchanged"
    assert post(host, f"{BODY}\n2026-12-01 12:00 UTC, 3 more\n").action == "updated"


def test_an_older_run_leaves_the_comment_of_a_newer_one(host: LocalCodeHost) -> None:
    newer = host.say(comment(older(-1), "# newer\n", host))
    for mode in ("update", "new", "delete-and-new"):
        result = post(host, mode=mode)
        assert (result.action, "13:00:00 UTC" in result.message) == ("superseded", True)
    assert [written.body for written in host.mine()] == [newer.body]


def test_a_late_run_for_an_earlier_commit_leaves_the_review_of_the_head(host: LocalCodeHost) -> None:
    """Its moment is later, as it waited long, but it is of a commit that is no more the head."""
    current = host.say(comment(older(), "# of the head\n", host))
    assert post(host, marker=older(-1, head="b" * 40)).action == "superseded"
    assert "# of the head" in current.body


def test_a_comment_of_another_author_with_our_marker_is_none_of_ours(host: LocalCodeHost) -> None:
    forged = host.say(comment(older(-1000), "# all is free\n", host), "mallory")
    before = forged.body
    assert post(host).action == "created"
    assert post(host, "# other\n", older(-2), mode="delete-and-new").action == "created"
    assert (forged.body, forged.deleted) == (before, False)
    assert len(host.mine()) == 1


def test_reviews_with_other_ids_have_comments_of_their_own(host: LocalCodeHost) -> None:
    other = host.say(comment(older(id="fleet"), "# fleet\n", host))
    assert post(host).action == "created"
    assert "# fleet" in other.body
    assert len(host.mine()) == 2


def test_new_writes_one_more(host: LocalCodeHost) -> None:
    host.say(comment(older(), "# old\n", host))
    assert post(host, mode="new").action == "created"
    assert len(host.mine()) == 2


def test_delete_and_new_leaves_the_new_one_alone(host: LocalCodeHost) -> None:
    old = [host.say(comment(older(hours), "# old\n", host)) for hours in (3, 2, 1)]
    assert post(host, mode="delete-and-new").action == "created"
    assert [written.deleted for written in old] == [True] * 3
    assert len(host.mine()) == 1


def test_hide_and_new_minimizes_what_is_not_yet_hidden_and_only_on_github() -> None:
    for name, kind in HOSTS.items():
        with serving(kind()) as host:
            old = [host.say(comment(older(hours), "# old\n", host)) for hours in (3, 2)]
            old[0].hidden = True
            if name != "github":
                with pytest.raises(SpecError, match="can't hide comments"):
                    post(host, mode="hide-and-new")
                assert host.asked == []
                continue
            assert post(host, mode="hide-and-new").action == "created"
            assert [written.hidden for written in host.comments] == [True, True, False]
            assert len([asked for asked in host.asked if "minimizeComment" in str(asked.value)]) == 1


def test_without_a_change_nothing_is_posted_but_a_comment_says_so(host: LocalCodeHost) -> None:
    assert post(host, "# no change\n", nothing_changed=True).action == "skipped"
    assert host.comments == []
    there = host.say(comment(older(), "# $5 more\n", host))
    assert post(host, "# no change\n", nothing_changed=True, mode="delete-and-new").action == "updated"
    assert "# no change" in there.body


def test_a_closed_pull_request_gets_no_first_comment(host: LocalCodeHost) -> None:
    host.open = False
    assert post(host).action == "skipped"
    there = host.say(comment(older(), "# old\n", host))
    assert post(host, mode="new").action == "updated"
    assert len(host.comments) == 1
    assert BODY.strip() in there.body


def test_two_runs_that_both_create_leave_the_newer_one(host: LocalCodeHost) -> None:
    """Each has seen no comment; whoever is last tidies up."""
    rival: list[str] = []

    def meanwhile(asked: Asked) -> None:
        if asked.method == "POST" and not rival and "graphql" not in asked.path:
            rival.append(host.say(comment(older(-1), "# of the newer run\n", host)).body)

    host.before = meanwhile
    assert post(host).action == "superseded"
    assert [written.body for written in host.mine()] == rival


def test_an_older_run_that_writes_between_is_written_over(host: LocalCodeHost) -> None:
    ours = host.say(comment(older(2), "# old\n", host))
    rival: list[str] = []

    def meanwhile(asked: Asked) -> None:
        wrote_ours = parse_marker(ours.body) == MINE
        if asked.method == "GET" and asked.path.endswith(("/1001", "/1001/comments/1")) and wrote_ours and not rival:
            ours.body = comment(older(1), "# of the older run\n", host)
            rival.append(ours.body)

    host.before = meanwhile
    assert post(host).action == "updated"
    assert rival
    assert BODY.strip() in ours.body


def test_a_newer_run_that_writes_between_stays(host: LocalCodeHost) -> None:
    ours = host.say(comment(older(2), "# old\n", host))

    def meanwhile(asked: Asked) -> None:
        if asked.method == "GET" and asked.path.endswith(("/1001", "/1001/comments/1")):
            ours.body = comment(older(-1), "# of the newer run\n", host)

    host.before = meanwhile
    assert post(host).action == "superseded"
    assert "# of the newer run" in ours.body


def test_a_comment_that_is_deleted_meanwhile_is_made_again(host: LocalCodeHost) -> None:
    ours = host.say(comment(older(2), "# old\n", host))

    def meanwhile(asked: Asked) -> None:
        ours.deleted = ours.deleted or (asked.path.endswith(("/1001", "/1001/comments/1")) and asked.method == "GET")

    host.before = meanwhile
    assert post(host).action == "created"
    assert len(host.mine()) == 1


def test_a_body_that_the_place_finds_too_long_is_asked_for_in_half(host: LocalCodeHost) -> None:
    host.most_characters = 20_000
    asked: list[int] = []

    def body(place: CommentPlace) -> str:
        asked.append(place.most_characters)
        return "x" * (place.most_characters // 2)

    request = PostRequest(api_url=host.url)
    assert post_review(body, MINE, request, environment=host.environment(), sleep=_never).action == "created"
    assert asked == [asked[0], asked[0] // 2] if asked[0] > 40_000 else len(asked) == 1
    assert len(host.mine()) == 1


def test_the_fork_of_a_pull_request_falls_back_to_the_summary(host: LocalCodeHost, tmp_path: Path) -> None:
    host.fork, host.can_write = True, False
    summary = tmp_path / "summary.md"
    result = post(host, environment={**host.environment(), "GITHUB_STEP_SUMMARY": str(summary)})
    assert result.action == "not-allowed"
    assert "can only read" in result.message
    assert "--out" in result.message
    assert summary.read_text(encoding="utf-8") == f"{BODY.strip()}\n\n"
    assert host.comments == []


def test_a_token_without_the_right_is_a_failure_where_there_is_no_fork(host: LocalCodeHost) -> None:
    host.can_write = False
    with pytest.raises(ClusterctlError) as failure:
        post(host)
    assert failure.value.exit_code == 1
    assert "HTTP 403" in failure.value.message
    assert failure.value.hint is not None
    assert "the token needs" in failure.value.hint


def test_a_locked_conversation_falls_back(github: LocalCodeHost) -> None:
    github.locked = True
    result = post(github)
    assert (result.action, "locked" in result.message) == ("not-allowed", True)


def test_dependabot_can_only_read(github: LocalCodeHost) -> None:
    github.can_write = False
    environment = {**github.environment(), "GITHUB_ACTOR": "dependabot[bot]"}
    assert post(github, environment=environment).action == "not-allowed"


def test_the_author_is_known_where_the_place_does_not_say_who_the_token_is(github: LocalCodeHost) -> None:
    github.knows_user = False
    github.say(comment(older(), "# old\n", github))
    assert post(github).action == "updated"
    with serving(LocalBitbucket()) as host:
        host.knows_user = False
        forged = host.say(comment(older(-1000), "# all is free\n", host), "mallory")
        ours = host.say(comment(older(), "# old\n", host))
        assert post(host).action == "updated"
        assert BODY.strip() in ours.body
        assert "all is free" in forged.body


def test_an_app_of_its_own_finds_its_own_comments(github: LocalCodeHost) -> None:
    github.me = "fleet-review[bot]"
    ours = github.say(comment(older(), "# old\n", github))
    github.say(comment(older(-9), "# by another bot\n", github), "github-actions[bot]")
    assert post(github).action == "updated"
    assert BODY.strip() in ours.body


def test_what_is_no_answer_of_the_place_is_one_message(host: LocalCodeHost) -> None:
    host.before = lambda asked: Reply(["something", "else"])
    with pytest.raises(ClusterctlError, match="answers in a form that isn't known"):
        post(host)


def test_no_token_is_an_error_and_for_a_fork_none(host: LocalCodeHost) -> None:
    environment = {name: value for name, value in host.environment().items() if value != TOKEN}
    with pytest.raises(ClusterctlError, match="asks for a token") as failure:
        post(host, environment=environment)
    assert "TOKEN" in failure.value.message
    assert host.asked == []


def test_the_summary_takes_no_more_than_its_limit(tmp_path: Path, github: LocalCodeHost) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("x" * ((1 << 20) - 20), encoding="utf-8")
    post(github, environment={**github.environment(), "GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.read_text(encoding="utf-8").strip("x").startswith("The review is too long for this summary")
    with pytest.raises(ClusterctlError, match="summary of the job can't be written"):
        post(github, environment={**github.environment(), "GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "summary.md")})
