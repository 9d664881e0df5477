"""Comments of a pull request of Azure Repos, each a thread of its own.

https://learn.microsoft.com/en-us/rest/api/azure/devops/git/pull-request-threads
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from clusterctl.review.post.api_client import ApiClient
from clusterctl.review.post.code_host import PLACES, PostedComment, PullRequest, written
from clusterctl.review.post.marker import parse_marker
from clusterctl.review.post.target import PostTarget

VERSION = {"api-version": "7.1"}
IDENTITY_VERSION = {"api-version": "7.1-preview.1"}
"""Who the token is has only ever been a preview."""


class AzureDevOps:
    """See CodeHost."""

    place = PLACES["azure-devops"]

    def __init__(self, api: ApiClient, target: PostTarget) -> None:
        self._api = api
        project, _, name = target.repository.partition("/")
        repository = f"/{quote(project, safe='')}/_apis/git/repositories/{quote(name, safe='')}"
        self._request = f"{repository}/pullRequests/{target.pull_request}"
        self._page = f"{api.base_url}/{quote(project)}/_git/{quote(name)}/pullrequest/{target.pull_request}"

    def pull_request(self) -> PullRequest:
        """As it is now."""
        request = self._api.call("GET", self._request, query=VERSION).value
        head = (request.get("lastMergeSourceCommit") or {}).get("commitId", "")
        is_from_fork = bool(request.get("forkSource"))
        return PullRequest(head=head, is_open=request["status"] == "active", is_from_fork=is_from_fork)

    def comments(self, review_id: str) -> list[PostedComment]:
        """Ours, by marker and author.  The API has no pages: it lists all threads at once."""
        marked: list[tuple[str, PostedComment]] = []
        for thread in self._api.call("GET", f"{self._request}/threads", query=VERSION).value["value"]:
            first = next(iter(thread.get("comments") or ()), None)
            if thread.get("isDeleted") or first is None or first.get("isDeleted"):
                continue
            comment = self._comment(thread["id"], first)
            if comment is not None and comment.marker.id == review_id:
                marked.append(((first.get("author") or {}).get("id", ""), comment))
        if not marked:
            return []
        known = self._api.call("GET", "/_apis/connectionData", query=IDENTITY_VERSION).value
        user = known["authenticatedUser"]["id"]
        return [comment for author, comment in marked if author == user]

    def read(self, comment: PostedComment) -> PostedComment | None:
        """As it is now."""
        entry = self._api.call("GET", comment.path, query=VERSION).value
        return None if entry.get("isDeleted") else self._comment(comment.number, entry)

    def create(self, body: str) -> PostedComment:
        """A new thread, closed: it asks for no answer, and holds up no merge."""
        comment = {"parentCommentId": 0, "content": body, "commentType": "text"}
        send = {"comments": [comment], "status": "closed"}
        thread = self._api.call("POST", f"{self._request}/threads", query=VERSION, send=send).value
        return written(self._comment(thread["id"], thread["comments"][0]))

    def update(self, comment: PostedComment, body: str) -> None:
        """Another body."""
        self._api.call("PATCH", comment.path, query=VERSION, send={"content": body})

    def delete(self, comment: PostedComment) -> None:
        """A comment less; its thread goes with it."""
        self._api.call("DELETE", comment.path, query=VERSION)

    def hide(self, comments: Sequence[PostedComment]) -> None:
        """Azure DevOps can't."""
        raise NotImplementedError

    def _comment(self, thread: int, entry: dict[str, Any]) -> PostedComment | None:
        body = entry.get("content") or ""
        marker = parse_marker(body)
        if marker is None:
            return None
        path = f"{self._request}/threads/{thread}/comments/{entry['id']}"
        return PostedComment(
            number=thread, path=path, url=f"{self._page}?discussionId={thread}", body=body, marker=marker
        )
