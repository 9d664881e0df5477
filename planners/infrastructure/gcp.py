"""What the resources of Google Cloud cost, by type."""

from __future__ import annotations

from typing import Final

from planners.infrastructure import gcp_disks as disks
from planners.infrastructure import gcp_machines as machines
from planners.infrastructure import gke
from planners.infrastructure.bill import ResourceBill
from planners.infrastructure.kinds import names
from planners.infrastructure.properties import Number
from planners.infrastructure.tables import Pricer, by_use, once, unpriced
from planners.infrastructure.value import UNKNOWN

MULTI_REGIONS: Final = {"us": "us-multi", "eu": "europe-multi", "asia": "asia-multi"}


def _disk(bill: ResourceBill) -> None:
    own = bill.properties
    regional = bill.resource.type.endswith(":RegionDisk")
    kind = own.get("type")
    disks.disk(bill, "disk", own.number("size"), kind, regional=regional)
    if not isinstance(kind, str):
        return
    kind = kind.rpartition("/")[2]
    iops, speed = own.number("provisionedIops"), own.number("provisionedThroughput")
    if kind == "hyperdisk-balanced":
        extra = _over(iops, disks.HYPERDISK_FREE_IOPS)
        if extra is not None:
            bill.item("IOPS over 3,000", "block_hyperdisk_balanced_iops_over_3000", extra, unit="IOPS-month")
        extra = _over(speed, disks.HYPERDISK_FREE_MBPS)
        if extra is not None:
            bill.item("MB/s over 140", "block_hyperdisk_balanced_throughput_over_140", extra, unit="MBps-month")
    elif kind in ("hyperdisk-extreme", "pd-extreme") and iops is not None:
        bill.item("IOPS", f"block_{kind.replace('-', '_')}_iops", iops, unit="IOPS-month")
    elif kind.startswith("hyperdisk") and (iops is not None or speed is not None):
        bill.unpriced("provisioned performance", "month")


def _over(value: Number, free: float) -> Number:
    if value is None or value is UNKNOWN:
        return value
    return float(value) - free if float(value) > free else None  # type: ignore[arg-type]


def _bucket(bill: ResourceBill) -> None:
    own = bill.properties
    kind = (own.text("storageClass") or "standard").lower().replace("multi_regional", "standard")
    kind = "standard" if kind == "regional" else kind
    place = MULTI_REGIONS.get(bill.region.lower())
    if place and kind == "standard":
        bill.region = place
        kind = "standard_multiregion"
    bill.by_use("what it holds", f"object_storage_{kind}")


def _address(bill: ResourceBill) -> None:
    own = bill.properties
    if own.text("addressType") == "INTERNAL" or own.text("ipVersion") == "IPV6":
        bill.free()
        return
    users = bill.program.users(bill.resource)
    if any("orwardingRule" in user.type for user in users):
        bill.free()
        bill.note("in use by a forwarding rule: free")  # https://cloud.google.com/vpc/network-pricing#ipaddress
        return
    instances = bill.program.of_kind("compute:instance")
    if not users and instances and not any(one.dependencies for one in instances):
        words = ("in use: the preview does not say by what",)
        bill.item("external IPv4 address", "public_ipv4_in_use_vm", 1, assumed=words)
        return
    if users:
        bill.item("external IPv4 address", "public_ipv4_in_use_vm", 1)
    else:
        bill.item("external IPv4 address, not in use", "public_ipv4_unused", 1)


def _nat(bill: ResourceBill) -> None:
    words = ("32 machines or more behind it: fewer cost less",)
    bill.item("Cloud NAT", "nat_gateway_hour_max_32plus_vms", 1, assumed=words)
    bill.by_use("data through it", "nat_gateway_data")


def _forwarding_rule(bill: ResourceBill) -> None:
    own = bill.properties
    if "serviceAttachments" in str(own.get("target")) or own.get("allowPscGlobalAccess") is not None:
        bill.unpriced("Private Service Connect endpoint", "hour")
        return
    words = ("as a further rule: the first five of a project and region cost a flat fee",)
    bill.item("forwarding rule", "lb_forwarding_rule_hour", 1, assumed=words)
    bill.by_use("data through it", "lb_forwarding_rule_data")


def _filestore(bill: ResourceBill) -> None:
    own = bill.properties
    size, tier = own.number("fileShares.capacityGb"), own.text("tier") or "tier known after apply"
    if tier == "ZONAL":
        bill.item("Filestore, zonal", "filestore_zonal", size)
    else:
        bill.unpriced(f"Filestore, {tier}", "GiB-month", size)


def _lustre(bill: ResourceBill) -> None:
    own = bill.properties
    size, speed = own.number("capacityGib"), own.number("perUnitStorageThroughput")
    if speed == 1000.0:
        bill.item("Lustre, 1000 MB/s per TiB", "managed_lustre_1000", size)
    else:
        bill.unpriced("Lustre", "GiB-month", size)


def _reservation(bill: ResourceBill) -> None:
    own = bill.properties.under("specificReservation")
    bill.nodes(own.number("count"))
    machine = own.get("instanceProperties.machineType")
    bill.machine(machine if isinstance(machine, str) else UNKNOWN, per="node")
    bill.note("machines that run in the reservation are billed once: here or there")


def _run_service(bill: ResourceBill) -> None:
    least = bill.properties.number(
        "template.scaling.minInstanceCount", "template.metadata.annotations.autoscaling.knative.dev/minScale"
    )
    if least is not None and least != 0:
        bill.unpriced("instances that always run", "hour")
    bill.by_use("requests and their duration", unit="vCPU-second")


def _secret_version(bill: ResourceBill) -> None:
    bill.item("version", "secret_version", 1)
    bill.by_use("accesses", "secret_access")


PRICERS: Final[dict[str, Pricer]] = {
    "compute:instance": machines.instance,
    "compute:instancefromtemplate": machines.instance,
    "compute:instancefrommachineimage": unpriced("machine of an image"),
    "compute:instancegroupmanager": machines.group,
    "compute:regioninstancegroupmanager": machines.group,
    "compute:reservation": _reservation,
    "container:cluster": gke.cluster,
    "container:nodepool": gke.node_pool,
    "compute:disk": _disk,
    "compute:regiondisk": _disk,
    "compute:snapshot": by_use(("what it holds", "snapshot_standard")),
    "compute:image": by_use(("what it holds", "image_storage")),
    "compute:machineimage": by_use(("what it holds", "image_storage")),
    "compute:address": _address,
    "compute:globaladdress": _address,
    "compute:routernat": _nat,
    "compute:forwardingrule": _forwarding_rule,
    "compute:globalforwardingrule": _forwarding_rule,
    "compute:vpntunnel": once("VPN tunnel", "vpn_tunnel_hour"),
    "compute:securitypolicy": unpriced("security policy", "month"),
    "compute:interconnectattachment": unpriced("interconnect attachment"),
    "compute:regioncommitment": unpriced("commitment"),
    "compute:interconnect": unpriced("interconnect"),
    "compute:nodegroup": unpriced("sole-tenant nodes"),
    "compute:storagepool": unpriced("storage pool", "GB-month"),
    "storage:bucket": _bucket,
    "storage:bucketobject": by_use(("what it holds", "object_storage_standard")),
    "filestore:instance": _filestore,
    "filestore:snapshot": by_use(("what it holds", "GiB-month")),
    "filestore:backup": by_use(("what it holds", "GiB-month")),
    "lustre:instance": _lustre,
    "parallelstore:instance": unpriced("Parallelstore", "GiB-month"),
    "netapp:storagepool": unpriced("NetApp pool", "GiB-month"),
    "artifactregistry:repository": by_use(("what it holds", "artifact_registry_storage")),
    "container:registry": by_use(("what it holds", "artifact_registry_storage")),
    "logging:projectbucketconfig": by_use(("logs taken in", "logging_ingest")),
    "kms:cryptokey": once("key version", "kms_key_version_software", ("operations", "kms_operations")),
    "kms:cryptokeyversion": once("key version", "kms_key_version_software"),
    "secretmanager:secretversion": _secret_version,
    "secretmanager:regionalsecretversion": _secret_version,
    "dns:managedzone": once("zone", "dns_managed_zone"),
    "cloudrun:service": _run_service,
    "cloudrunv2:service": _run_service,
    "cloudrunv2:job": by_use(("duration of its tasks", "vCPU-second")),
    "cloudfunctions:function": by_use(("requests and their duration", "GB-second")),
    "cloudfunctionsv2:function": by_use(("requests and their duration", "vCPU-second")),
    "pubsub:topic": by_use(("messages", "TiB")),
    "pubsub:subscription": by_use(("messages", "TiB")),
    "bigquery:dataset": by_use(("what it holds", "GiB-month")),
    "bigquery:table": by_use(("what it holds", "GiB-month")),
    "cloudscheduler:job": unpriced("job", "month"),
    "firestore:database": by_use(("what it holds", "GiB-month")),
    "workflows:workflow": by_use(("steps", "1k steps")),
    "sql:databaseinstance": unpriced("database"),
    "alloydb:instance": unpriced("database"),
    "redis:instance": unpriced("cache"),
    "redis:cluster": unpriced("cache"),
    "memcache:instance": unpriced("cache"),
    "spanner:instance": unpriced("database"),
    "bigtable:instance": unpriced("database"),
    "tpu:node": unpriced("TPU"),
    "tpu:v2vm": unpriced("TPU"),
    "vertex:aiendpoint": by_use(("models deployed to it", "hour")),
    "workbench:instance": unpriced("notebook machine"),
    "notebooks:instance": unpriced("notebook machine"),
    "vpcaccess:connector": unpriced("connector machines"),
    "composer:environment": unpriced("environment"),
    "dataproc:cluster": unpriced("cluster"),
}
"""Kind (see `kinds.kind_of`) → what prices it."""

FREE_MODULES: Final = names(
    "projects organizations folder serviceaccount billing iam orgpolicy tags essentialcontacts servicenetworking "
    "resourcemanager accesscontextmanager secretmanager kms dns storage logging monitoring pubsub gkehub "
    "artifactregistry container iap osconfig serviceusage cloudidentity binaryauthorization cloudquota "
    "firebaserules"
)
"""Of these modules, types that no line above prices cost nothing themselves.
https://cloud.google.com/iam/pricing, https://cloud.google.com/secret-manager/pricing"""
FREE: Final = frozenset(
    f"compute:{name}"
    for name in names(
        "network subnetwork firewall firewallpolicy firewallpolicyrule firewallpolicyassociation networkfirewallpolicy "
        "networkfirewallpolicyrule networkfirewallpolicyassociation regionnetworkfirewallpolicy route router "
        "routerinterface routerpeer networkpeering networkpeeringroutesconfig instancetemplate regioninstancetemplate "
        "instancegroup instancegroupnamedport autoscaler regionautoscaler healthcheck regionhealthcheck "
        "httphealthcheck httpshealthcheck backendservice regionbackendservice backendbucket urlmap regionurlmap "
        "targethttpproxy targethttpsproxy regiontargethttpproxy regiontargethttpsproxy targettcpproxy targetsslproxy "
        "targetpool targetinstance sslcertificate regionsslcertificate managedsslcertificate sslpolicy "
        "regionsslpolicy networkendpointgroup globalnetworkendpointgroup regionnetworkendpointgroup "
        "globalnetworkendpoint networkendpoint resourcepolicy diskresourcepolicyattachment "
        "regiondiskresourcepolicyattachment attacheddisk projectmetadata projectmetadataitem "
        "sharedvpchostproject sharedvpcserviceproject havpngateway vpngateway externalvpngateway serviceattachment "
        "projectdefaultnetworktier nodetemplate instancesettings backendservicesignedurlkey targetgrpcproxy "
        "instancegroupmembership perinstanceconfig regionperinstanceconfig resizerequest networkattachment"
    )
)
"""Nothing is charged for these themselves: https://cloud.google.com/vpc/network-pricing,
https://cloud.google.com/load-balancing/pricing"""


def is_right(kind: str) -> bool:
    """Whether a kind is a right, of whatever service: they cost nothing."""
    name = kind.rpartition(":")[2]
    return any(word in name for word in ("iammember", "iambinding", "iampolicy", "iamauditconfig", "iamcustomrole"))
