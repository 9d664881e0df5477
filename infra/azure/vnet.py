"""A network with private nodes: they reach the internet through a NAT gateway, and nothing reaches them from there."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import network, resources

from infra.node_fleet import Fleet

CIDR, NODES_CIDR = "10.64.0.0/16", "10.64.0.0/17"


class AzureNetwork(pulumi.ComponentResource):
    """One subnet for nodes; pods have addresses of their own behind them."""

    def __init__(
        self, name: str, *, fleet: Fleet, group: resources.ResourceGroup, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("clusterctl:azure:Network", name, opts=opts)
        tags, child = fleet.tags, pulumi.ResourceOptions(parent=self)
        whole = network.VirtualNetwork(
            name,
            resource_group_name=group.name,
            address_space=network.AddressSpaceArgs(address_prefixes=[CIDR]),
            tags=tags,
            opts=child,
        )
        address = network.PublicIPAddress(
            "nat",
            resource_group_name=group.name,
            sku=network.PublicIPAddressSkuArgs(name=network.PublicIPAddressSkuName.STANDARD),
            public_ip_allocation_method=network.IPAllocationMethod.STATIC,
            tags=tags,
            opts=child,
        )
        nat = network.NatGateway(
            "nat",
            resource_group_name=group.name,
            sku=network.NatGatewaySkuArgs(name=network.NatGatewaySkuName.STANDARD),
            public_ip_addresses=[network.SubResourceArgs(id=address.id)],
            tags=tags,
            opts=child,
        )
        closed = network.NetworkSecurityGroup("nodes", resource_group_name=group.name, tags=tags, opts=child)
        subnet = network.Subnet(
            "nodes",
            resource_group_name=group.name,
            virtual_network_name=whole.name,
            address_prefix=NODES_CIDR,
            default_outbound_access=False,
            nat_gateway=network.SubResourceArgs(id=nat.id),
            network_security_group=network.NetworkSecurityGroupArgs(id=closed.id),
            service_endpoints=[network.ServiceEndpointPropertiesFormatArgs(service="Microsoft.Storage")],
            opts=child,
        )
        self.id, self.subnet_id = whole.id, subnet.id
        self.register_outputs({"id": self.id, "subnet_id": self.subnet_id})
