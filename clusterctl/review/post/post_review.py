"""Posts a review as a comment of its pull request, and into the summary of the job.

    body = lambda place: markdown(review, limit=place.most_characters, html=place.has_html)
    result = post_review(body, marker_of(review), PostRequest(place="github", nothing_changed=is_silent(review)))

Several runs can post to one pull request at once, and none of the four APIs can write on a condition.  So a comment is
read once more right before it is written, and again after: the review of the newest moment stays, whoever is last.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from clusterctl.review.post.api_client import ApiClient, ApiRefused
from clusterctl.review.post.azure_devops import AzureDevOps
from clusterctl.review.post.bitbucket import Bitbucket
from clusterctl.review.post.code_host import PLACES, CodeHost, CommentPlace, PostedComment, PullRequest
from clusterctl.review.post.github import HEADERS as GITHUB_HEADERS
from clusterctl.review.post.github import GitHub
from clusterctl.review.post.gitlab import GitLab
from clusterctl.review.post.job_summary import write_job_summary
from clusterctl.review.post.marker import Marker, parse_marker, without_marker
from clusterctl.review.post.target import PostRequest, PostTarget, find_target, missing_token

PostAction = Literal["created", "updated", "unchanged", "superseded", "skipped", "not-allowed"]
BodyMaker = Callable[[CommentPlace], str]
"""Markdown for a place: at most `most_characters` long, with HTML only if `has_html`."""
MOST_REWRITES = 3
"""So often a comment is written again that an older run has overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostResult:
    """What became of the comment.

    created, updated: it says the review.  unchanged: it said the same of the same commit already.  superseded: a newer
    run has posted.  skipped: nothing changed and there is no comment, or the pull request is closed.  not-allowed: the
    token of a fork can only read, or the conversation is locked; the review stands in the summary of the job and in
    the file of --out.
    """

    action: PostAction
    message: str
    """One sentence, for stderr."""
    url: str = ""


def post_review(
    body_for: BodyMaker,
    marker: Marker,
    request: PostRequest,
    *,
    environment: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> PostResult:
    """Write the summary of the job, where CI has one, then the comment.

    Raises SpecError if the pull request isn't known, ApiRefused (exit code 1) if the place refuses, ClusterctlError
    without a token.
    """
    write_job_summary(lambda: body_for(PLACES["github"]), environment)
    target = find_target(request, environment)
    if not target.token:
        if target.is_from_fork or target.can_only_read:
            return _not_allowed(target.place, "a run for a fork has no token")
        raise missing_token(target.place)
    authorization, headers = _authorization(target), GITHUB_HEADERS if target.place.name == "github" else {}
    with ApiClient(
        target.place,
        target.api_url,
        authorization=authorization,
        token=target.token,
        headers=headers,
        sleep=sleep,
        monotonic=monotonic,
    ) as api:
        return _Posting(_host(api, target), target, body_for, marker, request).post()


def _host(api: ApiClient, target: PostTarget) -> CodeHost:
    match target.place.name:
        case "github":
            return GitHub(api, target)
        case "gitlab":
            return GitLab(api, target)
        case "bitbucket":
            return Bitbucket(api, target)
        case "azure-devops":
            return AzureDevOps(api, target)


def _authorization(target: PostTarget) -> str:
    """Bearer; Basic for `user:token` of Bitbucket, and for a personal token of Azure DevOps, which is no JWT."""
    token = target.token
    if target.place.name == "bitbucket" and ":" in token:
        return f"Basic {base64.b64encode(token.encode()).decode()}"
    if target.place.name == "azure-devops" and token.count(".") != 2:
        return f"Basic {base64.b64encode(f':{token}'.encode()).decode()}"
    return f"Bearer {token}"


class _Posting:
    """One review on its way to one pull request."""

    def __init__(
        self, host: CodeHost, target: PostTarget, body_for: BodyMaker, marker: Marker, request: PostRequest
    ) -> None:
        self._host, self._target, self._body_for = host, target, body_for
        self._marker, self._request, self._place = marker, request, target.place

    def post(self) -> PostResult:
        """Decide by what is there, and write."""
        pull: PullRequest | None = None
        try:
            pull = self._host.pull_request()
            return self._write(pull, self._body(self._place))
        except ApiRefused as refusal:
            why = self._why_not_allowed(refusal, pull)
            if not why:
                raise
            return _not_allowed(self._place, why)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = f"{self._place.title} answers in a form that isn't known ({type(error).__name__}: {error})"
            raise ApiRefused(
                said, hint="is the address of the API right, and of a version that is documented?"
            ) from error

    def _write(self, pull: PullRequest, body: str) -> PostResult:
        newest = max(self._host.comments(self._marker.id), key=lambda comment: comment.age_key, default=None)
        if newest is None:
            why_none = self._why_no_comment(pull)
            return PostResult(action="skipped", message=why_none) if why_none else self._create(pull, body)
        if self._is_newer(newest, pull):
            return _superseded(newest)
        if newest.marker.head == self._marker.head and _without_moment(newest.body) == _without_moment(body):
            return PostResult(action="unchanged", message="the comment says this already", url=newest.url)
        in_place = self._request.mode == "update" or self._request.nothing_changed or not pull.is_open
        return self._update(newest, pull, body) if in_place else self._create(pull, body)

    def _why_no_comment(self, pull: PullRequest) -> str:
        """Why no first comment is written; empty if one is."""
        if self._request.nothing_changed:
            return "nothing changed, and there is no comment that says else"
        return "" if pull.is_open else "the pull request is closed, and has no comment to update"

    def _update(self, comment: PostedComment, pull: PullRequest, body: str) -> PostResult:
        """Write until the comment doesn't say an older review."""
        for _ in range(MOST_REWRITES):
            now = self._read(comment)
            if now is None:
                return self._create(pull, body)
            if self._is_newer(now, pull):
                return _superseded(now)
            if now.marker == self._marker and without_marker(now.body) == without_marker(body):
                break
            body = self._fitting(body, lambda text: self._host.update(comment, text))
        return PostResult(action="updated", message="the comment is updated", url=comment.url)

    def _create(self, pull: PullRequest, body: str) -> PostResult:
        """Write a new comment; then leave only the newest, as far as the mode says."""
        made: list[PostedComment] = []
        self._fitting(body, lambda text: made.append(self._host.create(text)))
        created = made[0]
        ours = {comment.path: comment for comment in [created, *self._host.comments(self._marker.id)]}
        rivals = [comment for comment in ours.values() if self._is_newer(comment, pull)]
        newest = max(rivals or ours.values(), key=lambda comment: comment.age_key)
        others = [comment for comment in ours.values() if comment is not newest]
        if self._request.mode == "hide-and-new":
            self._host.hide(others)
        else:
            for comment in others:
                # of mode `new` only what an answer that was lost on its way has doubled
                if self._request.mode != "new" or comment.marker == newest.marker:
                    self._delete(comment)
        if newest.marker != self._marker:
            return _superseded(newest)
        return PostResult(action="created", message="the comment is new", url=newest.url)

    def _is_newer(self, other: PostedComment, pull: PullRequest) -> bool:
        """Whether another run's review counts more: it is of a later moment, or of the commit that is the pull
        request's head while ours is not."""
        if other.marker.valid_at > self._marker.valid_at:
            return True
        is_of_head = _same(other.marker.head, pull.head) and not _same(self._marker.head, pull.head)
        return is_of_head and self._marker.head != ""

    def _body(self, place: CommentPlace) -> str:
        """Markdown whose first line is the marker in the form of the place."""
        text = self._body_for(place)
        rest = text.lstrip("\ufeff \t\r\n").partition("\n")[2] if parse_marker(text) else text
        return f"{self._marker.line(place.marker_form)}\n\n{rest.lstrip(chr(10))}"

    def _fitting(self, body: str, write: Callable[[str], object]) -> str:
        """Write a body; once more in half of the length if the place says that it is too long."""
        try:
            write(body)
        except ApiRefused as refusal:
            if refusal.status not in {400, 413, 422} or not _is_too_long(refusal):
                raise
            body = self._body(replace(self._place, most_characters=self._place.most_characters // 2))
            write(body)
        return body

    def _read(self, comment: PostedComment) -> PostedComment | None:
        try:
            return self._host.read(comment)
        except ApiRefused as refusal:
            if refusal.status in {404, 410}:
                return None
            raise

    def _delete(self, comment: PostedComment) -> None:
        try:
            self._host.delete(comment)
        except ApiRefused as refusal:
            if refusal.status not in {404, 410}:  # another run has deleted it
                raise

    def _why_not_allowed(self, refusal: ApiRefused, pull: PullRequest | None) -> str:
        """Why a refusal is no failure; empty if it is one."""
        said = refusal.said.lower()
        if refusal.status == 403 and "locked" in said:
            return "the conversation is locked"
        is_from_fork = pull.is_from_fork if pull else self._target.is_from_fork
        if refusal.status in {401, 403, 404} and (is_from_fork or self._target.can_only_read):
            return f"the token of a run for a fork can only read (HTTP {refusal.status})"
        if refusal.status == 403 and is_from_fork is None and "not accessible by integration" in said:
            return "the token can only read, as that of a fork does (HTTP 403)"
        return ""


def _same(commit: str, other: str) -> bool:
    """Whether two names of commits, of which one may be short, name the same."""
    return len(commit) >= 7 <= len(other) and (commit.startswith(other) or other.startswith(commit))


def _without_moment(body: str) -> str:
    """What a comment says, but for when it was written."""
    return re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})? UTC", "", without_marker(body))


def _is_too_long(refusal: ApiRefused) -> bool:
    return refusal.status == 413 or any(words in refusal.said.lower() for words in ("too long", "characters", "exceed"))


def _superseded(newer: PostedComment) -> PostResult:
    moment = newer.marker.valid_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    message = f"the comment of a newer run stays: it is of {moment}"
    return PostResult(action="superseded", message=message, url=newer.url)


def _not_allowed(place: CommentPlace, why: str) -> PostResult:
    where = "the review stands in the summary of the job, where there is one, and in the file of --out"
    return PostResult(action="not-allowed", message=f"no comment on {place.title}: {why}; {where}")
