"""Runs the Pulumi program on a plan without any engine, and prints its resources as JSON: type, name, inputs.

In an environment with Pulumi: `python resources_of_plan.py plan.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

RESOURCES: list[dict[str, Any]] = []
ANSWERS = {"names": ["zone-a", "zone-b", "zone-c"], "name": "region-1", "projectId": "project-1", "number": "1234"}
"""Of every data source that the program asks."""


class Mocks(pulumi.runtime.Mocks):
    """What a cloud adds to what it was given."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Notes a resource."""
        RESOURCES.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        state = {"arn": f"arn:{args.name}", "name": args.name, "bucket": args.name} | dict(args.inputs)
        if args.typ == "aws:eks/cluster:Cluster":
            state["vpcConfig"] = {**state["vpcConfig"], "clusterSecurityGroupId": "sg-1"}
        if args.typ == "azure-native:containerservice:ManagedCluster":
            state["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {"id": {"clientId": "c"}}}
            state["oidcIssuerProfile"] = {"enabled": True, "issuerURL": "https://issuer.example.com"}
        return f"{args.name}-id", state

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        """A data source."""
        return ANSWERS


def main() -> None:
    """See above."""
    pulumi.runtime.set_mocks(Mocks(), project="clusterctl", stack="rlcef-123456", preview=False)
    pulumi.runtime.set_all_config({"clusterctl:plan": sys.argv[1], "clusterctl:owner": "ledger-1"})
    from infra.provision import program

    pulumi.runtime.test(program)()
    json.dump(RESOURCES, sys.stdout)


main()
