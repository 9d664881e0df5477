"""The fake cloud of cloud.py as EKS, EC2 and STS answer over HTTP, so that the product's own boto3 code resizes pools that
Pulumi has made, and sees their machines.  Machines begin and end at whole seconds, as AWS tells their ends."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from cloud import Cloud, Held

EC2 = '<?xml version="1.0"?><{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>{body}</{action}Response>'
STS = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ann</Arn>'
    "<UserId>U</UserId><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)
INSTANCE = (
    "<item><reservationId>r-{id}</reservationId><instancesSet><item><instanceId>{id}</instanceId><instanceState><code>16</code><name>{state}</name></instanceState>"
    "<launchTime>{since}</launchTime><reason>{reason}</reason><privateDnsName>{id}.internal</privateDnsName><placement><availabilityZone>us-east-1a</availabilityZone></placement>"
    "<tagSet><item><key>eks:nodegroup-name</key><value>{group}</value></item><item><key>eks:cluster-name</key><value>{cluster}</value></item></tagSet></item></instancesSet></item>"
)


def paid_from(cloud: Cloud, held: Held, properties: Mapping[str, Any], at: float) -> None:
    """A resource is another from this moment on, also on the cloud's meter."""
    cloud.update(held.id, properties)
    with cloud._open() as database:  # it was charged from when it was written, a moment later
        last = "SELECT MAX(since) FROM rates WHERE id = ?"
        database.execute(f"UPDATE rates SET since = ? WHERE id = ? AND since = ({last})", (at, held.id, held.id))


class EksFacade:
    """One account.  no_capacity: names of node groups to which no machine comes; changed: told of a group's new size."""

    def __init__(self, cloud: Cloud, changed: Callable[[str, int], None] = lambda *_: None) -> None:
        self._changed = changed
        self.cloud, self.no_capacity = cloud, set[str]()
        self.machines: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @property
    def live(self) -> list[str]:
        """Machines that are paid now."""
        return [identity for identity, machine in self.machines.items() if machine["until"] is None]

    def group(self, name: str) -> Held | None:
        """A node group as the cloud holds it."""
        found = [held for held in self.cloud.held() if held.properties.get("nodeGroupName") == name]
        return found[0] if found else None

    def describe(self, name: str) -> dict[str, Any] | None:
        """As `DescribeNodegroup` answers."""
        if (held := self.group(name)) is None:
            return None
        scaling = held.properties["scalingConfig"]
        short = self._live(name) < scaling["desiredSize"]
        issue = {"code": "AsgInstanceLaunchFailures", "message": "InsufficientInstanceCapacity: no capacity"}
        issues = [issue] if short and name in self.no_capacity else []
        row = {"nodegroupName": name, "status": "ACTIVE", "scalingConfig": scaling, "health": {"issues": issues}}
        return {"nodegroup": row}

    def resize(self, name: str, scaling: dict[str, int]) -> bool:
        """As `UpdateNodegroupConfig` does, at the next whole second."""
        if (held := self.group(name)) is None:
            return False
        with self._lock:
            time.sleep(1.0 - time.time() % 1.0)
            now, wanted = float(round(time.time())), scaling["desiredSize"]
            come = 0 if name in self.no_capacity else wanted
            paid = {
                **held.properties,
                "scalingConfig": {**held.properties["scalingConfig"], **scaling, "desiredSize": come},
            }
            paid_from(self.cloud, held, paid, now)
            self.cloud.note(held.id, {**paid, "scalingConfig": {**paid["scalingConfig"], "desiredSize": wanted}})
            live = [m for m in self.machines.values() if m["group"] == name and m["until"] is None]
            for machine in live[come:]:
                machine["until"] = now
            for _ in range(come - len(live)):
                identity = f"i-{len(self.machines) + 1:017x}"
                self.machines[identity] = {
                    "group": name,
                    "cluster": held.properties["clusterName"],
                    "since": now,
                    "until": None,
                }
            self._changed(name, come)
        return True

    def instances(self) -> str:
        """As `DescribeInstances` answers."""
        rows = []
        for identity, machine in self.machines.items():
            until = machine["until"]
            reason = (
                ""
                if until is None
                else f"User initiated ({datetime.fromtimestamp(until, tz=UTC):%Y-%m-%d %H:%M:%S} GMT)"
            )
            since = f"{datetime.fromtimestamp(machine['since'], tz=UTC):%Y-%m-%dT%H:%M:%S.000Z}"
            told = {"state": "running" if until is None else "terminated", "reason": reason, "since": since}
            rows.append(INSTANCE.format(id=identity, group=machine["group"], cluster=machine["cluster"], **told))
        return f"<reservationSet>{''.join(rows)}</reservationSet>"

    def _live(self, name: str) -> int:
        return sum(machine["group"] == name and machine["until"] is None for machine in self.machines.values())


@contextmanager
def serving(facade: EksFacade, address: str = "127.0.0.1") -> Iterator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, clusters, _, groups, group, *_ = [*unquote(urlparse(self.path).path).split("/"), "", "", "", ""]
            found = facade.describe(group) if (clusters, groups) == ("clusters", "node-groups") else None
            self._say(json.dumps(found or {"message": f"no {self.path}"}), 200 if found else 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            words = unquote(urlparse(self.path).path).split("/")
            if words[-1] == "update-config":
                done = facade.resize(words[4], json.loads(body)["scalingConfig"])
                self._say(json.dumps({"update": {"id": "u", "status": "InProgress"}}), 200 if done else 404)
                return
            action = parse_qs(body).get("Action", [""])[0]
            if action == "GetCallerIdentity":
                self._say(STS, 200)
            elif action == "DescribeInstances":
                self._say(EC2.format(action=action, body=facade.instances()), 200)
            else:
                self._say(
                    f"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>{action}</Message></Error></Errors></Response>",
                    403,
                )

        def _say(self, text: str, status: int) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/xml")
            if status == 404:
                self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # whoever asked was killed meanwhile
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
