"""Where a review can be posted: what each place takes, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from clusterctl.review.post.marker import Marker, MarkerForm

PlaceName = Literal["github", "gitlab", "bitbucket", "azure-devops"]
PostMode = Literal["update", "new", "hide-and-new", "delete-and-new"]
MOST_COMMENT_CHARACTERS = 60_000
"""So long a comment may become anywhere: under GitHub's limit, and nobody reads more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentPlace:
    """What a kind of code host takes as a comment."""

    name: PlaceName
    title: str
    """As people write it."""
    most_characters: int
    """Of a comment, the marker included."""
    has_html: bool = True
    """Whether `<details>`, tables and comments of HTML are rendered; else they are shown as text."""
    can_hide: bool = False
    token_variables: tuple[str, ...]
    """Environment variables that hold the token; the first that is set counts."""
    rights: str
    """What the token must be allowed to do, in the words of the place."""

    @property
    def marker_form(self) -> MarkerForm:
        """How the hidden first line is written here."""
        return "html" if self.has_html else "link"


PLACES: dict[PlaceName, CommentPlace] = {
    # 65,536 characters: "Body is too long (maximum is 65536 characters)", answer 422 of the API.
    "github": CommentPlace(
        name="github",
        title="GitHub",
        most_characters=MOST_COMMENT_CHARACTERS,
        can_hide=True,
        token_variables=("GITHUB_TOKEN",),
        rights="`permissions: pull-requests: write` in the workflow",
    ),
    # 1,000,000 characters, later 1,048,576 bytes: https://gitlab.com/gitlab-org/gitlab/-/merge_requests/18617
    "gitlab": CommentPlace(
        name="gitlab",
        title="GitLab",
        most_characters=MOST_COMMENT_CHARACTERS,
        token_variables=("GITLAB_TOKEN",),
        rights="the scope `api` and the role Reporter or higher; CI_JOB_TOKEN may not write notes",
    ),
    # Fewer than 32,768 characters: answer 400 of the API, as quoted in https://github.com/jfrog/frogbot/pull/647
    "bitbucket": CommentPlace(
        name="bitbucket",
        title="Bitbucket",
        most_characters=32_000,
        has_html=False,
        token_variables=("BITBUCKET_TOKEN",),
        rights="the scope `pullrequest:write` (an access token of the repository, or `user:API token`)",
    ),
    # Not documented; Atlantis sends up to 150,000 characters.
    "azure-devops": CommentPlace(
        name="azure-devops",
        title="Azure DevOps",
        most_characters=MOST_COMMENT_CHARACTERS,
        token_variables=("SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_TOKEN"),
        rights="`Contribute to pull requests` on the repository, for the build service",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """What matters of a pull or merge request."""

    head: str
    """Commit; empty where the place doesn't say."""
    is_open: bool
    is_from_fork: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedComment:
    """A comment that this token's user has written, with a marker."""

    number: int
    """Larger of a later one."""
    path: str
    """Of the comment in the API, below its base."""
    node: str = ""
    """Id in GraphQL."""
    url: str
    """For people."""
    body: str
    marker: Marker

    @property
    def age_key(self) -> tuple[float, int]:
        """The largest is that of the newest review; of two of one moment, that written last."""
        return self.marker.valid_at.timestamp(), self.number


class CodeHost(Protocol):
    """Comments of one pull request.  All raise ApiRefused."""

    place: CommentPlace

    def pull_request(self) -> PullRequest:
        """As it is now."""

    def comments(self, review_id: str) -> list[PostedComment]:
        """Ours with a marker of this id: the marker and the author are checked."""

    def read(self, comment: PostedComment) -> PostedComment | None:
        """The comment as it is now; None if it is gone, or has no marker any more."""

    def create(self, body: str) -> PostedComment:
        """A new comment, whose body begins with a marker."""

    def update(self, comment: PostedComment, body: str) -> None:
        """Another body for a comment."""

    def delete(self, comment: PostedComment) -> None:
        """A comment less."""

    def hide(self, comments: Sequence[PostedComment]) -> None:
        """Fold those that are not yet hidden; only where `place.can_hide`."""


def written(comment: PostedComment | None) -> PostedComment:
    """What was just created.  Raises ValueError if the place has changed its first line."""
    if comment is None:
        raise ValueError("a comment was created without its marker")
    return comment
