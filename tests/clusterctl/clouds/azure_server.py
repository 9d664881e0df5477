"""A subscription of Azure on this machine, in the formats of its resource manager:
https://learn.microsoft.com/rest/api/resources, …/compute, …/aks.  Only what is asked here; pages hold one row.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SUBSCRIPTION = "00000000-1111-2222-3333-444444444444"
ROOT = f"/subscriptions/{SUBSCRIPTION}"


class RefusedError(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Subscription:
    """What is there."""

    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id in small letters."""
    budgets: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Answers to other paths, in small letters."""
    machines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    usages: list[dict[str, Any]] = field(default_factory=list)
    skus: list[dict[str, Any]] = field(default_factory=list)
    refuse: dict[str, list[int]] = field(default_factory=dict)
    """Pattern of a path → statuses of the next answers."""
    token: int = 200
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, group: str, kind: str, name: str, **row: Any) -> str:
        thing = f"{ROOT}/resourceGroups/{group}/providers/{kind}/{name}"
        created = "2026-11-30T12:00:00.1234567Z"
        self.resources[thing.lower()] = {"id": thing, "name": name, "type": kind, "createdTime": created, **row}
        return thing

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        self.asked.append(f"{method} {path}")
        for pattern, statuses in self.refuse.items():
            if re.search(pattern, path) and statuses:
                status = statuses.pop(0)
                raise RefusedError(status, {403: "AuthorizationFailed", 429: "TooManyRequests"}.get(status, "Odd"))
        small = path.lower()
        listing = self._listing(small.removeprefix(ROOT), query)
        if listing is not None:
            return self._page(path, query, listing)
        if method == "DELETE":
            return self._delete(small)
        if method == "PUT":
            self.details[small]["properties"]["count"] = body["properties"]["count"]
        if small == ROOT:
            return {"subscriptionId": SUBSCRIPTION, "displayName": "mine"}
        if small in self.details:
            return self.details[small]
        if small in self.resources:
            return self.resources[small]
        raise RefusedError(404, "ResourceNotFound")

    def _listing(self, path: str, query: dict[str, str]) -> list[dict[str, Any]] | None:
        if path == "/resources":
            return self._with_tags(self.resources, query)
        if path == "/resourcegroups":
            return self._with_tags(self.groups, query)
        if inside := re.fullmatch("/resourcegroups/([^/]+)/resources", path):
            return [row for key, row in self.resources.items() if f"/resourcegroups/{inside[1]}/" in key]
        if path == "/locations":
            return [{"name": "eastus"}, {"name": "westeurope"}]
        if path.endswith("/budgets"):
            return self.budgets
        if path.endswith("/usages"):
            return self.usages
        if path.endswith("/skus"):
            return self.skus
        if path.endswith("/virtualmachinescalesets"):
            return [row for row in self.resources.values() if row["type"].endswith("virtualMachineScaleSets")]
        if path.endswith("/virtualmachines"):
            return self.machines[path.split("/")[-2]]
        return None

    def _with_tags(self, rows: dict[str, dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
        key, value = re.fullmatch(r"tagName eq '(.*?)'(?: and tagValue eq '(.*)')?", query["$filter"]).groups()  # type: ignore[union-attr]
        found = [row for row in rows.values() if key in row.get("tags", {})]
        return [row for row in found if value is None or row["tags"][key] == value]

    def _page(self, path: str, query: dict[str, str], rows: list[dict[str, Any]]) -> Any:
        at = int(query.get("$skiptoken", 0))
        kept = "".join(f"&{key}={value}" for key, value in query.items() if key != "$skiptoken").replace(" ", "%20")
        link = f"{self.url}{path}?$skiptoken={at + 1}{kept}"
        return {"value": rows[at : at + 1]} | ({"nextLink": link} if at + 1 < len(rows) else {})

    def _delete(self, path: str) -> Any:
        name = path.rpartition("/")[2]
        if "/providers/" in path:
            if path not in self.resources:
                raise RefusedError(404, "ResourceNotFound")
            if any(name in row.get("uses", "") for row in self.resources.values()):
                raise RefusedError(400, "InUseSubnetCannotBeDeleted")
            del self.resources[path]
            self.budgets = [row for row in self.budgets if row["id"].lower() != path]
        else:
            self.groups.pop(name)
            self.resources = {key: row for key, row in self.resources.items() if f"/resourcegroups/{name}/" not in key}
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    subscription: Subscription

    def _do(self) -> None:
        parts = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        status, said = 200, None
        try:
            if parts.path == "/msi/token":
                status = self.subscription.token
                said = {"access_token": "t", "expires_on": "4102444800", "resource": "x", "token_type": "Bearer"}
            elif self.headers.get("Authorization") != "Bearer t":
                raise RefusedError(401, "InvalidAuthenticationToken")
            else:
                said = self.subscription.answer(self.command, parts.path, query, json.loads(text) if text else None)
        except RefusedError as error:
            status = error.status
            said = {"error": {"code": error.code, "message": f"refused: {parts.path}"}}
        data = b"" if said is None else json.dumps(said).encode()
        self.send_response(202 if said is None else status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_DELETE = do_POST = _do  # noqa: N815

    def log_message(self, *_: Any) -> None:
        return


def serve(subscription: Subscription) -> ThreadingHTTPServer:
    handler = type("OneSubscription", (Handler,), {"subscription": subscription})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    subscription.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
