"""Comments of a pull request on GitHub, github.com or Enterprise Server.

https://docs.github.com/en/rest/issues/comments: the conversation of a pull request is that of its issue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from clusterctl.review.post.api_client import ApiClient, ApiRefused
from clusterctl.review.post.code_host import PLACES, PostedComment, PullRequest, written
from clusterctl.review.post.marker import parse_marker
from clusterctl.review.post.target import PostTarget

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
ACTIONS_LOGIN = "github-actions[bot]"
"""Author of what the GITHUB_TOKEN of a workflow writes.  No person's login can hold brackets."""
_MINIMIZED = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on IssueComment { id isMinimized } } }"
_MINIMIZE = (
    "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) "
    "{ minimizedComment { isMinimized } } }"
)


class GitHub:
    """See CodeHost."""

    place = PLACES["github"]

    def __init__(self, api: ApiClient, target: PostTarget) -> None:
        self._api = api
        owner, _, name = target.repository.partition("/")
        self._repository = f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}"
        self._number = target.pull_request

    def pull_request(self) -> PullRequest:
        """As it is now."""
        pull = self._api.call("GET", f"{self._repository}/pulls/{self._number}").value
        head = pull.get("head") or {}
        source, home = (head.get("repo") or {}).get("id"), (pull["base"].get("repo") or {}).get("id")
        return PullRequest(head=head.get("sha", ""), is_open=pull["state"] == "open", is_from_fork=source != home)

    def comments(self, review_id: str) -> list[PostedComment]:
        """Ours, by marker and author."""
        marked: list[tuple[str, PostedComment]] = []
        for page in self._api.pages(f"{self._repository}/issues/{self._number}/comments", {"per_page": "100"}):
            for entry in page:
                comment = self._comment(entry)
                if comment is not None and comment.marker.id == review_id:
                    marked.append(((entry.get("user") or {}).get("login", ""), comment))
        if not marked:
            return []
        login = self._login()
        return [comment for author, comment in marked if author == login]

    def read(self, comment: PostedComment) -> PostedComment | None:
        """As it is now."""
        return self._comment(self._api.call("GET", comment.path).value)

    def create(self, body: str) -> PostedComment:
        """A new comment."""
        path = f"{self._repository}/issues/{self._number}/comments"
        return written(self._comment(self._api.call("POST", path, send={"body": body}).value))

    def update(self, comment: PostedComment, body: str) -> None:
        """Another body."""
        self._api.call("PATCH", comment.path, send={"body": body})

    def delete(self, comment: PostedComment) -> None:
        """A comment less."""
        self._api.call("DELETE", comment.path)

    def hide(self, comments: Sequence[PostedComment]) -> None:
        """Minimize, as outdated, those that aren't minimized yet."""
        for start in range(0, len(comments), 100):
            ids = [comment.node for comment in comments[start : start + 100]]
            for node in self._graphql(_MINIMIZED, {"ids": ids})["nodes"]:
                if node and not node.get("isMinimized"):
                    self._graphql(_MINIMIZE, {"id": node["id"]})

    def _login(self) -> str:
        """Whose token this is: GET /user fails for the token of a workflow, GraphQL's viewer answers for it too."""
        try:
            return str(self._graphql("query { viewer { login } }", {})["viewer"]["login"])
        except ApiRefused as refusal:
            if refusal.status in {200, 403, 404}:
                return ACTIONS_LOGIN
            raise

    def _graphql(self, query: str, variables: dict[str, Any]) -> Any:
        """Data of an answer.  GraphQL answers 200 for errors too, and lists them."""
        base = self._api.base_url
        # Enterprise Server has REST at /api/v3 and GraphQL at /api/graphql.
        url = f"{base.removesuffix('/v3')}/graphql"
        answer = self._api.call("POST", url, send={"query": query, "variables": variables}).value
        if answer.get("errors") or not answer.get("data"):
            said = "; ".join(str(error.get("message", ""))[:200] for error in answer.get("errors") or ())
            raise ApiRefused(f"GitHub: GraphQL: {said}", hint=f"the token needs {self.place.rights}", status=200)
        return answer["data"]

    def _comment(self, entry: dict[str, Any]) -> PostedComment | None:
        body = entry.get("body") or ""
        marker = parse_marker(body)
        if marker is None:
            return None
        path = f"{self._repository}/issues/comments/{entry['id']}"
        return PostedComment(
            number=entry["id"],
            path=path,
            node=entry.get("node_id", ""),
            url=entry.get("html_url", ""),
            body=body,
            marker=marker,
        )
