"""Rules on who reaches machines and clusters from the internet: firewalls of each cloud, and the API of clusters.

Fields and defaults as the providers document them: an AWS rule names ports, protocol -1 is all; a firewall of Google
Cloud without a source lets everybody in; EKS, GKE and AKS serve a public API unless told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    RuleSetting,
    SafetySetting,
    StackFacts,
    at,
    is_false,
    is_true,
    is_unknown,
    items,
    leaves,
    mappings,
    plain_type,
    short_type,
)

OPEN = frozenset({"0.0.0.0/0", "::/0", "*", "Internet", "internet", "any", "Any"})
_WAY_OUT = {("aws:ec2/routeTable:RouteTable", ".routes.cidrBlock")}
"""Where the whole internet may stand also by the strict rule: how private nodes get out."""
_ICMP = frozenset({"icmp", "icmpv6", "1", "58", "icmpv4", "ipv6-icmp"})
PortRange = tuple[int, int]
ALL_PORTS: PortRange = (0, 65_535)
Port = Annotated[int, Field(strict=True, ge=0, le=65_535)]


class OpenNetworkSetting(SafetySetting):
    """`open-network`."""

    ports: tuple[Port, ...] = Field((80, 443), description="Ports that may be open to everybody.")


def _open_network(kind: str, properties: Properties, setting: OpenNetworkSetting, _stack: StackFacts) -> Iterator[str]:
    if setting.strict:
        yield from _any_open_value(kind, properties)
        return
    for source, ports in _let_in(plain_type(kind), properties):
        closed = [found for found in ports if not _is_allowed(found, setting.ports)]
        if closed:
            yield f"{_ports_text(closed)} {'is' if _is_one(closed) else 'are'} open to everybody ({source})"


def _is_allowed(ports: PortRange, allowed: Iterable[int]) -> bool:
    return set(range(ports[0], ports[1] + 1)) <= set(allowed) if ports[1] - ports[0] < 1000 else False


def _is_one(ports: list[PortRange]) -> bool:
    return len(ports) == 1 and (ports[0][0] == ports[0][1] or ports[0] == ALL_PORTS)


def _ports_text(ports: list[PortRange]) -> str:
    if ALL_PORTS in ports:
        return "every port"
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ports]
    return f"port{'' if _is_one(ports) else 's'} {', '.join(words)}"


def _let_in(kind: str, properties: Properties) -> Iterator[tuple[str, list[PortRange]]]:
    """Each source that is the whole internet, and the ports to which it is let."""
    if kind.startswith("aws:"):
        yield from _aws(kind, properties)
    elif kind.startswith("gcp:compute/"):
        yield from _gcp(kind, properties)
    elif kind in {
        "azure-native:network:NetworkSecurityGroup",
        "azure:network/networkSecurityGroup:NetworkSecurityGroup",
    }:
        for rule in mappings(properties.get("securityRules")):
            yield from _azure(rule)
    elif kind in {"azure-native:network:SecurityRule", "azure:network/networkSecurityRule:NetworkSecurityRule"}:
        yield from _azure(properties)
    elif kind in {"kubernetes:core/v1:Service", "kubernetes:core:Service"}:
        yield from _kubernetes(properties)


def _aws(kind: str, properties: Properties) -> Iterator[tuple[str, list[PortRange]]]:
    rules: list[Mapping[str, Any]] = []
    short = short_type(kind)
    if short in {"SecurityGroup", "DefaultSecurityGroup"}:
        rules = mappings(properties.get("ingress"))
    elif short == "SecurityGroupIngressRule" or (short == "SecurityGroupRule" and properties.get("type") == "ingress"):
        rules = [properties]
    for rule in rules:
        protocol = str(rule.get("protocol", rule.get("ipProtocol", "-1")))
        if protocol in _ICMP:
            continue
        sources = [
            *items(rule.get("cidrBlocks")),
            *items(rule.get("ipv6CidrBlocks")),
            *items(rule.get("cidrIpv4")),
            *items(rule.get("cidrIpv6")),
        ]
        ports = ALL_PORTS if protocol in {"-1", "all"} else _range(rule.get("fromPort"), rule.get("toPort"))
        if ports is not None:
            yield from ((source, [ports]) for source in sources if source in OPEN)


def _range(first: Any, last: Any) -> PortRange | None:
    """None where a port is known only after the apply."""
    if is_unknown(first) or is_unknown(last):
        return None
    try:
        return (int(first), int(last if last is not None else first))
    except (TypeError, ValueError):
        return ALL_PORTS


def _gcp(kind: str, properties: Properties) -> Iterator[tuple[str, list[PortRange]]]:
    if str(properties.get("direction", "INGRESS")).upper() == "EGRESS" or is_true(properties.get("disabled")):
        return
    if short_type(kind) == "Firewall":
        narrowed = ("sourceRanges", "sourceTags", "sourceServiceAccounts")
        stated = [properties.get(name) for name in narrowed]
        sources = ["0.0.0.0/0, the default"] if not any(stated) else items(stated[0])
        allowed = mappings(properties.get("allows"))
        names = ("protocol", "ports")
    elif re.search(r"FirewallPolicyRule$", kind) and properties.get("action") == "allow":
        sources = items(at(properties, "match.srcIpRanges"))
        allowed = mappings(at(properties, "match.layer4Configs"))
        names = ("ipProtocol", "ports")
    else:
        return
    ports: list[PortRange] = []
    for rule in allowed:
        if str(rule.get(names[0])).lower() not in _ICMP:
            ports += _all_parsed(rule[names[1]]) if rule.get(names[1]) else [ALL_PORTS]
    if ports:
        yield from ((source, ports) for source in sources if str(source).partition(",")[0] in OPEN)


def _all_parsed(texts: Any) -> list[PortRange]:
    return [found for text in items(texts) if (found := _parsed(text)) is not None]


def _parsed(text: Any) -> PortRange | None:
    """`22`, `8000-9000` or `*`."""
    if str(text) in {"*", "any", "Any"}:
        return ALL_PORTS
    first, dash, last = str(text).partition("-")
    return _range(first, last if dash else first)


def _azure(rule: Mapping[str, Any]) -> Iterator[tuple[str, list[PortRange]]]:
    if str(rule.get("access")).lower() != "allow" or str(rule.get("direction")).lower() != "inbound":
        return
    if str(rule.get("protocol", "*")).lower() in _ICMP:
        return
    sources = [*items(rule.get("sourceAddressPrefix")), *items(rule.get("sourceAddressPrefixes"))]
    ports = _all_parsed(rule.get("destinationPortRange")) + _all_parsed(rule.get("destinationPortRanges"))
    if ports:
        yield from ((source, ports) for source in sources if source in OPEN)


_INTERNAL = re.compile(r"internal|load-balancer-scheme|load-balancer-type")


def _kubernetes(properties: Properties) -> Iterator[tuple[str, list[PortRange]]]:
    spec = properties.get("spec")
    if at(spec, "type") != "LoadBalancer":
        return
    notes = at(properties, "metadata.annotations")
    if is_unknown(notes) or any(_INTERNAL.search(str(key)) for key in (notes or {})):
        return  # it is internal, or another controller decides
    ranges = [*items(at(spec, "loadBalancerSourceRanges"))]
    if is_unknown(at(spec, "loadBalancerSourceRanges")) or (ranges and not OPEN & {str(found) for found in ranges}):
        return
    ports = [found for port in mappings(at(spec, "ports")) if (found := _range(port.get("port"), None)) is not None]
    if ports:
        yield "a load balancer without source ranges", ports


def _any_open_value(kind: str, properties: Properties) -> Iterator[str]:
    if kind.startswith("kubernetes:"):
        return
    for path, value in leaves(properties):
        if isinstance(value, str) and value in OPEN and (kind, path) not in _WAY_OUT:
            if path.lower().endswith(("policy", ".principal", ".protocol", ".ipprotocol")):
                continue
            yield f"{path.lstrip('.')} is open to everybody ({value})"
        if re.search(r"(?i)(nodePublicIp|associatePublicIp|mapPublicIp)", path) and value is True:
            yield f"{path.lstrip('.')} gives machines addresses on the internet"


def _public_endpoint(kind: str, properties: Properties, _setting: RuleSetting, _stack: StackFacts) -> Iterator[str]:
    found = _api_is_open(plain_type(kind), properties)
    if found:
        yield f"the cluster's API is open to everybody: {found}"


def _api_is_open(kind: str, properties: Properties) -> str:
    """How it is closed; empty where it is, or where only the apply will tell."""
    if kind == "aws:eks/cluster:Cluster":
        network = properties.get("vpcConfig")
        cidrs = at(network, "publicAccessCidrs")
        private = is_false(at(network, "endpointPublicAccess")) or is_unknown(at(network, "endpointPublicAccess"))
        is_open = not private and not is_unknown(cidrs) and (not cidrs or bool(OPEN & set(map(str, items(cidrs)))))
        return "name who may reach it in vpcConfig.publicAccessCidrs" if is_open else ""
    if kind == "gcp:container/cluster:Cluster":
        networks = properties.get("masterAuthorizedNetworksConfig")
        blocks = mappings(at(networks, "cidrBlocks"))
        is_private = is_true(at(properties, "privateClusterConfig.enablePrivateEndpoint")) or is_unknown(networks)
        is_open = not is_private and (networks is None or any(block.get("cidrBlock") in OPEN for block in blocks))
        return "name who may reach it in masterAuthorizedNetworksConfig" if is_open else ""
    if kind in {
        "azure-native:containerservice:ManagedCluster",
        "azure:containerservice/kubernetesCluster:KubernetesCluster",
    }:
        access = properties.get("apiServerAccessProfile")
        is_private = is_true(at(access, "enablePrivateCluster")) or is_true(properties.get("privateClusterEnabled"))
        ranges = [at(access, "authorizedIPRanges"), at(access, "authorizedIpRanges")]
        ranges.append(properties.get("apiServerAuthorizedIpRanges"))
        is_private |= is_unknown(access) or any(is_unknown(each) for each in ranges)
        stated = [str(item) for each in ranges for item in items(each)]
        is_open = not is_private and (not stated or bool(OPEN & set(stated)))
        return "name who may reach it in apiServerAccessProfile.authorizedIPRanges" if is_open else ""
    return ""


OPEN_NETWORK = ResourceRule(
    rule=Rule(
        id="open-network",
        group="safety",
        summary="A firewall lets the whole internet in, on ports other than those of `ports`.",
        why="Whatever listens there is found and tried within minutes.",
        setting=OpenNetworkSetting,
    ),
    problems=_open_network,
)
PUBLIC_ENDPOINT = ResourceRule(
    rule=Rule(
        id="public-endpoint",
        group="safety",
        summary="The API of an EKS, GKE or AKS cluster answers every address.",
        why="A leaked credential or a hole in the API server is then enough to take the whole fleet.",
    ),
    problems=_public_endpoint,
)
