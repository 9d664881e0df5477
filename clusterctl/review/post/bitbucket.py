"""Comments of a pull request on Bitbucket Cloud.

https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from clusterctl.review.post.api_client import ApiClient, ApiRefused
from clusterctl.review.post.code_host import PLACES, PostedComment, PullRequest, written
from clusterctl.review.post.marker import parse_marker
from clusterctl.review.post.target import PostTarget

MOST_AUTHORS = 5
"""So many authors of marked comments are tried for being us."""


class Bitbucket:
    """See CodeHost."""

    place = PLACES["bitbucket"]

    def __init__(self, api: ApiClient, target: PostTarget) -> None:
        self._api = api
        workspace, _, name = target.repository.partition("/")
        repository = f"/repositories/{quote(workspace, safe='')}/{quote(name, safe='')}"
        self._request = f"{repository}/pullrequests/{target.pull_request}"

    def pull_request(self) -> PullRequest:
        """As it is now."""
        request = self._api.call("GET", self._request).value
        source, home = request.get("source") or {}, request.get("destination") or {}
        return PullRequest(
            head=(source.get("commit") or {}).get("hash", ""),  # 12 digits
            is_open=request["state"] == "OPEN",
            is_from_fork=_uuid(source.get("repository")) != _uuid(home.get("repository")),
        )

    def comments(self, review_id: str) -> list[PostedComment]:
        """Ours, by marker and author."""
        marked: dict[str, list[PostedComment]] = {}
        pages = self._api.pages(
            f"{self._request}/comments", {"pagelen": "100"}, lambda page: page.value.get("next", "")
        )
        for page in pages:
            for entry in page["values"]:
                comment = None if entry.get("deleted") else self._comment(entry)
                if comment is not None and comment.marker.id == review_id:
                    marked.setdefault(_uuid(entry.get("user")), []).append(comment)
        return marked.get(self._user(marked), []) if marked else []

    def _user(self, marked: dict[str, list[PostedComment]]) -> str:
        """Whose token this is.  `/user` doesn't answer an access token (https://jira.atlassian.com/browse/BCLOUD-23528):
        then it is that author whose comment may be written again as it is, as only authors may edit."""
        try:
            return _uuid(self._api.call("GET", "/user").value)
        except ApiRefused as refusal:
            if refusal.status not in {401, 403, 404}:
                raise
        for author, comments in list(marked.items())[:MOST_AUTHORS]:
            try:
                self.update(comments[-1], comments[-1].body)
            except ApiRefused as refusal:
                if refusal.status not in {401, 403, 404}:
                    raise
            else:
                return author
        return ""

    def read(self, comment: PostedComment) -> PostedComment | None:
        """As it is now."""
        entry = self._api.call("GET", comment.path).value
        return None if entry.get("deleted") else self._comment(entry)

    def create(self, body: str) -> PostedComment:
        """A new comment."""
        return written(
            self._comment(self._api.call("POST", f"{self._request}/comments", send={"content": {"raw": body}}).value)
        )

    def update(self, comment: PostedComment, body: str) -> None:
        """Another body."""
        self._api.call("PUT", comment.path, send={"content": {"raw": body}})

    def delete(self, comment: PostedComment) -> None:
        """A comment less."""
        self._api.call("DELETE", comment.path)

    def hide(self, comments: Sequence[PostedComment]) -> None:
        """Bitbucket can't."""
        raise NotImplementedError

    def _comment(self, entry: dict[str, Any]) -> PostedComment | None:
        body = (entry.get("content") or {}).get("raw") or ""
        marker = parse_marker(body)
        if marker is None:
            return None
        url = ((entry.get("links") or {}).get("html") or {}).get("href", "")
        path = f"{self._request}/comments/{entry['id']}"
        return PostedComment(number=entry["id"], path=path, url=url, body=body, marker=marker)


def _uuid(entry: dict[str, Any] | None) -> str:
    return str((entry or {}).get("uuid") or "")
