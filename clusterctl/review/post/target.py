"""Which pull request a review is posted to: what CI says in its environment, and what options say instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.foreign_files import read_limited
from clusterctl.review.post.code_host import PLACES, CommentPlace, PlaceName, PostMode

MOST_EVENT_BYTES = 32 << 20
_CI: dict[PlaceName, str] = {
    "github": "GITHUB_ACTIONS",
    "gitlab": "GITLAB_CI",
    "bitbucket": "BITBUCKET_BUILD_NUMBER",
    "azure-devops": "TF_BUILD",
}
"""A variable that only this CI sets."""
_NUMBER: dict[PlaceName, str] = {
    "github": "GITHUB_REF=refs/pull/NUMBER/merge",
    "gitlab": "CI_MERGE_REQUEST_IID=NUMBER",
    "bitbucket": "BITBUCKET_PR_ID=NUMBER",
    "azure-devops": "SYSTEM_PULLREQUEST_PULLREQUESTID=NUMBER",
}
_REPOSITORY: dict[PlaceName, str] = {
    "github": "GITHUB_REPOSITORY=OWNER/NAME",
    "gitlab": "CI_PROJECT_ID=NUMBER-OR-PATH",
    "bitbucket": "BITBUCKET_REPO_FULL_NAME=WORKSPACE/NAME",
    "azure-devops": "SYSTEM_TEAMPROJECT=PROJECT and BUILD_REPOSITORY_ID=ID, of a repository of Azure Repos",
}
"""Variables by which any other CI says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRequest:
    """What is asked for; what is None is found in the environment of CI."""

    place: PlaceName | None = None
    mode: PostMode = "update"
    repository: str | None = None
    """GitHub: owner/name.  GitLab: id or path of the project.  Bitbucket: workspace/name.  Azure DevOps:
    project/repository."""
    pull_request: int | None = None
    api_url: str | None = None
    nothing_changed: bool = False
    """The review has nothing to say: a comment that is there says so from now on, no new one is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTarget:
    """One pull request, and the token for it."""

    place: CommentPlace
    api_url: str
    repository: str
    pull_request: int
    token: str = field(repr=False)
    """Empty if the environment has none."""
    is_from_fork: bool | None
    """As CI says; None where it doesn't."""
    can_only_read: bool = False
    """CI is known to give this run a token that can't write."""


def find_target(request: PostRequest, environment: Mapping[str, str]) -> PostTarget:
    """The pull request to post to.  Raises SpecError for what is neither asked for nor in the environment."""
    name = request.place or next((name for name, variable in _CI.items() if environment.get(variable)), None)
    if name is None:
        raise SpecError("this is no CI that is known", hint=f"--post {'|'.join(PLACES)} says where to post")
    place = PLACES[name]
    if request.mode == "hide-and-new" and not place.can_hide:
        raise SpecError(
            f"{place.title} can't hide comments", hint="--post-mode update, new or delete-and-new; only GitHub hides"
        )
    said = {"github": _github, "gitlab": _gitlab, "bitbucket": _bitbucket, "azure-devops": _azure}[name](environment)
    number = request.pull_request or _positive(said.get("pull_request"))
    repository = request.repository or said.get("repository") or ""
    if number is None:
        raise SpecError(
            f"the pull request on {place.title} isn't known: this run of CI is for none",
            hint=f"run on pull requests, or give --pull-request NUMBER, or set {_NUMBER[name]}",
        )
    _check_repository(place, repository)
    api_url = request.api_url or said.get("api_url") or ""
    if not api_url:
        raise SpecError(
            f"the address of {place.title}'s API isn't known",
            hint="give --api-url, or set SYSTEM_COLLECTIONURI=https://HOST/NAME/",
        )
    return PostTarget(
        place=place,
        api_url=api_url,
        repository=repository,
        pull_request=number,
        token=_token(place, environment),
        is_from_fork=said.get("is_from_fork"),
        can_only_read=bool(said.get("can_only_read")),
    )


def missing_token(place: CommentPlace) -> ClusterctlError:
    """The error for a run without a token."""
    return ClusterctlError(
        f"{place.title} asks for a token, and {' and '.join(place.token_variables)} are not set"
        if len(place.token_variables) > 1
        else f"{place.title} asks for a token, and {place.token_variables[0]} is not set",
        hint=f"give the job the variable; the token needs {place.rights}",
    )


def _token(place: CommentPlace, environment: Mapping[str, str]) -> str:
    for variable in place.token_variables:
        token = environment.get(variable, "").strip()
        if token and not token.startswith("$("):  # Azure Pipelines leaves an unknown $(Variable) as it stands
            if not re.fullmatch(r"[!-~]+", token):
                raise SpecError(f"{variable} holds what no token has: spaces, line breaks or letters beyond ASCII")
            return token
    return ""


def _check_repository(place: CommentPlace, repository: str) -> None:
    parts = repository.split("/")
    whole = "" not in parts and not {".", ".."} & set(parts)
    if not whole or (place.name != "gitlab" and len(parts) != 2):
        what = f"{repository!r} is no repository of {place.title}" if repository else "the repository isn't known"
        raise SpecError(what, hint=f"give --repository, or set {_REPOSITORY[place.name]}")


def _positive(value: object) -> int | None:
    text = str(value or "")
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,9}", text) else None


def _github(environment: Mapping[str, str]) -> dict[str, Any]:
    """https://docs.github.com/en/actions/reference/workflows-and-actions/variables"""
    event = _event(environment.get("GITHUB_EVENT_PATH", ""))
    pull = event.get("pull_request") or {}
    issue = event.get("issue") or {}
    number = pull.get("number") or (issue.get("number") if issue.get("pull_request") else None)
    by_ref = re.fullmatch(r"refs/pull/([0-9]+)/(?:merge|head)", environment.get("GITHUB_REF", ""))
    source, home = ((pull.get(end) or {}).get("repo") or {} for end in ("head", "base"))
    return {
        "api_url": environment.get("GITHUB_API_URL") or "https://api.github.com",
        "repository": environment.get("GITHUB_REPOSITORY"),
        "pull_request": number or (by_ref[1] if by_ref else None),
        "is_from_fork": source.get("id") != home.get("id") if home else None,
        # Dependabot's runs have the rights of a fork's:
        # https://docs.github.com/en/code-security/dependabot/troubleshooting-dependabot
        "can_only_read": environment.get("GITHUB_ACTOR") == "dependabot[bot]",
    }


def _event(path: str) -> dict[str, Any]:
    """What GitHub says of the event that began the run; empty where it can't be read."""
    try:
        event = json.loads(read_limited(Path(path), MOST_EVENT_BYTES)) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _gitlab(environment: Mapping[str, str]) -> dict[str, Any]:
    """https://docs.gitlab.com/ci/variables/predefined_variables/"""
    home = environment.get("CI_MERGE_REQUEST_PROJECT_ID") or environment.get("CI_PROJECT_ID")
    source = environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID")
    return {
        "api_url": environment.get("CI_API_V4_URL") or "https://gitlab.com/api/v4",
        "repository": home,
        "pull_request": environment.get("CI_MERGE_REQUEST_IID"),
        "is_from_fork": source != home if source and home else None,
    }


def _bitbucket(environment: Mapping[str, str]) -> dict[str, Any]:
    """https://support.atlassian.com/bitbucket-cloud/docs/variables-and-secrets/"""
    return {
        "api_url": "https://api.bitbucket.org/2.0",
        "repository": environment.get("BITBUCKET_REPO_FULL_NAME"),
        "pull_request": environment.get("BITBUCKET_PR_ID"),
    }


def _azure(environment: Mapping[str, str]) -> dict[str, Any]:
    """https://learn.microsoft.com/en-us/azure/devops/pipelines/build/variables"""
    project = environment.get("SYSTEM_TEAMPROJECTID") or environment.get("SYSTEM_TEAMPROJECT") or ""
    repository = environment.get("BUILD_REPOSITORY_ID") or ""
    is_here = environment.get("BUILD_REPOSITORY_PROVIDER", "TfsGit") == "TfsGit"
    return {
        "api_url": environment.get("SYSTEM_COLLECTIONURI") or environment.get("SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
        "repository": f"{project}/{repository}" if project and repository and is_here else None,
        "pull_request": environment.get("SYSTEM_PULLREQUEST_PULLREQUESTID"),
        "is_from_fork": {"True": True, "False": False}.get(environment.get("SYSTEM_PULLREQUEST_ISFORK", "")),
    }
