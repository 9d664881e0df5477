"""Local servers that answer as the APIs of GitHub, GitLab, Bitbucket and Azure DevOps do, on one pull request.

Shapes are those of the reference pages, shortened to what identifies them:
https://docs.github.com/en/rest/issues/comments, https://docs.gitlab.com/api/notes/,
https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/,
https://learn.microsoft.com/en-us/rest/api/azure/devops/git/pull-request-threads
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HEAD = "a" * 40
TOKEN = "token-5e2f9c1b7a6d4e3f8091a2b3c4d5e6f7"
TOO_LONG = "Body is too long (maximum is {} characters)"


@dataclass
class Reply:
    """What is answered."""

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Asked:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    value: Any


@dataclass
class Written:
    """A comment as the server holds it."""

    id: int
    author: str
    body: str
    deleted: bool = False
    hidden: bool = False


class LocalCodeHost:
    """A pull request with comments.  `before` may answer in place of the server, or change things before it answers."""

    me = "me"
    most_characters = 65_536
    page_size = 100

    def __init__(self) -> None:
        self.comments: list[Written] = []
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], Reply | None] = lambda asked: None
        self.open, self.locked, self.fork, self.can_write, self.knows_user = True, False, False, True, True
        self.head = HEAD
        self.url = ""

    def say(self, body: str, author: str | None = None) -> Written:
        """A comment that is there already."""
        self.comments.append(Written(1001 + len(self.comments), author or self.me, body))
        return self.comments[-1]

    def mine(self) -> list[Written]:
        """What our user has written, and is still there."""
        return [comment for comment in self.comments if comment.author == self.me and not comment.deleted]

    def writes(self) -> list[str]:
        """Methods of requests that change something, GraphQL's left out."""
        return [asked.method for asked in self.asked if asked.method != "GET" and not asked.path.endswith("/graphql")]

    def environment(self) -> dict[str, str]:
        """Of a run of CI for the pull request."""
        raise NotImplementedError

    def is_allowed(self, asked: Asked) -> bool:
        """Whether the token is right."""
        return asked.headers.get("Authorization") == f"Bearer {TOKEN}"

    def answer(self, asked: Asked) -> Reply:
        """The place's own answer."""
        raise NotImplementedError

    def reply(self, asked: Asked) -> Reply:
        """What is answered, the script of a test first."""
        self.asked.append(asked)
        return self.before(asked) or (self.answer(asked) if self.is_allowed(asked) else self.unauthorized())

    def unauthorized(self) -> Reply:
        """For a wrong token."""
        raise NotImplementedError

    def find(self, number: str) -> Written | None:
        """By id, unless it is deleted."""
        return next((found for found in self.comments if found.id == int(number) and not found.deleted), None)


class LocalGitHub(LocalCodeHost):
    """As api.github.com answers the token of a workflow."""

    me = "github-actions[bot]"

    def environment(self) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "acme/fleet",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_TOKEN": TOKEN,
        }

    def unauthorized(self) -> Reply:
        return Reply({"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"}, 401)

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/graphql":
            return self._graphql(asked.value)
        if asked.path == "/repos/acme/fleet/pulls/7":
            source = {"id": 2 if self.fork else 1, "full_name": "somebody/fleet" if self.fork else "acme/fleet"}
            home = {"ref": "main", "repo": {"id": 1, "full_name": "acme/fleet"}}
            state = "open" if self.open else "closed"
            pull = {"number": 7, "state": state, "locked": self.locked, "merged": not self.open}
            return Reply({**pull, "head": {"sha": self.head, "repo": source}, "base": home})
        if asked.path == "/repos/acme/fleet/issues/7/comments":
            return self._list(asked) if asked.method == "GET" else self._write(asked, None)
        found = re.fullmatch(r"/repos/acme/fleet/issues/comments/([0-9]+)", asked.path)
        comment = self.find(found[1]) if found else None
        if comment is None:
            return Reply(
                {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}, 404
            )
        if asked.method == "DELETE" and self.can_write:
            comment.deleted = True
            return Reply(None, 204)
        return Reply(self._shown(comment)) if asked.method == "GET" else self._write(asked, comment)

    def _graphql(self, sent: Any) -> Reply:
        if "viewer" in sent["query"]:
            if not self.knows_user:
                errors = [
                    {"type": "FORBIDDEN", "path": ["viewer"], "message": "Resource not accessible by integration"}
                ]
                return Reply({"data": None, "errors": errors})
            return Reply({"data": {"viewer": {"login": self.me}}})
        by_node = {f"IC_{comment.id}": comment for comment in self.comments}
        if "nodes(ids:" in sent["query"]:
            ids = sent["variables"]["ids"]
            assert len(ids) <= 100
            return Reply({"data": {"nodes": [{"id": name, "isMinimized": by_node[name].hidden} for name in ids]}})
        by_node[sent["variables"]["id"]].hidden = True
        return Reply({"data": {"minimizeComment": {"minimizedComment": {"isMinimized": True}}}})

    def _write(self, asked: Asked, comment: Written | None) -> Reply:
        body = asked.value["body"]
        if not self.can_write:
            return Reply({"message": "Resource not accessible by integration", "status": "403"}, 403)
        if self.locked:
            return Reply({"message": "Unable to create comment because issue is locked.", "status": "403"}, 403)
        if len(body) > self.most_characters:
            error = {"resource": "IssueComment", "code": "unprocessable", "field": "data"}
            said = TOO_LONG.format(self.most_characters)
            return Reply({"message": "Validation Failed", "errors": [{**error, "message": said}], "status": "422"}, 422)
        if comment is None:
            return Reply(self._shown(self.say(body)), 201)
        comment.body = body
        return Reply(self._shown(comment))

    def _list(self, asked: Asked) -> Reply:
        size, page = int(asked.query.get("per_page", "30")), int(asked.query.get("page", "1"))
        there = [comment for comment in self.comments if not comment.deleted]
        headers = {}
        if page * size < len(there):
            headers["Link"] = f'<{self.url}{asked.path}?per_page={size}&page={page + 1}>; rel="next"'
        return Reply([self._shown(comment) for comment in there[(page - 1) * size : page * size]], headers=headers)

    def _shown(self, comment: Written) -> dict[str, Any]:
        kind = "Bot" if comment.author.endswith("[bot]") else "User"
        return {
            "id": comment.id,
            "node_id": f"IC_{comment.id}",
            "url": f"{self.url}/repos/acme/fleet/issues/comments/{comment.id}",
            "html_url": f"https://github.com/acme/fleet/pull/7#issuecomment-{comment.id}",
            "body": comment.body.replace("\n", "\r\n"),
            "user": {"login": comment.author, "id": 41898282, "type": kind},
            "created_at": "2026-11-30T12:00:00Z",
            "author_association": "NONE",
        }


class LocalGitLab(LocalCodeHost):
    """As gitlab.com answers the token of a project."""

    most_characters = 1_000_000

    def environment(self) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.url,
            "CI_PROJECT_ID": "278964",
            "CI_MERGE_REQUEST_PROJECT_ID": "278964",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "999" if self.fork else "278964",
            "CI_MERGE_REQUEST_IID": "7",
            "GITLAB_TOKEN": TOKEN,
        }

    def unauthorized(self) -> Reply:
        return Reply({"message": "401 Unauthorized"}, 401)

    def answer(self, asked: Asked) -> Reply:
        request = "/projects/278964/merge_requests/7"
        if asked.path == "/user":
            return Reply({"id": 51, "username": "project_278964_bot_1", "bot": True})
        if asked.path == request:
            state, url = "opened" if self.open else "merged", "https://gitlab.com/acme/fleet/-/merge_requests/7"
            ids = {"source_project_id": 999 if self.fork else 278964, "target_project_id": 278964}
            return Reply({"iid": 7, "state": state, "sha": self.head, "web_url": url, **ids})
        if asked.path == f"{request}/notes":
            return self._list(asked) if asked.method == "GET" else self._write(asked, None)
        found = re.fullmatch(rf"{request}/notes/([0-9]+)", asked.path)
        comment = self.find(found[1]) if found else None
        if comment is None:
            return Reply({"message": "404 Not found"}, 404)
        if asked.method == "DELETE" and self.can_write:
            comment.deleted = True
            return Reply(None, 204)
        return Reply(self._shown(comment)) if asked.method == "GET" else self._write(asked, comment)

    def _write(self, asked: Asked, comment: Written | None) -> Reply:
        body = asked.value["body"]
        if not self.can_write or self.locked:
            return Reply({"message": "403 Forbidden"}, 403)
        if len(body) > self.most_characters:
            return Reply({"message": {"note": [f"is too long (maximum is {self.most_characters} characters)"]}}, 400)
        if comment is None:
            return Reply(self._shown(self.say(body)), 201)
        comment.body = body
        return Reply(self._shown(comment))

    def _list(self, asked: Asked) -> Reply:
        size, page = int(asked.query.get("per_page", "20")), int(asked.query.get("page", "1"))
        there = [comment for comment in reversed(self.comments) if not comment.deleted]
        headers = {}
        if page * size < len(there):
            headers["Link"] = f'<{self.url}{asked.path}?page={page + 1}&per_page={size}>; rel="next"'
        return Reply([self._shown(comment) for comment in there[(page - 1) * size : page * size]], headers=headers)

    def _shown(self, comment: Written) -> dict[str, Any]:
        author = {"id": 51 if comment.author == self.me else 77, "username": comment.author}
        kind = {"system": False, "noteable_type": "MergeRequest", "noteable_iid": 7, "internal": False}
        return {"id": comment.id, "type": None, "body": comment.body, "author": author, "resolvable": False, **kind}


class LocalBitbucket(LocalCodeHost):
    """As api.bitbucket.org answers an access token of a repository, which has no `/user`."""

    most_characters = 32_767
    page_size = 50

    def environment(self) -> dict[str, str]:
        return {
            "BITBUCKET_BUILD_NUMBER": "12",
            "BITBUCKET_REPO_FULL_NAME": "acme/fleet",
            "BITBUCKET_PR_ID": "7",
            "BITBUCKET_TOKEN": TOKEN,
        }

    def unauthorized(self) -> Reply:
        return Reply({"type": "error", "error": {"message": "Token is invalid, expired, or not supported."}}, 401)

    def answer(self, asked: Asked) -> Reply:
        request = "/repositories/acme/fleet/pullrequests/7"
        if asked.path == "/user":
            said = {"type": "error", "error": {"message": "Token is invalid or not supported for this endpoint."}}
            return Reply({"type": "user", "uuid": self.me}) if self.knows_user else Reply(said, 401)
        if asked.path == request:
            source = {"commit": {"hash": self.head[:12]}, "repository": {"uuid": "{2}" if self.fork else "{1}"}}
            state = "OPEN" if self.open else "MERGED"
            return Reply(
                {
                    "type": "pullrequest",
                    "id": 7,
                    "state": state,
                    "source": source,
                    "destination": {"repository": {"uuid": "{1}"}},
                }
            )
        if asked.path == f"{request}/comments":
            return self._list(asked) if asked.method == "GET" else self._write(asked, None)
        found = re.fullmatch(rf"{request}/comments/([0-9]+)", asked.path)
        comment = self.find(found[1]) if found else None
        if comment is None:
            return Reply({"type": "error", "error": {"message": "Resource not found"}}, 404)
        if asked.method == "DELETE":
            comment.deleted = True
            return Reply(None, 204)
        return Reply(self._shown(comment)) if asked.method == "GET" else self._write(asked, comment)

    def _write(self, asked: Asked, comment: Written | None) -> Reply:
        body = asked.value["content"]["raw"]
        if not self.can_write or (comment is not None and comment.author != self.me):
            said = "Your credentials lack one or more required privilege scopes."
            return Reply({"type": "error", "error": {"message": said}}, 403)
        if len(body) > self.most_characters:
            said = "Please enter a non-empty value less than 32768 characters"
            return Reply({"type": "error", "error": {"message": "Bad request", "fields": {"content": [said]}}}, 400)
        if comment is None:
            return Reply(self._shown(self.say(body)), 201)
        comment.body = body
        return Reply(self._shown(comment))

    def _list(self, asked: Asked) -> Reply:
        size, page = min(int(asked.query.get("pagelen", "10")), 100), int(asked.query.get("page", "1"))
        shown = [self._shown(comment) for comment in self.comments[(page - 1) * size : page * size]]
        value = {"size": len(self.comments), "page": page, "pagelen": size, "values": shown}
        if page * size < len(self.comments):
            value["next"] = f"{self.url}{asked.path}?pagelen={size}&page={page + 1}"
        return Reply(value)

    def _shown(self, comment: Written) -> dict[str, Any]:
        raw = "" if comment.deleted else comment.body
        link = f"https://bitbucket.org/acme/fleet/pull-requests/7/_/diff#comment-{comment.id}"
        return {
            "type": "pullrequest_comment",
            "id": comment.id,
            "content": {"type": "rendered", "raw": raw, "markup": "markdown", "html": "<p></p>"},
            "user": {"type": "user", "uuid": comment.author, "display_name": comment.author},
            "deleted": comment.deleted,
            "links": {"html": {"href": link}},
        }


class LocalAzureDevOps(LocalCodeHost):
    """As dev.azure.com answers the token of a build."""

    most_characters = 150_000

    def environment(self) -> dict[str, str]:
        return {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": f"{self.url}/",
            "SYSTEM_TEAMPROJECT": "My Project",
            "BUILD_REPOSITORY_ID": "3411ebc1",
            "BUILD_REPOSITORY_PROVIDER": "TfsGit",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
            "SYSTEM_PULLREQUEST_ISFORK": str(self.fork),
            "SYSTEM_ACCESSTOKEN": TOKEN,
        }

    def is_allowed(self, asked: Asked) -> bool:
        basic = base64.b64encode(f":{TOKEN}".encode()).decode()
        return asked.headers.get("Authorization") == f"Basic {basic}"

    def unauthorized(self) -> Reply:
        page = b"\r\n<!DOCTYPE html><html><head><title>Azure DevOps Services | Sign In</title></head></html>"
        return Reply(status=203, raw=page, headers={"Content-Type": "text/html; charset=utf-8"})

    def answer(self, asked: Asked) -> Reply:
        if "api-version" not in asked.query:
            return Reply({"message": "No api-version was supplied", "typeKey": "VssVersionNotSpecifiedException"}, 400)
        request = "/My Project/_apis/git/repositories/3411ebc1/pullRequests/7"
        if asked.path == "/_apis/connectionData":
            return Reply(
                {"authenticatedUser": {"id": self.me, "providerDisplayName": "Build Service"}, "instanceId": "x"}
            )
        if asked.path == request:
            state = "active" if self.open else "completed"
            fork = {"forkSource": {"name": "refs/heads/x"}} if self.fork else {}
            return Reply(
                {"pullRequestId": 7, "status": state, "lastMergeSourceCommit": {"commitId": self.head}, **fork}
            )
        if asked.path == f"{request}/threads":
            if asked.method == "POST":
                return self._write(asked, None)
            return Reply({"value": [self._thread(comment) for comment in self.comments], "count": len(self.comments)})
        found = re.fullmatch(rf"{request}/threads/([0-9]+)/comments/1", asked.path)
        comment = self.find(found[1]) if found else None
        if comment is None:
            return Reply(
                {
                    "message": "TF401180: The requested pull request was not found.",
                    "typeKey": "GitPullRequestNotFoundException",
                },
                404,
            )
        if asked.method == "DELETE":
            comment.deleted = True
            return Reply(None)
        return Reply(self._shown(comment)) if asked.method == "GET" else self._write(asked, comment)

    def _write(self, asked: Asked, comment: Written | None) -> Reply:
        body = asked.value["content"] if comment else asked.value["comments"][0]["content"]
        if not self.can_write:
            said = "TF401027: You need the Git 'PullRequestContribute' permission on this resource."
            return Reply({"message": said, "typeKey": "GitNeedsPermissionException", "errorCode": 0}, 403)
        if len(body) > self.most_characters:
            return Reply(
                {"message": "The comment content exceeds the maximum length.", "typeKey": "ArgumentException"}, 400
            )
        if comment is None:
            return Reply(self._thread(self.say(body)))
        comment.body = body
        return Reply(self._shown(comment))

    def _thread(self, comment: Written) -> dict[str, Any]:
        return {"id": comment.id, "comments": [self._shown(comment)], "status": "closed", "isDeleted": comment.deleted}

    def _shown(self, comment: Written) -> dict[str, Any]:
        shown = {"id": 1, "parentCommentId": 0, "author": {"id": comment.author}, "commentType": "text"}
        return {**shown, "isDeleted": True} if comment.deleted else {**shown, "content": comment.body}


@contextmanager
def serving(host: LocalCodeHost) -> Iterator[LocalCodeHost]:
    """The API on a port of loopback, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            value = json.loads(content) if content else None
            reply = host.reply(Asked(self.command, unquote(parts.path), query, dict(self.headers), value))
            if reply.status == 0:  # cut
                self.close_connection = True
                return
            body = (
                reply.raw if reply.raw is not None else b"" if reply.value is None else json.dumps(reply.value).encode()
            )
            self.send_response_only(reply.status)  # with no Date but that of the reply
            for name, text in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - names of the standard library

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the standard library
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
