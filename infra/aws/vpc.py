"""A network with private nodes: they reach the internet through a NAT gateway, and nothing reaches them from there."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

CIDR = "10.64.0.0/16"
"""The largest that AWS has: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"""
PRIVATE_CIDRS = ("10.64.0.0/17", "10.64.128.0/18")
"""Nodes are in the first, of 32,763 addresses: the CNI of EKS gives every pod one of its subnet."""
PUBLIC_CIDR = "10.64.192.0/24"
"""Of the NAT gateway; no node is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnets:
    """Where a cluster is."""

    vpc_id: pulumi.Output[str]
    zone: pulumi.Output[str]
    """Of the nodes."""
    ids: pulumi.Input[list[str]]
    node_subnet_id: pulumi.Output[str]
    """Where all nodes are."""


def existing_subnets(ids: pulumi.Input[list[str]], options: pulumi.InvokeOutputOptions) -> Subnets:
    """Subnets that are there; nodes are in the first."""
    first = pulumi.Output.from_input(ids)[0]
    found = aws.ec2.get_subnet_output(id=first, opts=options)
    return Subnets(vpc_id=found.vpc_id, zone=found.availability_zone, ids=ids, node_subnet_id=found.id)


class AwsNetwork(pulumi.ComponentResource):
    """zone: of the nodes; empty = the first of the region."""

    def __init__(self, name: str, *, zone: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:aws:Network", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        every = aws.get_availability_zones_output(state="available", opts=pulumi.InvokeOutputOptions(parent=self))
        node_zone: pulumi.Output[str] = every.names.apply(lambda names: zone or names[0])
        zones = pulumi.Output.all(node_zone, every.names).apply(
            lambda found: [found[0], *(each for each in found[1] if each != found[0])]
        )
        vpc = aws.ec2.Vpc(name, cidr_block=CIDR, enable_dns_hostnames=True, enable_dns_support=True, opts=child)
        nat = self._way_out(name, vpc, node_zone)
        routes = aws.ec2.RouteTable(
            "nodes",
            vpc_id=vpc.id,
            routes=[aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", nat_gateway_id=nat.id)],
            opts=child,
        )
        ids: list[pulumi.Output[str]] = []
        for number, cidr in enumerate(PRIVATE_CIDRS):  # EKS asks for two zones; traffic between them is paid
            subnet = aws.ec2.Subnet(
                f"nodes-{number}", vpc_id=vpc.id, cidr_block=cidr, availability_zone=zones[number], opts=child
            )
            aws.ec2.RouteTableAssociation(f"nodes-{number}", subnet_id=subnet.id, route_table_id=routes.id, opts=child)
            ids.append(subnet.id)
        region = aws.get_region_output(opts=pulumi.InvokeOutputOptions(parent=self))
        aws.ec2.VpcEndpoint(  # checkpoints go to the bucket without the NAT gateway, which is paid by the GB
            "s3",
            vpc_id=vpc.id,
            service_name=pulumi.Output.format("com.amazonaws.{0}.s3", region.name),
            vpc_endpoint_type="Gateway",
            route_table_ids=[routes.id],
            opts=child,
        )
        self.subnets = Subnets(vpc_id=vpc.id, zone=node_zone, ids=pulumi.Output.all(*ids), node_subnet_id=ids[0])
        self.register_outputs({"vpc_id": vpc.id})

    def _way_out(self, name: str, vpc: aws.ec2.Vpc, zone: pulumi.Output[str]) -> aws.ec2.NatGateway:
        child = pulumi.ResourceOptions(parent=self)
        gateway = aws.ec2.InternetGateway(name, vpc_id=vpc.id, opts=child)
        public = aws.ec2.Subnet("nat", vpc_id=vpc.id, cidr_block=PUBLIC_CIDR, availability_zone=zone, opts=child)
        out = aws.ec2.RouteTable(
            "nat",
            vpc_id=vpc.id,
            routes=[aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=gateway.id)],
            opts=child,
        )
        aws.ec2.RouteTableAssociation("nat", subnet_id=public.id, route_table_id=out.id, opts=child)
        address = aws.ec2.Eip("nat", domain="vpc", opts=child)
        return aws.ec2.NatGateway(
            name,
            allocation_id=address.id,
            subnet_id=public.id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
        )
