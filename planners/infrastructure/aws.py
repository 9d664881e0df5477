"""What the resources of AWS (classic) cost, by type."""

from __future__ import annotations

from typing import Final

from planners.infrastructure import aws_fleets as fleets
from planners.infrastructure import aws_machines as machines
from planners.infrastructure.aws_disks import disk
from planners.infrastructure.bill import ResourceBill
from planners.infrastructure.defaults import EKS_SUPPORT, FSX_LUSTRE_TYPE
from planners.infrastructure.kinds import names
from planners.infrastructure.properties import Number
from planners.infrastructure.tables import Pricer, by_use, free, once, unpriced
from planners.infrastructure.value import UNKNOWN


def _control_plane(bill: ResourceBill) -> None:
    own = bill.properties
    words = () if own.text("upgradePolicy.supportType") == "STANDARD" else (EKS_SUPPORT.words,)
    bill.item("control plane", "k8s_control_plane_standard_support", 1, assumed=words)
    if own.flag("computeConfig.enabled"):
        bill.by_use("nodes of EKS Auto Mode", unit="hour")


def _nat(bill: ResourceBill) -> None:
    zones = bill.properties.each("availabilityZoneAddresses")
    if bill.properties.text("availabilityMode") == "regional":
        count: Number = float(len(zones)) if zones else None
        bill.item("NAT gateway, in each zone", "nat_gateway_hour", count)
    else:
        bill.item("NAT gateway", "nat_gateway_hour", 1)
    bill.by_use("data through it", "nat_gateway_data")


def _load_balancer(bill: ResourceBill) -> None:
    own = bill.properties
    kind = own.text("loadBalancerType") or "application"
    if own.is_unknown("loadBalancerType") or kind not in ("application", "network"):
        bill.unpriced(f"{kind} load balancer", "hour")
        return
    bill.item(f"{kind} load balancer", f"lb_{kind}_hour", 1)
    bill.by_use("capacity units", "lb_application_lcu" if kind == "application" else "lb_network_nlcu")
    if own.flag("internal") is True:
        return
    mappings = own.each("subnetMappings")
    own_addresses = sum(each.get("allocationId") is not None for each in mappings)
    subnets = len(mappings) or len(own.list("subnets"))
    count: Number = float(subnets - own_addresses) if subnets else UNKNOWN
    if count:
        bill.item("public IPv4 addresses, one a subnet", "public_ipv4_in_use", count)


def _classic_load_balancer(bill: ResourceBill) -> None:
    bill.item("classic load balancer", "lb_classic_hour", 1)
    bill.by_use("data through it", "lb_classic_data")


def _address(bill: ResourceBill) -> None:
    own = bill.properties
    if own.text("publicIpv4Pool") not in ("", "amazon"):
        bill.free()
        bill.note("of a pool of addresses that you brought")
        return
    used = any(own.get(name) is not None for name in ("instance", "networkInterface", "associationId"))
    used = used or bool(bill.program.users(bill.resource))
    item = "public_ipv4_in_use" if used else "public_ipv4_idle"
    region = None if used else "us-east-1"  # one price everywhere: https://aws.amazon.com/vpc/pricing
    bill.item("public IPv4 address" + ("" if used else ", idle"), item, 1, region=region)


def _volume(bill: ResourceBill) -> None:
    disk(bill, "volume", bill.properties)


def _elastic_file_system(bill: ResourceBill) -> None:
    own = bill.properties
    where = "onezone" if own.get("availabilityZoneName") is not None else "standard"
    bill.by_use("what it holds", f"efs_{where}")
    if own.text("throughputMode") == "provisioned":
        speed = own.number("provisionedThroughputInMibps")
        bill.item("provisioned throughput", "efs_provisioned_throughput", speed, unit="MBps-month")


def _lustre(bill: ResourceBill) -> None:
    own = bill.properties
    size = own.number("storageCapacity")
    kind = own.text("deploymentType")
    words = () if kind else (FSX_LUSTRE_TYPE.words,)
    kind = kind or str(FSX_LUSTRE_TYPE.value)
    item = "fsx_lustre_scratch_ssd"
    if kind.startswith("PERSISTENT"):
        speed = own.number("perUnitStorageThroughput")
        item = f"fsx_lustre_persistent_ssd_{speed:g}" if isinstance(speed, float) else ""
    disk_type = own.text("storageType") or "SSD"
    if disk_type != "SSD" or not item or (kind == "PERSISTENT_1" and item.endswith("_125")):
        bill.unpriced(f"Lustre, {kind} {disk_type}", "GB-month", size)
    else:
        bill.item(f"Lustre, {kind}", item, size, assumed=words)


def _windows_share(bill: ResourceBill) -> None:
    own = bill.properties
    multi = own.text("deploymentType").startswith("MULTI_AZ")
    storage = "hdd" if own.text("storageType") == "HDD" else "ssd"
    if not multi:
        bill.unpriced("storage, one zone", "GB-month", own.number("storageCapacity"))
        bill.unpriced("throughput, one zone", "MBps-month", own.number("throughputCapacity"))
        return
    bill.item("storage, two zones", f"fsx_windows_{storage}_multi_az", own.number("storageCapacity"))
    bill.item("throughput, two zones", "fsx_windows_throughput_multi_az", own.number("throughputCapacity"))


def _other_share(bill: ResourceBill) -> None:
    bill.unpriced("storage", "GB-month", bill.properties.number("storageCapacity"))
    bill.unpriced("throughput", "MBps-month", bill.properties.number("throughputCapacity"))


def _logs(bill: ResourceBill) -> None:
    bill.by_use("logs taken in", "cloudwatch_logs_ingest")
    bill.by_use("logs kept", "cloudwatch_logs_storage")


def _alarm(bill: ResourceBill) -> None:
    own = bill.properties
    period = own.number("period")
    kind = "high_resolution" if isinstance(period, float) and period < 60 else "standard"
    metrics = sum(each.get("metric") is not None for each in own.each("metricQueries"))
    bill.item("alarm", f"cloudwatch_alarm_{kind}", metrics or 1)


def _endpoint(bill: ResourceBill) -> None:
    own = bill.properties
    kind = own.text("vpcEndpointType") or "Gateway"
    if own.is_unknown("vpcEndpointType"):
        bill.unpriced("endpoint", "hour", why="its kind is known after apply")
    elif kind == "Gateway":
        bill.free()
    else:
        subnets = len(own.list("subnetIds"))
        count: Number = float(subnets) if subnets else UNKNOWN
        bill.item("endpoint, in each subnet", "vpc_endpoint_interface_hour", count)
        bill.by_use("data through it", "vpc_endpoint_interface_data_first_1pb")


PRICERS: Final[dict[str, Pricer]] = {
    "ec2:instance": machines.instance,
    "ec2:spotinstancerequest": machines.spot_request,
    "autoscaling:group": fleets.auto_scaling_group,
    "ec2:fleet": fleets.ec2_fleet,
    "ec2:spotfleetrequest": fleets.spot_fleet,
    "eks:nodegroup": fleets.node_group,
    "ec2:capacityreservation": machines.capacity_reservation,
    "ec2:capacityblockreservation": machines.capacity_block,
    "ec2:dedicatedhost": unpriced("dedicated host"),
    "eks:cluster": _control_plane,
    "cloudformation:stack": lambda bill: bill.unknown("children unknown: its template makes resources by itself"),
    "eks:fargateprofile": by_use(("pods on Fargate", "vCPU-hour")),
    "ebs:volume": _volume,
    "ebs:snapshot": by_use(("what it holds", "snapshot_standard")),
    "ebs:snapshotcopy": by_use(("what it holds", "snapshot_standard")),
    "ebs:snapshotimport": by_use(("what it holds", "snapshot_standard")),
    "ebs:fastsnapshotrestore": once("fast restore", "snapshot_fast_restore"),
    "ec2:ami": by_use(("its snapshots", "snapshot_standard")),
    "ec2:amicopy": by_use(("its snapshots", "snapshot_standard")),
    "ec2:amifrominstance": by_use(("its snapshots", "snapshot_standard")),
    "ec2:natgateway": _nat,
    "ec2:eip": _address,
    "lb:loadbalancer": _load_balancer,
    "elb:loadbalancer": _classic_load_balancer,
    "s3:bucket": by_use(("what it holds", "object_storage_standard_first_50tb"), ("requests", "request")),
    "s3:directorybucket": by_use(("what it holds", "GB-month")),
    "efs:filesystem": _elastic_file_system,
    "fsx:lustrefilesystem": _lustre,
    "fsx:windowsfilesystem": _windows_share,
    "fsx:ontapfilesystem": _other_share,
    "fsx:openzfsfilesystem": _other_share,
    "ecr:repository": by_use(("what it holds", "ecr_storage")),
    "ecrpublic:repository": by_use(("what it holds", "GB-month")),
    "cloudwatch:loggroup": _logs,
    "cloudwatch:metricalarm": _alarm,
    "cloudwatch:compositealarm": unpriced("composite alarm", "alarm-month"),
    "cloudwatch:dashboard": unpriced("dashboard", "month"),
    "kms:key": once("key", "kms_key", ("requests", "kms_requests")),
    "kms:replicakey": once("key", "kms_key", ("requests", "kms_requests")),
    "secretsmanager:secret": once("secret", "secret", ("requests", "secret_requests")),
    "route53:zone": once("zone", "dns_hosted_zone"),
    "ec2:vpcendpoint": _endpoint,
    "ec2transitgateway:vpcattachment": once(
        "attachment", "transit_gateway_attachment_hour", ("data", "transit_gateway_data")
    ),
    "ec2transitgateway:peeringattachment": once("attachment", "transit_gateway_attachment_hour"),
    "ec2:vpnconnection": once("VPN connection", "vpn_connection_hour"),
    "route53:healthcheck": unpriced("health check", "month"),
    "route53:resolverendpoint": unpriced("resolver endpoint"),
    "route53:record": by_use(("queries", "1M requests")),
    "s3:object": by_use(("what it holds", "object_storage_standard_first_50tb")),
    "s3:bucketobject": by_use(("what it holds", "object_storage_standard_first_50tb")),
    "s3:objectcopy": by_use(("what it holds", "object_storage_standard_first_50tb")),
    "cfg:recorder": by_use(("configuration items", "item")),
    "eks:capability": unpriced("capability"),
    "cloudwatch:eventarchive": by_use(("events", "GB")),
    "cloudwatch:metricstream": by_use(("metrics", "1k updates")),
    "autoscaling:trafficsourceattachment": free,
    "lambda:function": by_use(("requests and their duration", "GB-second")),
    "sqs:queue": by_use(("requests", "1M requests")),
    "sns:topic": by_use(("messages", "1M requests")),
    "cloudfront:distribution": by_use(("data and requests", "GB")),
    "apigatewayv2:api": by_use(("requests", "1M requests")),
    "apigateway:restapi": by_use(("requests", "1M requests")),
    "ecs:cluster": by_use(("what runs in it", "hour")),
    "codebuild:project": by_use(("minutes of builds", "minute")),
    "batch:jobqueue": free,
    "batch:jobdefinition": free,
    "batch:computeenvironment": by_use(("machines of its jobs", "hour")),
    "athena:workgroup": by_use(("data scanned", "TB")),
    "dynamodb:table": lambda bill: (
        bill.unpriced("provisioned capacity", "RCU-hour")
        if bill.properties.text("billingMode") != "PAY_PER_REQUEST"
        else bill.by_use("requests and what it holds", unit="1M requests")
    ),
    "rds:instance": unpriced("database"),
    "rds:clusterinstance": unpriced("database"),
    "rds:cluster": unpriced("database cluster"),
    "elasticache:cluster": unpriced("cache"),
    "elasticache:replicationgroup": unpriced("cache"),
    "elasticache:serverlesscache": by_use(("what it holds", "GB-hour")),
    "opensearch:domain": unpriced("search domain"),
    "msk:cluster": unpriced("Kafka brokers"),
    "memorydb:cluster": unpriced("database"),
    "redshift:cluster": unpriced("data warehouse"),
    "directoryservice:directory": unpriced("directory"),
    "globalaccelerator:accelerator": unpriced("accelerator"),
    "networkfirewall:firewall": unpriced("firewall"),
    "wafv2:webacl": unpriced("web ACL", "month"),
    "sagemaker:endpoint": unpriced("endpoint"),
    "sagemaker:notebookinstance": unpriced("notebook"),
    "acmpca:certificateauthority": unpriced("private CA", "month"),
}
"""Kind (see `kinds.kind_of`) → what prices it."""

FREE_MODULES: Final = names(
    "iam budgets autoscaling ssoadmin identitystore organizations resourcegroups ram servicequotas accessanalyzer "
    "eks vpc route53 s3 ecr ecrpublic cloudwatch lb elb efs kms secretsmanager sns sqs ssm acm ebs rolesanywhere "
    "servicediscovery appautoscaling dlm placement cfg costexplorer"
)
"""Of these modules, types that no line above prices cost nothing themselves: rights, rules, attachments, settings.
https://aws.amazon.com/iam/faqs, https://aws.amazon.com/eks/pricing, https://aws.amazon.com/s3/pricing"""
FREE: Final = frozenset(
    f"ec2:{name}"
    for name in names(
        "vpc subnet defaultsubnet defaultvpc defaultsecuritygroup defaultroutetable defaultnetworkacl internetgateway "
        "egressonlyinternetgateway routetable route routetableassociation mainroutetableassociation securitygroup "
        "securitygrouprule securitygroupassociation networkacl networkaclrule networkaclassociation keypair "
        "launchtemplate launchconfiguration placementgroup networkinterface networkinterfaceattachment "
        "networkinterfacesecuritygroupattachment volumeattachment eipassociation eipdomainname vpcdhcpoptions "
        "vpcdhcpoptionsassociation vpcendpointroutetableassociation vpcendpointsubnetassociation vpcendpointpolicy "
        "vpcendpointsecuritygroupassociation vpcpeeringconnection vpcpeeringconnectionaccepter "
        "vpcpeeringconnectionoptions peeringconnectionoptions vpcipv4cidrblockassociation vpcipv6cidrblockassociation "
        "customergateway vpngateway vpngatewayattachment vpngatewayroutepropagation vpnconnectionroute tag "
        "managedprefixlist managedprefixlistentry subnetcidrreservation encryptionbydefault amilaunchpermission "
        "imageblockpublicaccess instancemetadatadefaults vpcblockpublicaccessoptions snapshotcreatevolumepermission "
        "instancestate serialconsoleaccess availabilityzonegroup vpcipampool vpcendpointserviceallowedprincipal"
    )
) | {"ec2transitgateway:transitgateway", "ec2transitgateway:routetable", "ec2transitgateway:route"}
"""Nothing is charged for these themselves: https://aws.amazon.com/vpc/pricing, https://aws.amazon.com/ec2/pricing"""
