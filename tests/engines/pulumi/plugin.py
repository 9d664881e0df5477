"""A provider plugin for the cloud of cloud.py: `pulumi-resource-aws`, `-gcp`, `-azure-native` and `-kubernetes` start it with the name in FAKE_CLOUD_NAME.

What a cloud adds to what it was given (an address, an ARN) is added here; a change of what can't be changed replaces.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf import json_format, struct_pb2
from pulumi.provider.experimental import provider as api
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import main

sys.path.insert(0, str(Path(__file__).parent))

from cloud import Cloud
from provider_names import SET, is_id_of, name_property

NAME = os.environ["FAKE_CLOUD_NAME"]
CLOUD = Cloud(Path(os.environ["FAKE_CLOUD_FILE"]))
FIXED = (
    "instanceTypes",
    "machineType",
    "vmSize",
    "cidrBlock",
    "ipCidrRange",
    "location",
    "subnetIds",
    "availabilityZone",
)
"""Properties that can't change while the resource lives."""
GIVEN = "__given"
"""What a resource was made from, beside what the cloud added."""
ENDPOINT = os.environ.get("FAKE_CLOUD_ENDPOINT", "https://127.0.0.1:1")
AUTHORITY = os.environ.get("FAKE_CLOUD_AUTHORITY") or base64.b64encode(b"authority").decode()
"""The cluster that stands in for the cloud's: nobody, unless a test has one."""
WAY_IN = {"clusters": [{"cluster": {"server": ENDPOINT, "certificate-authority-data": AUTHORITY}}]}
KUBECONFIG = base64.b64encode(json.dumps(WAY_IN).encode()).decode()
ANSWERS = {
    "getAvailabilityZones": {"names": ["us-east-1a", "us-east-1b"], "zoneIds": ["use1-az1", "use1-az2"], "id": "zones"},
    "getRegion": {"name": "us-east-1", "region": "us-east-1", "id": "us-east-1"},
    "getZones": {"names": ["us-central1-a", "us-central1-b"], "id": "zones"},
    "getProject": {"projectId": "project-1", "number": "1234", "billingAccount": "0000", "id": "projects/project-1"},
    "getClientConfig": {"subscriptionId": "sub-1", "tenantId": "tenant-1", "objectId": "o", "clientId": "c"},
    "getCallerIdentity": {
        "accountId": "123456789012",
        "arn": "arn:aws:iam::123456789012:user/u",
        "userId": "u",
        "id": "i",
    },
    "listManagedClusterUserCredentials": {"kubeconfigs": [{"name": "user", "value": KUBECONFIG}]},
}


def plain(value: Any) -> Any:
    """A property as Python has it; what is not known yet as None."""
    inner = value.value if isinstance(value, PropertyValue) else value
    if isinstance(inner, Mapping):
        return {name: plain(each) for name, each in inner.items()}
    if isinstance(inner, list | tuple):
        return [plain(each) for each in inner]
    return inner if isinstance(inner, str | int | float | bool) or inner is None else None


def properties(values: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """Python's values as properties."""
    return {
        name: PropertyValue.unmarshal(json_format.ParseDict(value, struct_pb2.Value()))
        for name, value in values.items()
    }


def added(kind: str, name: str, identity: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the cloud adds to a resource."""
    short, own = kind.rpartition(":")[2], given.get("name") or f"{name}-{identity[-6:]}"
    state = {"name": own, "bucket": own, "arn": f"arn:aws:fake:us-east-1:123456789012:{identity}"} | dict(given)
    if kind == "aws:eks/cluster:Cluster":
        state |= {"vpcConfig": {**given["vpcConfig"], "clusterSecurityGroupId": f"sg-{identity[-8:]}"}}
    if short in {"Cluster", "ManagedCluster"}:
        state |= {"endpoint": ENDPOINT, "fqdn": "fake.azmk8s.io", "nodeResourceGroup": "nodes"}
        state |= {"certificateAuthority": {"data": AUTHORITY}, "masterAuth": {"clusterCaCertificate": AUTHORITY}}
    if short == "ManagedCluster":
        people = given["identity"].get("userAssignedIdentities") or ()
        people = {each: {"clientId": "c", "principalId": "p"} for each in people}
        state["identity"] = {**given["identity"], "userAssignedIdentities": people}
        state["oidcIssuerProfile"] = {"enabled": True, "issuerURL": "https://issuer.example.com"}
    if short == "NodeGroup":
        state["nodeGroupName"] = given.get("nodeGroupName", own)
    if short == "LaunchTemplate":
        state["latestVersion"] = 1
    if short in {"UserAssignedIdentity", "Account"}:
        state |= {
            "principalId": f"p-{identity}",
            "clientId": f"c-{identity}",
            "email": f"{identity}@project-1.example.com",
        }
    return state


OTHERWISE = {"azure-native:containerservice:ManagedCluster": ("identity",)}
"""By kind, what the cloud says in another form than it takes: a mapping of what is given as a list."""


def foreseen(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a preview says of a resource: what it is made from, but for what comes in another form."""
    return {name: value for name, value in given.items() if name not in OTHERWISE.get(kind, ())}


class FakeCloud(api.Provider):
    """Every resource of one cloud."""

    tags: Mapping[str, str] = {}
    """That the provider adds to those of each resource."""

    async def get_schema(self, request: api.GetSchemaRequest) -> api.GetSchemaResponse:
        return api.GetSchemaResponse(schema=json.dumps({"name": NAME, "version": "9.9.9", "resources": {}}))

    async def check_config(self, request: api.CheckRequest) -> api.CheckResponse:
        return api.CheckResponse(inputs=request.new_inputs)

    async def diff_config(self, request: api.DiffRequest) -> api.DiffResponse:
        return api.DiffResponse(changes=False)

    async def configure(self, request: api.ConfigureRequest) -> api.ConfigureResponse:
        defaults = plain(request.args).get("defaultTags") or "{}"
        defaults = json.loads(defaults) if isinstance(defaults, str) else defaults
        self.tags = dict(defaults.get("tags") or {})
        return api.ConfigureResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True, supports_preview=True
        )

    async def check(self, request: api.CheckRequest) -> api.CheckResponse:
        kind, name = request.urn.split("::")[2].rpartition("$")[2], request.urn.rpartition("::")[2]
        key = name_property(kind)
        if key is None or key in request.new_inputs:
            return api.CheckResponse(inputs=request.new_inputs)
        before = plain(request.old_inputs or {}).get(key)
        given = properties({key: before or f"{name}-{os.urandom(4).hex()[:7]}"})
        return api.CheckResponse(inputs={**request.new_inputs, **given})

    async def diff(self, request: api.DiffRequest) -> api.DiffResponse:
        old, new = json.loads(plain(request.old_state).get(GIVEN, "{}")), plain(request.new_inputs)
        changed = [name for name in {**old, **new} if new.get(name) is not None and old.get(name) != new.get(name)]
        replaced = [name for name in changed if name in FIXED]
        return api.DiffResponse(
            changes=bool(changed), diffs=changed, replaces=replaced, delete_before_replace=bool(replaced)
        )

    async def create(self, request: api.CreateRequest) -> api.CreateResponse:
        kind, name = request.urn.split("::")[2].rpartition("$")[2], request.urn.rpartition("::")[2]
        given = plain(request.properties)
        if request.preview:
            return api.CreateResponse(resource_id="", properties=foreseen(kind, request.properties))
        key = "|".join(str(given.get(each)) for each in SET.get(kind.rpartition(":")[2], ()))
        base = given | {GIVEN: json.dumps(given), "tagsAll": {**self.tags, **(given.get("tags") or {})}}
        adds = partial(added, kind, name, given=given)
        identity = await asyncio.to_thread(CLOUD.create, kind, name, base, key, adds)
        state = base | adds(identity)
        return api.CreateResponse(resource_id=identity, properties=properties(state))

    async def read(self, request: api.ReadRequest) -> api.ReadResponse:
        identity = self._resolved(request.urn, request.resource_id)
        found = await asyncio.to_thread(CLOUD.read, identity)
        if found is None:
            return api.ReadResponse(resource_id="", properties={}, inputs={})
        before, kind = json.loads(found.get(GIVEN, "{}")), request.urn.split("::")[2].rpartition("$")[2]
        pristine = before | added(kind, request.urn.rpartition("::")[2], identity, before)
        given = {
            name: value if found.get(name) == pristine[name] else found.get(name) for name, value in before.items()
        }
        state = {**found, GIVEN: json.dumps(given)}
        return api.ReadResponse(resource_id=identity, properties=properties(state), inputs=properties(given))

    async def update(self, request: api.UpdateRequest) -> api.UpdateResponse:
        kind = request.urn.split("::")[2].rpartition("$")[2]
        if request.preview:
            return api.UpdateResponse(properties=foreseen(kind, request.news))
        given, before = plain(request.news), plain(request.olds)
        otherwise = {name: before[name] for name in OTHERWISE.get(kind, ()) if name in before}
        state = before | given | otherwise | {GIVEN: json.dumps(given)}
        await asyncio.to_thread(CLOUD.update, self._resolved(request.urn, request.resource_id), state)
        return api.UpdateResponse(properties=properties(state))

    async def delete(self, request: api.DeleteRequest) -> None:
        await asyncio.to_thread(CLOUD.delete, self._resolved(request.urn, request.resource_id))

    def _resolved(self, urn: str, identity: str) -> str:
        """The cloud's id; names of resources are ids, too, as providers take them for import."""
        kind = urn.split("::")[2].rpartition("$")[2]
        same = [held for held in CLOUD.held() if held.type == kind]
        if any(held.id == identity for held in same):
            return identity
        named = (held.id for held in same if is_id_of(identity, kind, json.loads(held.properties[GIVEN])))
        return next(named, identity)

    def _answer(self, token: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """What the cloud says of what it holds, as AWS's provider does."""
        shown = [held for held in CLOUD.shown() if GIVEN in held.properties]
        if token == "getResources":
            (wanted,) = args["tagFilters"][0]["values"]
            return {
                "resourceTagMappingLists": [
                    {"resourceArn": f"arn:aws:fake:us-east-1:1234:{held.id}", "tags": held.properties["tagsAll"]}
                    for held in shown
                    if held.properties["tagsAll"].get("clusterctl.dev/run") == wanted
                ]
            }
        if token == "getRouteTable":
            joined = [h for h in shown if h.type.endswith(":RouteTableAssociation")]
            joined = [h for h in joined if h.properties["subnetId"] == args["subnetId"]]
            return {"associations": [{"routeTableAssociationId": each.id} for each in joined]}
        mounts = [h for h in shown if h.type.endswith(":MountTarget")]
        mounts = [h.id for h in mounts if h.properties["fileSystemId"] == args["fileSystemId"]]
        return {"mountTargetId": mounts[0]} if mounts else {}

    async def invoke(self, request: api.InvokeRequest) -> api.InvokeResponse:
        token = request.tok.rpartition(":")[2]
        if token in {"getResources", "getRouteTable", "getMountTarget"}:
            answer = await asyncio.to_thread(self._answer, token, plain(request.args))
            return api.InvokeResponse(return_value=properties(answer))
        return api.InvokeResponse(
            return_value=properties(ANSWERS.get(request.tok.rpartition(":")[2], {"id": request.tok}))
        )


if __name__ == "__main__":
    main(sys.argv[1:], "99.0.0", FakeCloud())
