"""Which pull request a run of CI is for, by its environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterctl.errors import SpecError
from clusterctl.review.post.target import PostRequest, find_target

GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/fleet", "GITHUB_TOKEN": "t"}


def with_event(folder: Path, event: Any) -> dict[str, str]:
    (folder / "event.json").write_text(event if isinstance(event, str) else json.dumps(event), encoding="utf-8")
    return {**GITHUB, "GITHUB_EVENT_PATH": str(folder / "event.json")}


def test_github_says_the_pull_request_in_its_event_or_its_ref(tmp_path: Path) -> None:
    ends = {"head": {"repo": {"id": 2}}, "base": {"repo": {"id": 1}}}
    target = find_target(PostRequest(), with_event(tmp_path, {"pull_request": {"number": 7, **ends}}))
    assert (target.place.name, target.repository, target.pull_request) == ("github", "acme/fleet", 7)
    assert (target.api_url, target.is_from_fork) == ("https://api.github.com", True)
    gone = {"pull_request": {"number": 7, "head": {"repo": None}, "base": {"repo": {"id": 1}}}}
    assert find_target(PostRequest(), with_event(tmp_path, gone)).is_from_fork is True
    asked = {"issue": {"number": 8, "pull_request": {"url": "https://api.github.com/repos/acme/fleet/pulls/8"}}}
    assert find_target(PostRequest(), with_event(tmp_path, asked)).pull_request == 8
    assert find_target(PostRequest(), {**GITHUB, "GITHUB_REF": "refs/pull/9/merge"}).pull_request == 9
    assert find_target(PostRequest(pull_request=5, repository="a/b"), GITHUB).repository == "a/b"


@pytest.mark.parametrize("event", ["", "{", "[]", '"x"', {"issue": {"number": 8}}, {"push": 1}])
def test_an_event_without_a_pull_request_is_one_message(tmp_path: Path, event: Any) -> None:
    with pytest.raises(SpecError, match="the pull request on GitHub isn't known") as failure:
        find_target(PostRequest(), with_event(tmp_path, event))
    assert "GITHUB_REF" in str(failure.value.hint)


def test_enterprise_and_self_managed_servers_have_their_own_address() -> None:
    environment = {**GITHUB, "GITHUB_REF": "refs/pull/9/merge", "GITHUB_API_URL": "https://ghe.example.com/api/v3"}
    assert find_target(PostRequest(), environment).api_url == "https://ghe.example.com/api/v3"
    gitlab = {"GITLAB_CI": "true", "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "7", "GITLAB_TOKEN": "t"}
    target = find_target(PostRequest(), {**gitlab, "CI_API_V4_URL": "https://git.example.com/api/v4"})
    assert (target.api_url, target.repository, target.is_from_fork) == ("https://git.example.com/api/v4", "5", None)


def test_without_ci_the_place_is_asked_for() -> None:
    with pytest.raises(SpecError, match="no CI that is known"):
        find_target(PostRequest(), {})
    given = PostRequest(place="bitbucket", repository="acme/fleet", pull_request=7)
    assert find_target(given, {"BITBUCKET_TOKEN": "t"}).api_url == "https://api.bitbucket.org/2.0"


@pytest.mark.parametrize("repository", ["", "acme", "a/b/c", "../x", "a/", "/", "a/.."])
def test_what_is_no_repository(repository: str) -> None:
    with pytest.raises(SpecError, match="repository"):
        find_target(PostRequest(), {**GITHUB, "GITHUB_REF": "refs/pull/9/merge", "GITHUB_REPOSITORY": repository})


def test_azure_pipelines_says_nothing_of_a_repository_elsewhere() -> None:
    environment = {"TF_BUILD": "True", "SYSTEM_PULLREQUEST_PULLREQUESTID": "7", "SYSTEM_TEAMPROJECT": "p"}
    environment |= {"BUILD_REPOSITORY_ID": "r", "SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"}
    with pytest.raises(SpecError, match="address of Azure DevOps's API isn't known"):
        find_target(PostRequest(), environment)
    target = find_target(PostRequest(), {**environment, "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/"})
    assert (target.repository, target.token) == ("p/r", "")  # a variable that Azure Pipelines left as it stands
    with pytest.raises(SpecError, match="the repository isn't known"):
        find_target(PostRequest(), {**environment, "BUILD_REPOSITORY_PROVIDER": "GitHub"})


@pytest.mark.parametrize("token", ["two words", "a\nb", "tokén"])
def test_a_token_that_can_be_none_is_not_shown(token: str) -> None:
    with pytest.raises(SpecError, match="GITHUB_TOKEN holds what no token has") as failure:
        find_target(PostRequest(), {**GITHUB, "GITHUB_REF": "refs/pull/9/merge", "GITHUB_TOKEN": token})
    assert token not in str(failure.value)


def test_a_target_does_not_print_its_token() -> None:
    target = find_target(PostRequest(), {**GITHUB, "GITHUB_REF": "refs/pull/9/merge", "GITHUB_TOKEN": "ghs_secret"})
    assert "ghs_secret" not in repr(target)
