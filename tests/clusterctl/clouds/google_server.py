"""A project of Google Cloud on this machine, in the formats of its REST interfaces:
https://cloud.google.com/compute/docs/reference/rest/v1, …/kubernetes-engine/docs/reference/rest,
…/storage/docs/json_api.  Only what is asked here; pages hold one row, so that every listing has several.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PROJECT = "my-project"
ERRORS = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
ERRORS |= {400: "FAILED_PRECONDITION", 409: "ALREADY_EXISTS", 503: "UNAVAILABLE"}


class RefusedError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Google:
    """What is there."""

    things: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    """Kind as in URLs, place (zones/z, regions/r, global), name → row."""
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    group_errors: list[dict[str, Any]] = field(default_factory=list)
    quotas: list[dict[str, Any]] = field(default_factory=list)
    project_quotas: list[dict[str, Any]] = field(default_factory=list)
    family_limits: list[dict[str, Any]] = field(default_factory=list)
    missing_zones: list[str] = field(default_factory=list)
    unreachable: str = ""
    """A place that aggregated listings can't reach."""
    refuse: dict[str, list[int]] = field(default_factory=dict)
    """Beginning of a path → codes of the next answers."""
    asked: list[str] = field(default_factory=list)

    def add(self, kind: str, place: str, name: str, **row: Any) -> None:
        self.things[kind, place, name] = {"name": name, "creationTimestamp": "2026-11-30T04:00:00.000-08:00", **row}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        self.asked.append(f"{method} {path}")
        for begin, codes in self.refuse.items():
            if re.match(begin, path) and codes:
                raise RefusedError(codes.pop(0), f"refused: {path}")
        if path == "/token":
            return {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        if path.startswith("/compute/v1/"):
            return self._compute(method, path.removeprefix(f"/compute/v1/projects/{PROJECT}").strip("/"), query)
        if path.startswith("/storage/v1/b"):
            return self._storage(method, path.removeprefix("/storage/v1/b").strip("/"), query)
        if "/serviceAccounts" in path:
            return self._accounts(method, unquote(path.rpartition("/")[2]), query)
        if "quotaInfos" in path:
            return {"dimensionsInfos": self.family_limits}
        return self._container(method, path.removeprefix(f"/v1/projects/{PROJECT}/locations/"), body)

    def _compute(self, method: str, path: str, query: dict[str, str]) -> Any:
        words = path.split("/")
        if not path:
            return {"name": PROJECT, "quotas": self.project_quotas}
        if words[0] == "aggregated":
            return self._aggregated(words[1], query)
        if words[0] == "regions" and len(words) == 2:
            return {"name": words[1], "quotas": self.quotas}
        if path == "regions":
            return {"items": [{"name": "us-central1"}]}
        if "instanceGroupManagers" in words:
            return {"items": self.group_errors} if words[-1] == "listErrors" else self.groups[words[-1]]
        place, kind = ("/".join(words[:2]), words[2]) if words[0] != "global" else ("global", words[1])
        if method == "DELETE":
            return self._delete(kind, place, words[-1])
        return self._page([row for (of, where, _), row in self.things.items() if (of, where) == (kind, place)], query)

    def _aggregated(self, kind: str, query: dict[str, str]) -> Any:
        """A page holds one row of one place."""
        rows = [(where, row) for (of, where, _), row in self.things.items() if of == kind]
        if wanted := re.fullmatch(r"labels\.([\w-]+)=(.*)", query.get("filter", "")):
            rows = [(where, row) for where, row in rows if row.get("labels", {}).get(wanted[1]) == wanted[2]]
        at = int(query.get("pageToken") or 0)
        items = {where: {kind: [row]} for where, row in rows[at : at + 1]}
        if self.unreachable:
            items[self.unreachable] = {"warning": {"code": "UNREACHABLE", "message": "down"}}
        return {"items": items} | ({"nextPageToken": str(at + 1)} if at + 1 < len(rows) else {})

    def _page(self, rows: list[Any], query: dict[str, str]) -> Any:
        at = int(query.get("pageToken") or 0)
        more = {"nextPageToken": str(at + 1)} if at + 1 < len(rows) else {}
        return {"items": rows[at : at + 1]} | more

    def _delete(self, kind: str, place: str, name: str) -> Any:
        if (kind, place, name) not in self.things:
            raise RefusedError(404, f"The resource '{name}' was not found")
        users = [row["name"] for row in self.things.values() if name in row.get("uses", "")]
        if users:
            raise RefusedError(400, f"The resource '{name}' is already being used by '{users[0]}'")
        del self.things[kind, place, name]
        return {"name": "operation-1", "status": "RUNNING"}

    def _accounts(self, method: str, name: str, query: dict[str, str]) -> Any:
        if method == "GET":
            at = int(query.get("pageToken") or 0)
            rows = list(self.accounts.values())
            return {"accounts": rows[at : at + 1]} | ({"nextPageToken": str(at + 1)} if at + 1 < len(rows) else {})
        if self.accounts.pop(name, None) is None:
            raise RefusedError(404, "Unknown service account")
        return {}

    def _storage(self, method: str, path: str, query: dict[str, str]) -> Any:
        bucket, _, rest = path.partition("/")
        if bucket and bucket not in self.buckets:
            raise RefusedError(404, "The specified bucket does not exist.")
        if method == "GET" and rest:  # a page begins behind a name, whatever was removed meanwhile
            left = [row for row in self.objects.get(bucket, []) if row["generation"] > query.get("pageToken", "")]
            return {"items": left[:1]} | ({"nextPageToken": left[0]["generation"]} if len(left) > 1 else {})
        if method == "GET":
            return self._page(list(self.buckets.values()), query)
        if rest:
            name = unquote(rest.removeprefix("o/"))
            kept = [
                row for row in self.objects[bucket] if (row["name"], row["generation"]) != (name, query["generation"])
            ]
            self.objects[bucket] = kept
        elif self.objects.get(bucket):
            raise RefusedError(409, "The bucket you tried to delete is not empty.")
        else:
            del self.buckets[bucket]
        return None

    def _container(self, method: str, path: str, body: Any) -> Any:
        if path == "-/clusters":
            return {"clusters": list(self.clusters.values()), "missingZones": self.missing_zones}
        name = path.split("/")[2]
        if name not in self.clusters:
            raise RefusedError(404, f"Not found: {name}")
        cluster = self.clusters[name]
        if method == "DELETE":
            del self.clusters[name]
            return {"name": "operation-2"}
        if "nodePools" in path:
            pool = cluster["nodePools"][0]
            if path.endswith(":setSize"):
                if cluster.get("status") == "RECONCILING":
                    raise RefusedError(400, "Cluster is running incompatible operation operation-3.")
                self.groups[pool["name"]]["targetSize"] = body["nodeCount"]
            return pool
        return cluster


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    google: Google

    def _do(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode()
        body = json.loads(text) if text.startswith("{") else None
        query = {key: value for key, value in parse_qsl(parts.query) if not key.startswith("$")}
        code = 200
        try:
            said = self.google.answer(self.command, parts.path, query, body)
        except RefusedError as error:
            code = error.code
            said = {"error": {"code": code, "message": error.message, "status": ERRORS[code]}}
        data = json.dumps(said).encode() if said is not None else b""
        self.send_response(code if said is not None else 204)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _do  # noqa: N815

    def log_message(self, *_: Any) -> None:
        return


def serve(google: Google) -> ThreadingHTTPServer:
    handler = type("OneProject", (Handler,), {"google": google})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def account(folder: Any, url: str) -> str:
    """A service account's file: its key is real, and its token comes from `url`."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "account.json"
    file.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key": key.decode(),
                "client_email": f"me@{PROJECT}.iam.gserviceaccount.com",
                "token_uri": f"{url}/token",
            }
        )
    )
    return str(file)
