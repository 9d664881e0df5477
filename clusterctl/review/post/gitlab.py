"""Notes of a merge request on GitLab, gitlab.com or self-managed: https://docs.gitlab.com/api/notes/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from clusterctl.review.post.api_client import ApiClient
from clusterctl.review.post.code_host import PLACES, PostedComment, PullRequest, written
from clusterctl.review.post.marker import parse_marker
from clusterctl.review.post.target import PostTarget


class GitLab:
    """See CodeHost."""

    place = PLACES["gitlab"]

    def __init__(self, api: ApiClient, target: PostTarget) -> None:
        self._api = api
        self._request = f"/projects/{quote(target.repository, safe='')}/merge_requests/{target.pull_request}"
        self._url = ""

    def pull_request(self) -> PullRequest:
        """As it is now."""
        request = self._api.call("GET", self._request).value
        self._url = request.get("web_url") or ""
        return PullRequest(
            head=request.get("sha") or "",
            is_open=request["state"] in {"opened", "locked"},  # locked: being merged at this moment
            is_from_fork=request.get("source_project_id") != request.get("target_project_id"),
        )

    def comments(self, review_id: str) -> list[PostedComment]:
        """Ours, by marker and author."""
        query = {"per_page": "100", "sort": "desc", "order_by": "created_at"}
        marked: list[tuple[object, PostedComment]] = []
        for page in self._api.pages(f"{self._request}/notes", query):
            for entry in page:
                comment = None if entry.get("system") else self._comment(entry)
                if comment is not None and comment.marker.id == review_id:
                    marked.append(((entry.get("author") or {}).get("id"), comment))
        if not marked:
            return []
        user = self._api.call("GET", "/user").value["id"]
        return [comment for author, comment in marked if author == user]

    def read(self, comment: PostedComment) -> PostedComment | None:
        """As it is now."""
        return self._comment(self._api.call("GET", comment.path).value)

    def create(self, body: str) -> PostedComment:
        """A new note."""
        return written(self._comment(self._api.call("POST", f"{self._request}/notes", send={"body": body}).value))

    def update(self, comment: PostedComment, body: str) -> None:
        """Another body."""
        self._api.call("PUT", comment.path, send={"body": body})

    def delete(self, comment: PostedComment) -> None:
        """A note less."""
        self._api.call("DELETE", comment.path)

    def hide(self, comments: Sequence[PostedComment]) -> None:
        """GitLab can't."""
        raise NotImplementedError

    def _comment(self, entry: dict[str, Any]) -> PostedComment | None:
        body = entry.get("body") or ""
        marker = parse_marker(body)
        if marker is None:
            return None
        number = entry["id"]
        url = f"{self._url}#note_{number}" if self._url else ""
        return PostedComment(number=number, path=f"{self._request}/notes/{number}", url=url, body=body, marker=marker)
