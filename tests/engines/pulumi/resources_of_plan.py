"""Runs the Pulumi program on a plan without any engine, and prints its resources as JSON: type, name, inputs.

In an environment with Pulumi: `python resources_of_plan.py plan.json [KEY=JSON ...]`, with more keys of the program.  The last row holds what the
program exports.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

RESOURCES: list[dict[str, Any]] = []
AUTHORITY = base64.b64encode(b"authority").decode()
KUBECONFIG = (
    f'{{"clusters": [{{"cluster": {{"server": "https://aks", "certificate-authority-data": "{AUTHORITY}"}}}}]}}'
)
ANSWERS = {
    "names": ["zone-a", "zone-b", "zone-c"],
    "name": "region-1",
    "id": "id-1",
    "arn": "arn:mine",
    "projectId": "project-1",
    "number": "1234",
    "accountId": "123456789012",
    "subscriptionId": "sub-1",
    "kubeconfigs": [{"name": "user", "value": base64.b64encode(KUBECONFIG.encode()).decode()}],
    "vpcId": "vpc-mine",
    "availabilityZone": "zone-b",
    "network": "network-mine",
    "selfLink": "subnet-mine",
    "endpoint": "endpoint-mine",
    "certificateAuthorities": [{"data": AUTHORITY}],
    "masterAuths": [{"clusterCaCertificate": AUTHORITY}],
    "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"], "clusterSecurityGroupId": "sg-mine"},
    "nodeResourceGroup": "nodes-mine",
    "oidcIssuerProfile": {"enabled": True, "issuerURL": "https://issuer.example.com"},
    "agentPoolProfiles": [{"name": "system", "vnetSubnetId": "subnet-mine"}],
}
"""Of every data source that the program asks."""


class Mocks(pulumi.runtime.Mocks):
    """What a cloud adds to what it was given."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Notes a resource."""
        RESOURCES.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        state = {"arn": f"arn:{args.name}", "name": args.name, "bucket": args.name} | dict(args.inputs)
        if args.typ == "aws:eks/cluster:Cluster":
            state["vpcConfig"] = {**state["vpcConfig"], "clusterSecurityGroupId": "sg-1"}
            state |= {"endpoint": "https://eks", "certificateAuthority": {"data": AUTHORITY}}
        if args.typ == "gcp:container/cluster:Cluster":
            state |= {"endpoint": "10.0.0.1", "masterAuth": {"clusterCaCertificate": AUTHORITY}}
        if args.typ.endswith(":NodeGroup"):
            state["nodeGroupName"] = args.name
        if args.typ == "azure-native:containerservice:ManagedCluster":
            state["nodeResourceGroup"] = "nodes"
            state["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {"id": {"clientId": "c"}}}
            state["oidcIssuerProfile"] = {"enabled": True, "issuerURL": "https://issuer.example.com"}
        return f"{args.name}-id", state

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        """A data source."""
        return ANSWERS


def main() -> None:
    """See above."""
    pulumi.runtime.set_mocks(Mocks(), project="clusterctl", stack="rlcef-123456", preview=False)
    more = dict(pair.split("=", 1) for pair in sys.argv[2:])
    config = {"plan": sys.argv[1], "owner": "ledger-1"} | more
    pulumi.runtime.set_all_config({f"clusterctl:{name}": value for name, value in config.items()})
    from infra.provision import program

    outputs: dict[str, Any] = {}

    def noted() -> pulumi.Output[Any]:
        real, pulumi.export = pulumi.export, outputs.__setitem__
        try:
            program()
        finally:
            pulumi.export = real
        return pulumi.Output.all(**outputs).apply(
            lambda found: RESOURCES.append({"type": "outputs", "name": "", "inputs": found})
        )

    pulumi.runtime.test(noted)()
    json.dump(RESOURCES, sys.stdout)


main()
