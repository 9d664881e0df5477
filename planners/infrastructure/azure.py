"""What the resources of Azure (native and classic) cost, by type."""

from __future__ import annotations

from typing import Final

from planners.infrastructure import azure_machines as machines
from planners.infrastructure.bill import AFTER_APPLY, ResourceBill
from planners.infrastructure.defaults import AZURE_IP_SKU, AZURE_LB_SKU
from planners.infrastructure.kinds import names
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.tables import Pricer, by_use, free, once, unpriced
from planners.infrastructure.value import UNKNOWN


def _sku(own: Properties) -> str:
    value = own.get("sku")
    return value.lower() if isinstance(value, str) else own.text("sku.name", "skuName", "sku.tier").lower()


def _address(bill: ResourceBill) -> None:
    own = bill.properties
    if own.text("publicIPAddressVersion", "ipVersion").lower() == "ipv6":
        bill.unpriced("public IPv6 address", "hour")
        return
    sku = _sku(own)
    words = () if sku else (AZURE_IP_SKU.words,)
    sku = sku or str(AZURE_IP_SKU.value)
    if own.text("sku.tier", "skuTier").lower() == "global":
        bill.item("public IPv4 address, global", "public_ip_global", 1)
    elif sku == "basic":
        static = own.text("publicIPAllocationMethod", "allocationMethod").lower() == "static"
        if static:
            bill.unpriced("public IPv4 address, basic static", "hour")
        else:
            bill.item("public IPv4 address, basic", "public_ip_basic_dynamic", 1)
    else:
        bill.item("public IPv4 address", "public_ip_standard_static", 1, assumed=words)


def _address_prefix(bill: ResourceBill) -> None:
    length = bill.properties.number("prefixLength")
    length = 28.0 if length is None else length
    count: Number = 2.0 ** (32 - length) if isinstance(length, float) else UNKNOWN
    bill.item("public IPv4 addresses of the prefix", "public_ip_standard_static", count)


def _load_balancer(bill: ResourceBill) -> None:
    own = bill.properties
    sku = _sku(own)
    words = () if sku else (AZURE_LB_SKU.words,)
    if sku == "basic":
        bill.free()
        return
    if sku == "gateway":
        bill.unpriced("gateway load balancer", "hour")
        return
    kinds = ("loadBalancingRules", "outboundRules", "inboundNatRules")
    if any(own.is_unknown(kind) for kind in kinds):
        bill.unpriced("rules", "rule-hour", why=f"their number is {AFTER_APPLY}")
    rules = sum(len(own.list(kind)) for kind in kinds[:2])
    if rules:
        bill.item("rules", "lb_standard_rule_hour", rules, assumed=words, unit="rule-hour")
    else:
        bill.note("its rules are billed; it has none of its own")
    bill.by_use("data through it", "lb_standard_data")


def _registry(bill: ResourceBill) -> None:
    sku = _sku(bill.properties)
    if sku in ("basic", "premium"):
        bill.item(f"registry, {sku}", f"acr_{sku}", 1, unit="day")
    else:
        bill.unpriced(f"registry, {sku or 'tier ' + AFTER_APPLY}", "day")
    bill.by_use("what it holds over what is included", "acr_storage_over_included")


def _storage(bill: ResourceBill) -> None:
    own = bill.properties
    kind = _sku(own)
    redundancy = kind.rpartition("_")[2] if kind else (own.text("accountReplicationType") or "lrs").lower()
    item = {"lrs": "object_storage_hot_lrs_first_50tb", "zrs": "object_storage_hot_zrs_first_50tb"}.get(redundancy, "")
    is_premium = kind.startswith("premium") or own.text("accountTier").lower() == "premium"
    is_hot = own.text("accessTier").lower() in ("", "hot")
    bill.by_use("what it holds", item if is_hot and not is_premium else "", "GB-month")


def _share(bill: ResourceBill) -> None:
    own = bill.properties
    quota = own.number("shareQuota", "quota")
    if own.text("accessTier").lower() == "premium":
        bill.item("premium share", "files_premium_lrs", quota)
    else:
        bill.by_use("what it holds", "files_standard_transaction_optimized_lrs")


def _nat(bill: ResourceBill) -> None:
    bill.item("NAT gateway", "nat_gateway_hour", 1)
    bill.by_use("data through it", "nat_gateway_data")


def _vpn_gateway(bill: ResourceBill) -> None:
    sku = _sku(bill.properties)
    if bill.properties.text("gatewayType", "type").lower() == "expressroute" or not sku:
        bill.unpriced("gateway", "hour")
        return
    bill.item(f"VPN gateway, {sku}", f"vpn_gateway_{sku}_hour", 1)


def _application_gateway(bill: ResourceBill) -> None:
    sku = _sku(bill.properties)
    item = {"waf_v2": "app_gateway_waf_v2", "basic": "app_gateway_basic_v2"}.get(sku)
    if item is None:
        bill.unpriced("application gateway", "hour")
        return
    bill.item("application gateway", f"{item}_hour", 1)
    bill.by_use("capacity units", f"{item}_capacity_unit")


def _private_endpoint(bill: ResourceBill) -> None:
    bill.item("private endpoint", "private_endpoint_hour", 1)
    bill.by_use("data through it", "private_endpoint_data_first_1pb")


def _lustre(bill: ResourceBill) -> None:
    own = bill.properties
    size, sku = own.number("storageCapacityTiB", "storageCapacityInTb"), _sku(own)
    if "250" in sku:
        gib: Number = size * 1024 if isinstance(size, float) else size
        bill.item("Managed Lustre, 250 MB/s per TiB", "amlfs_250", gib)
    else:
        bill.unpriced("Managed Lustre", "GiB-month")


def _capacity_reservation(bill: ResourceBill) -> None:
    own = bill.properties
    bill.nodes(own.number("sku.capacity"))
    machine = own.get("sku.name")
    bill.machine(machine if isinstance(machine, str) else UNKNOWN, per="node")
    bill.note("machines that run in the reservation are billed once: here or there")


PRICERS: Final[dict[str, Pricer]] = {
    "compute:virtualmachine": machines.virtual_machine,
    "compute:linuxvirtualmachine": machines.virtual_machine,
    "compute:windowsvirtualmachine": machines.virtual_machine,
    "compute:virtualmachinescaleset": machines.scale_set,
    "compute:scaleset": unpriced("scale set of the retired type"),
    "compute:linuxvirtualmachinescaleset": machines.scale_set,
    "compute:windowsvirtualmachinescaleset": machines.scale_set,
    "compute:orchestratedvirtualmachinescaleset": machines.scale_set,
    "compute:capacityreservation": _capacity_reservation,
    "compute:dedicatedhost": unpriced("dedicated host"),
    "compute:disk": machines.managed_disk,
    "compute:manageddisk": machines.managed_disk,
    "compute:snapshot": by_use(("what it holds", "snapshot_standard_lrs")),
    "compute:image": by_use(("what it holds", "snapshot_standard_lrs")),
    "compute:galleryimageversion": by_use(("what it holds", "snapshot_standard_lrs")),
    "compute:sharedimageversion": by_use(("what it holds", "snapshot_standard_lrs")),
    "containerservice:managedcluster": machines.kubernetes_cluster,
    "containerservice:kubernetescluster": machines.kubernetes_cluster,
    "containerservice:agentpool": machines.node_pool,
    "containerservice:kubernetesclusternodepool": machines.node_pool,
    "containerservice:fleet": unpriced("fleet manager"),
    "containerregistry:registry": _registry,
    "containerservice:registry": _registry,
    "containerinstance:containergroup": unpriced("containers"),
    "containerservice:group": unpriced("containers"),
    "network:publicipaddress": _address,
    "network:publicip": _address,
    "network:publicipprefix": _address_prefix,
    "network:natgateway": _nat,
    "network:loadbalancer": _load_balancer,
    "lb:loadbalancer": _load_balancer,
    "lb:rule": once("rule", "lb_standard_rule_hour"),
    "lb:outboundrule": once("rule", "lb_standard_rule_hour"),
    "network:virtualnetworkgateway": _vpn_gateway,
    "network:applicationgateway": _application_gateway,
    "network:bastionhost": once("bastion", "bastion_hour"),
    "compute:bastionhost": once("bastion", "bastion_hour"),
    "network:privateendpoint": _private_endpoint,
    "privatelink:endpoint": _private_endpoint,
    "network:azurefirewall": unpriced("firewall"),
    "network:firewall": unpriced("firewall"),
    "network:virtualhub": unpriced("virtual hub"),
    "network:virtualwan": unpriced("virtual WAN"),
    "network:expressroutecircuit": unpriced("ExpressRoute circuit"),
    "network:expressroutegateway": unpriced("ExpressRoute gateway"),
    "network:ddosprotectionplan": unpriced("DDoS protection plan", "month"),
    "network:zone": once("DNS zone", "dns_zone"),
    "network:privatezone": once("DNS zone", "dns_zone"),
    "dns:zone": once("DNS zone", "dns_zone"),
    "dns:dnszone": once("DNS zone", "dns_zone"),
    "privatedns:zone": once("DNS zone", "dns_zone"),
    "privatedns:privatezone": once("DNS zone", "dns_zone"),
    "network:privatednszone": once("DNS zone", "dns_zone"),
    "storage:storageaccount": _storage,
    "storage:account": _storage,
    "storage:fileshare": _share,
    "storage:share": _share,
    "storage:blob": by_use(("what it holds", "object_storage_hot_lrs_first_50tb")),
    "storagecache:amlfilesystem": _lustre,
    "storagecache:cache": unpriced("cache"),
    "compute:managedlustrefilesystem": _lustre,
    "managedlustre:filesystem": _lustre,
    "netapp:capacitypool": unpriced("NetApp pool", "GiB-month"),
    "netapp:pool": unpriced("NetApp pool", "GiB-month"),
    "operationalinsights:workspace": by_use(
        ("logs taken in", "log_analytics_ingest"), ("logs kept over the free days", "log_analytics_retention")
    ),
    "operationalinsights:analyticsworkspace": by_use(
        ("logs taken in", "log_analytics_ingest"), ("logs kept over the free days", "log_analytics_retention")
    ),
    "insights:component": by_use(("data taken in", "GB")),
    "applicationinsights:component": by_use(("data taken in", "GB")),
    "appinsights:insights": by_use(("data taken in", "GB")),
    "insights:metricalert": unpriced("alert", "month"),
    "keyvault:vault": by_use(("operations", "key_vault_operations")),
    "keyvault:keyvault": by_use(("operations", "key_vault_operations")),
    "keyvault:key": by_use(("operations", "key_vault_advanced_key_operations")),
    "keyvault:secret": by_use(("operations", "key_vault_operations")),
    "keyvault:managedhsm": unpriced("managed HSM"),
    "web:appserviceplan": unpriced("plan"),
    "appservice:serviceplan": unpriced("plan"),
    "appservice:plan": unpriced("plan"),
    "app:containerapp": by_use(("requests and their duration", "vCPU-second")),
    "app:managedenvironment": by_use(("what runs in it", "vCPU-second")),
    "sql:database": unpriced("database"),
    "mssql:database": unpriced("database"),
    "dbforpostgresql:server": unpriced("database"),
    "dbformysql:server": unpriced("database"),
    "postgresql:flexibleserver": unpriced("database"),
    "mysql:flexibleserver": unpriced("database"),
    "documentdb:databaseaccount": unpriced("database"),
    "cosmosdb:account": unpriced("database"),
    "cache:redis": unpriced("cache"),
    "redis:cache": unpriced("cache"),
    "batch:pool": unpriced("pool"),
    "machinelearningservices:compute": unpriced("compute"),
    "machinelearning:computecluster": unpriced("compute"),
    "monitor:workspace": by_use(("samples taken in", "10M samples")),
    "dashboard:grafana": unpriced("Grafana"),
    "servicebus:namespace": unpriced("namespace"),
    "eventhub:namespace": unpriced("namespace"),
    "eventhub:eventhubnamespace": unpriced("namespace"),
    "recoveryservices:vault": by_use(("what it holds", "GB-month")),
    "containerservice:fleetmanager": unpriced("fleet manager"),
    "batch:batchaccount": free,
}
"""Kind (see `kinds.kind_of`; of both providers) → what prices it."""

FREE_MODULES: Final = names(
    "authorization resources core managedidentity management policy role consumption costmanagement "
    "maintenance domainservices insights monitoring containerregistry storage keyvault armmsi user federatedidentity "
    "operationalinsights sql mssql documentdb cosmosdb"
)
"""Of these modules, types that no line above prices cost nothing themselves: rights, groups, settings, containers.
https://azure.microsoft.com/pricing/details/azure-resource-manager"""
FREE: Final = frozenset(
    f"network:{name}"
    for name in names(
        "virtualnetwork subnet networksecuritygroup securityrule networksecurityrule routetable route networkinterface "
        "subnetnetworksecuritygroupassociation subnetroutetableassociation subnetnatgatewayassociation "
        "natgatewaypublicipassociation natgatewaypublicipprefixassociation natgatewaypublicipassociation "
        "networkinterfacesecuritygroupassociation networkinterfacebackendaddresspoolassociation virtualnetworkpeering "
        "applicationsecuritygroup networkinterfaceapplicationsecuritygroupassociation localnetworkgateway "
        "privatednszonegroup virtualnetworklink recordset networkwatcher serviceendpointpolicy ipgroup "
        "virtualnetworkdnsservers natgatewaypublicip"
    )
) | names(
    "compute:availabilityset compute:proximityplacementgroup placement:proximityplacementgroup compute:gallery "
    "compute:galleryimage compute:sharedimagegallery compute:sharedimage compute:sshpublickey compute:sshkey "
    "compute:diskencryptionset compute:capacityreservationgroup compute:virtualmachineextension compute:extension "
    "compute:virtualmachinescalesetextension compute:virtualmachinescalesetvm compute:datadiskattachment "
    "compute:dedicatedhostgroup compute:diskaccess compute:virtualmachineruncommand compute:runcommand "
    "lb:backendaddresspool lb:backendaddresspooladdress lb:probe lb:natrule lb:natpool "
    "containerservice:maintenanceconfiguration containerservice:trustedaccessrolebinding "
    "containerservice:kubernetesclusterextension kubernetesconfiguration:extension "
    "kubernetesconfiguration:fluxconfiguration privatedns:virtualnetworklink privatedns:zonevirtualnetworklink "
    "privatedns:privaterecordset privatedns:arecord dns:arecord dns:cnamerecord dns:recordset "
    "avail:availabilityset containerservice:registryscopemap containerservice:connectedregistry "
    "containerservice:registrytoken"
)
"""Nothing is charged for these themselves: https://azure.microsoft.com/pricing/details/virtual-network,
https://azure.microsoft.com/pricing/details/virtual-machines"""
