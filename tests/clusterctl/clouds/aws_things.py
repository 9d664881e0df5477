"""Things in an account of moto, made with boto3 as Pulumi's provider makes them: all with the run's tags."""

from __future__ import annotations

from typing import Any

import boto3

from planners.tags import cloud_tags

REGION = "us-east-1"
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}'


def client(service: str, region: str = REGION) -> Any:
    return boto3.client(service, region_name=region)


def tags(run: str, owner: str) -> dict[str, str]:
    return cloud_tags("aws", {"run": run, "owner": owner, "plan-id": "p1"})


def rows(its: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in its.items()]


def specs(kind: str, its: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": rows(its)}]


def make_fleet(run: str, owner: str, region: str = REGION) -> dict[str, str]:
    """A network, a cluster with a group of nodes, machines, storage, a key, a role: name → id."""
    its, ec2, made = tags(run, owner), client("ec2", region), {}
    vpc = made["vpc"] = ec2.create_vpc(CidrBlock="10.64.0.0/16", TagSpecifications=specs("vpc", its))["Vpc"]["VpcId"]
    subnet = made["subnet"] = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.64.0.0/20", TagSpecifications=specs("subnet", its)
    )["Subnet"]["SubnetId"]
    gateway = made["internet-gateway"] = ec2.create_internet_gateway(TagSpecifications=specs("internet-gateway", its))[
        "InternetGateway"
    ]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    address = made["elastic-ip"] = ec2.allocate_address(Domain="vpc", TagSpecifications=specs("elastic-ip", its))[
        "AllocationId"
    ]
    made["natgateway"] = ec2.create_nat_gateway(
        SubnetId=subnet, AllocationId=address, TagSpecifications=specs("natgateway", its)
    )["NatGateway"]["NatGatewayId"]
    table = made["route-table"] = ec2.create_route_table(VpcId=vpc, TagSpecifications=specs("route-table", its))[
        "RouteTable"
    ]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    groups = [
        ec2.create_security_group(
            GroupName=f"{run}-{name}", Description="x", VpcId=vpc, TagSpecifications=specs("security-group", its)
        )["GroupId"]
        for name in ("a", "b")
    ]
    for one, other in (groups, groups[::-1]):
        rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other}]}
        ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=[rule])
    made["launch-template"] = ec2.create_launch_template(
        LaunchTemplateName=run,
        LaunchTemplateData={"InstanceType": "p5.48xlarge"},
        TagSpecifications=specs("launch-template", its),
    )["LaunchTemplate"]["LaunchTemplateId"]
    made["volume"] = ec2.create_volume(
        AvailabilityZone=f"{region}a", Size=100, VolumeType="gp3", TagSpecifications=specs("volume", its)
    )["VolumeId"]
    made["instance"] = ec2.run_instances(
        ImageId="ami-12345678",
        InstanceType="p5.48xlarge",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        TagSpecifications=specs("instance", its | {"eks:cluster-name": run, "eks:nodegroup-name": "gpu"}),
    )["Instances"][0]["InstanceId"]
    eks, role = client("eks", region), "arn:aws:iam::123456789012:role/x"
    eks.create_cluster(name=run, roleArn=role, resourcesVpcConfig={"subnetIds": [subnet]}, tags=its)
    eks.create_nodegroup(
        clusterName=run,
        nodegroupName="gpu",
        scalingConfig={"minSize": 0, "maxSize": 2, "desiredSize": 0},
        subnets=[subnet],
        nodeRole=role,
        tags=its,
    )
    efs = client("efs", region)
    files = made["file-system"] = efs.create_file_system(CreationToken=run, Tags=rows(its))["FileSystemId"]
    efs.create_mount_target(FileSystemId=files, SubnetId=subnet)
    make_bucket(f"{run}-bucket", its, region)
    made["key"] = client("kms", region).create_key(
        Tags=[{"TagKey": key, "TagValue": value} for key, value in its.items()]
    )["KeyMetadata"]["KeyId"]
    client("logs", region).create_log_group(logGroupName=f"/clusterctl/{run}", tags=its)
    iam = client("iam")
    iam.create_role(RoleName=f"{run}-nodes", AssumeRolePolicyDocument="{}", Tags=rows(its))
    iam.put_role_policy(RoleName=f"{run}-nodes", PolicyName="own", PolicyDocument=POLICY)
    return made


def make_bucket(name: str, its: dict[str, str], region: str = REGION) -> None:
    s3 = client("s3", region)
    where = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=name, **where)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": rows(its)})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket=name, Key="checkpoint", Body=b"x" * number)
    s3.delete_object(Bucket=name, Key="checkpoint")
    s3.create_multipart_upload(Bucket=name, Key="cut")
