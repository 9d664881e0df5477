"""Each rule for resources on each cloud: what breaks it, what doesn't, and what only the apply will tell."""

from __future__ import annotations

import base64
import json
from datetime import date
from typing import Any

import pytest

from planners.infrastructure.value import UNKNOWN, Resource
from planners.rules.resource_rules import RESOURCE_RULES, all_own_fleet_problems, stack_facts
from planners.rules.rule import StackFacts

RULES = {each.rule.id: each for each in RESOURCE_RULES}
TODAY = date(2026, 11, 30)
KEY = "AKIA" + "Q" * 16
Case = tuple[str, dict[str, Any]]


def broken(
    rule: str, kind: str, properties: dict[str, Any], facts: StackFacts | None = None, **setting: Any
) -> list[str]:
    each = RULES[rule]
    return list(each.problems(kind, properties, each.rule.setting_from(setting), facts or StackFacts(today=TODAY)))


def _statement(**content: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **content}]})


def _pod(labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c"}], **spec}}}}


SSH = {"fromPort": 22, "toPort": 22, "protocol": "tcp"}
WEB = {"fromPort": 443, "toPort": 443, "protocol": "tcp"}
INBOUND = {"access": "Allow", "direction": "Inbound", "protocol": "Tcp"}
SANDBOX = {"role": "sandbox"}
BREAKS: dict[str, list[Case]] = {
    "open-network": [
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{**SSH, "cidrBlocks": ["0.0.0.0/0"]}]}),
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{"fromPort": 0, "toPort": 0, "protocol": "-1", "ipv6CidrBlocks": ["::/0"]}]}),
        ("aws:ec2/securityGroupRule:SecurityGroupRule", {"type": "ingress", **SSH, "cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"]}),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "-1"}),
        ("gcp:compute/firewall:Firewall", {"allows": [{"protocol": "tcp", "ports": ["22"]}, {"protocol": "tcp", "ports": ["80"]}]}),
        ("gcp:compute/firewall:Firewall", {"allows": [{"protocol": "all"}], "sourceRanges": ["0.0.0.0/0"]}),
        ("gcp:compute/regionNetworkFirewallPolicyRule:RegionNetworkFirewallPolicyRule", {"direction": "INGRESS", "action": "allow", "match": {"srcIpRanges": ["0.0.0.0/0"], "layer4Configs": [{"ipProtocol": "tcp", "ports": ["8000-9000"]}]}}),
        ("azure-native:network:NetworkSecurityGroup", {"securityRules": [{**INBOUND, "sourceAddressPrefix": "*", "destinationPortRange": "22"}]}),
        ("azure-native:network/v20230901:SecurityRule", {**INBOUND, "sourceAddressPrefixes": ["Internet"], "destinationPortRanges": ["80", "3389"]}),
        ("azure:network/networkSecurityRule:NetworkSecurityRule", {**INBOUND, "sourceAddressPrefix": "0.0.0.0/0", "destinationPortRange": "*"}),
        ("azure:network/networkSecurityGroup:NetworkSecurityGroup", {"securityRules": [{**INBOUND, "sourceAddressPrefix": "Internet", "destinationPortRange": "0-65535"}]}),
        ("kubernetes:core/v1:Service", {"metadata": {"name": "ray"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 8265}]}}),
    ],
    "public-endpoint": [
        ("aws:eks/cluster:Cluster", {"vpcConfig": {"subnetIds": ["a"]}}),
        ("aws:eks/cluster:Cluster", {"vpcConfig": {"publicAccessCidrs": ["0.0.0.0/0"]}}),
        ("gcp:container/cluster:Cluster", {"initialNodeCount": 1}),
        ("gcp:container/cluster:Cluster", {"masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": "0.0.0.0/0"}]}}),
        ("azure-native:containerservice:ManagedCluster", {"dnsPrefix": "a"}),
        ("azure-native:containerservice/v20240101:ManagedCluster", {"apiServerAccessProfile": {"enablePrivateCluster": False}}),
        ("azure:containerservice/kubernetesCluster:KubernetesCluster", {"dnsPrefix": "a"}),
    ],
    "public-bucket": [
        ("aws:s3/bucket:Bucket", {"acl": "public-read"}),
        ("aws:s3/bucketAcl:BucketAcl", {"accessControlPolicy": {"grants": [{"grantee": {"uri": "http://acs.amazonaws.com/groups/global/AllUsers"}, "permission": "READ"}]}}),
        ("aws:s3/bucketPolicy:BucketPolicy", {"policy": _statement(Principal="*", Action="s3:GetObject", Resource="arn:aws:s3:::b/*")}),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", {"blockPublicAcls": True, "blockPublicPolicy": False, "ignorePublicAcls": True, "restrictPublicBuckets": True}),
        ("gcp:storage/bucketIAMMember:BucketIAMMember", {"member": "allUsers", "role": "roles/storage.objectViewer"}),
        ("gcp:storage/bucketIAMBinding:BucketIAMBinding", {"members": ["user:a@b.c", "allAuthenticatedUsers"], "role": "roles/storage.admin"}),
        ("gcp:storage/bucketAccessControl:BucketAccessControl", {"entity": "allUsers", "role": "READER"}),
        ("gcp:storage/bucketACL:BucketACL", {"predefinedAcl": "publicRead"}),
        ("azure-native:storage:StorageAccount", {"allowBlobPublicAccess": True}),
        ("azure-native:storage:BlobContainer", {"publicAccess": "Container"}),
        ("azure:storage/account:Account", {"allowNestedItemsToBePublic": True}),
        ("azure:storage/container:Container", {"containerAccessType": "blob"}),
    ],
    "wildcard-permission": [
        ("aws:iam/policy:Policy", {"policy": _statement(Action="*", Resource="*")}),
        ("aws:iam/rolePolicy:RolePolicy", {"policy": _statement(Action=["ec2:*", "s3:GetObject"], Resource=["*"])}),
        ("aws:iam/rolePolicy:RolePolicy", {"policy": {"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}}),
        ("aws:iam/role:Role", {"assumeRolePolicy": _statement(Principal={"AWS": "*"}, Action="sts:AssumeRole")}),
        ("aws:iam/role:Role", {"inlinePolicies": [{"name": "a", "policy": _statement(Action="*", Resource="*")}]}),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("aws:iam/role:Role", {"managedPolicyArns": ["arn:aws:iam::aws:policy/PowerUserAccess"]}),
        ("aws:sqs/queuePolicy:QueuePolicy", {"policy": _statement(Principal="*", Action="sqs:*", Resource="*")}),
        ("gcp:projects/iAMMember:IAMMember", {"role": "roles/owner", "member": "user:a@b.c"}),
        ("gcp:projects/iAMBinding:IAMBinding", {"role": "roles/editor", "members": ["user:a@b.c"]}),
        ("gcp:cloudrunv2/serviceIamMember:ServiceIamMember", {"role": "roles/run.invoker", "member": "allUsers"}),
        ("azure-native:authorization:RoleAssignment", {"roleDefinitionId": "/x/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"}),
        ("azure:authorization/assignment:Assignment", {"roleDefinitionName": "Contributor"}),
        ("azure-native:authorization:RoleDefinition", {"permissions": [{"actions": ["*"], "notActions": []}]}),
        ("azure:authorization/roleDefinition:RoleDefinition", {"permissions": [{"actions": ["*"]}]}),
        ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
        ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", {"roleRef": {"name": "cluster-admin"}, "subjects": [{"kind": "ServiceAccount", "name": "job"}]}),
    ],
    "unencrypted-data": [
        ("aws:ebs/volume:Volume", {"size": 100}),
        ("aws:ebs/volume:Volume", {"encrypted": False}),
        ("aws:ec2/instance:Instance", {"instanceType": "t3.micro"}),
        ("aws:ec2/instance:Instance", {"rootBlockDevice": {"encrypted": True}, "ebsBlockDevices": [{"volumeSize": 10}]}),
        ("aws:ec2/launchTemplate:LaunchTemplate", {"blockDeviceMappings": [{"ebs": {"volumeSize": 10}}]}),
        ("aws:ec2/launchConfiguration:LaunchConfiguration", {"rootBlockDevice": {"volumeSize": 10}}),
        ("aws:efs/fileSystem:FileSystem", {}),
        ("aws:rds/instance:Instance", {"engine": "postgres"}),
        ("aws:rds/cluster:Cluster", {"storageEncrypted": False}),
        ("azure-native:storage:StorageAccount", {"enableHttpsTrafficOnly": False}),
        ("azure:storage/account:Account", {"httpsTrafficOnlyEnabled": False}),
        ("kubernetes:storage.k8s.io/v1:StorageClass", {"provisioner": "ebs.csi.aws.com"}),
    ],
    "missing-tags": [
        ("aws:ec2/instance:Instance", {}),
        ("aws:s3/bucket:Bucket", {"tags": {"Name": "b"}}),
        ("gcp:container/cluster:Cluster", {}),
        ("azure-native:compute:VirtualMachine", {}),
        ("azure:containerservice/kubernetesCluster:KubernetesCluster", {}),
    ],
    "missing-expiry": [
        ("aws:ec2/instance:Instance", {"tags": {"owner": "ann"}}),
        ("gcp:compute/instance:Instance", {"labels": {"expires": "2026-11-01"}}),
        ("azure-native:compute:Disk", {"tags": {"owner": "ann"}}),
    ],
    "sandbox-not-isolated": [
        ("aws:eks/nodeGroup:NodeGroup", {"labels": SANDBOX}),
        ("gcp:container/nodePool:NodePool", {"nodeConfig": {"labels": SANDBOX, "taints": [{"key": "sandbox"}]}}),
        ("azure-native:containerservice:AgentPool", {"nodeLabels": SANDBOX, "nodeTaints": ["sandbox=true:NoSchedule"]}),
        ("azure:containerservice/kubernetesClusterNodePool:KubernetesClusterNodePool", {"nodeLabels": SANDBOX, "workloadRuntime": "KataMshvVmIsolation"}),
        ("kubernetes:apps/v1:Deployment", _pod({"app": "sandbox-server"})),
        ("kubernetes:apps/v1:Deployment", _pod(SANDBOX, runtimeClassName="gvisor", containers=[{"name": "c", "securityContext": {"privileged": True}}])),
    ],
    "sandbox-network": [
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"metadata": {"name": "sandboxes"}, "spec": {"egress": [{}]}}),
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"spec": {"podSelector": {"matchLabels": SANDBOX}, "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}}),
        ("kubernetes:batch/v1:Job", _pod(SANDBOX, hostNetwork=True)),
    ],
    "secret-in-plain-text": [
        ("aws:ec2/instance:Instance", {"userData": f"#!/bin/sh\nexport AWS_ACCESS_KEY_ID={KEY}\n"}),
        ("aws:ec2/launchTemplate:LaunchTemplate", {"userData": base64.b64encode(f"export KEY={KEY}".encode()).decode()}),
        ("aws:lambda/function:Function", {"environment": {"variables": {"GH": "ghp_" + "a" * 36}}}),
        ("aws:ecs/taskDefinition:TaskDefinition", {"containerDefinitions": json.dumps([{"environment": [{"name": "X", "value": "hf_" + "a" * 34}]}])}),
        ("gcp:compute/instance:Instance", {"metadataStartupScript": "curl -H 'Authorization: Bearer sk-proj-" + "a" * 40 + "'"}),
        ("azure-native:compute:VirtualMachine", {"osProfile": {"customData": base64.b64encode(b"-----BEGIN RSA PRIVATE KEY-----").decode()}}),
        ("kubernetes:core/v1:Pod", {"spec": {"containers": [{"env": [{"name": "A", "value": "xoxb-" + "1" * 12}]}]}}),
    ],
    "password-in-plain-text": [
        ("aws:rds/instance:Instance", {"password": "hunter2"}),
        ("gcp:sql/user:User", {"password": "hunter2"}),
        ("azure-native:compute:VirtualMachine", {"osProfile": {"adminPassword": "hunter2"}}),
        ("azure:mssql/server:Server", {"administratorLoginPassword": "hunter2"}),
        ("kubernetes:core/v1:Secret", {"stringData": {"anything": "hunter2"}}),
        ("kubernetes:apps/v1:Deployment", {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}]}}}}),
    ],
    "single-zone-spot": [
        ("aws:eks/nodeGroup:NodeGroup", {"capacityType": "SPOT", "subnetIds": [UNKNOWN]}),
        ("gcp:container/nodePool:NodePool", {"location": "us-central1-a", "nodeConfig": {"spot": True}}),
        ("azure-native:containerservice:AgentPool", {"scaleSetPriority": "Spot", "availabilityZones": ["1"]}),
        ("azure:containerservice/kubernetesClusterNodePool:KubernetesClusterNodePool", {"priority": "Spot", "zones": ["1"]}),
    ],
    "image-without-digest": [
        ("kubernetes:core/v1:Pod", {"spec": {"containers": [{"image": "python:3.12"}]}}),
        ("kubernetes:batch/v1:Job", {"spec": {"template": {"spec": {"initContainers": [{"image": "a/b:latest"}]}}}}),
    ],
}  # fmt: skip
KEEPS: dict[str, list[Case]] = {
    "open-network": [
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{**WEB, "cidrBlocks": ["0.0.0.0/0"]}], "egress": [{"fromPort": 0, "toPort": 0, "protocol": "-1", "cidrBlocks": ["0.0.0.0/0"]}]}),
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{**SSH, "cidrBlocks": ["10.0.0.0/8"]}, {**SSH, "cidrBlocks": UNKNOWN}, {**SSH, "fromPort": UNKNOWN, "cidrBlocks": ["0.0.0.0/0"]}]}),
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": UNKNOWN}),
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{"fromPort": -1, "toPort": -1, "protocol": "icmp", "cidrBlocks": ["0.0.0.0/0"]}]}),
        ("aws:ec2/securityGroupRule:SecurityGroupRule", {"type": "egress", **SSH, "cidrBlocks": ["0.0.0.0/0"]}),
        ("aws:ec2/routeTable:RouteTable", {"routes": [{"cidrBlock": "0.0.0.0/0"}]}),
        ("gcp:compute/firewall:Firewall", {"allows": [{"protocol": "tcp", "ports": ["22"]}], "sourceTags": ["bastion"]}),
        ("gcp:compute/firewall:Firewall", {"allows": [{"protocol": "tcp", "ports": ["22"]}], "sourceRanges": UNKNOWN}),
        ("gcp:compute/firewall:Firewall", {"allows": [{"protocol": "tcp", "ports": ["22"]}], "direction": "EGRESS"}),
        ("gcp:compute/firewall:Firewall", {"denies": [{"protocol": "tcp"}], "sourceRanges": ["0.0.0.0/0"]}),
        ("azure-native:network:NetworkSecurityGroup", {"securityRules": [{**INBOUND, "access": "Deny", "sourceAddressPrefix": "*", "destinationPortRange": "*"}, {**INBOUND, "sourceAddressPrefix": "*", "destinationPortRange": "443"}]}),
        ("azure-native:network:SecurityRule", {**INBOUND, "direction": "Outbound", "sourceAddressPrefix": "*", "destinationPortRange": "*"}),
        ("kubernetes:core/v1:Service", {"spec": {"type": "LoadBalancer", "ports": [{"port": 443}]}}),
        ("kubernetes:core/v1:Service", {"spec": {"type": "LoadBalancer", "ports": [{"port": 8265}], "loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
        ("kubernetes:core/v1:Service", {"metadata": {"annotations": {"networking.gke.io/load-balancer-type": "Internal"}}, "spec": {"type": "LoadBalancer", "ports": [{"port": 8265}]}}),
        ("kubernetes:core/v1:Service", {"spec": {"type": "ClusterIP", "ports": [{"port": 8265}]}}),
    ],
    "public-endpoint": [
        ("aws:eks/cluster:Cluster", {"vpcConfig": {"endpointPublicAccess": False}}),
        ("aws:eks/cluster:Cluster", {"vpcConfig": {"publicAccessCidrs": ["203.0.113.7/32"]}}),
        ("aws:eks/cluster:Cluster", {"vpcConfig": UNKNOWN}),
        ("gcp:container/cluster:Cluster", {"masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": "203.0.113.7/32"}]}}),
        ("gcp:container/cluster:Cluster", {"privateClusterConfig": {"enablePrivateEndpoint": True}}),
        ("azure-native:containerservice:ManagedCluster", {"apiServerAccessProfile": {"authorizedIPRanges": ["203.0.113.7/32"]}}),
        ("azure:containerservice/kubernetesCluster:KubernetesCluster", {"privateClusterEnabled": True}),
        ("azure:containerservice/kubernetesCluster:KubernetesCluster", {"apiServerAccessProfile": {"authorizedIpRanges": UNKNOWN}}),
    ],
    "public-bucket": [
        ("aws:s3/bucket:Bucket", {}),
        ("aws:s3/bucketV2:BucketV2", {"acl": "private"}),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", {"blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": UNKNOWN}),
        ("aws:s3/bucketPolicy:BucketPolicy", {"policy": _statement(Principal="*", Action="s3:GetObject", Resource="*", Condition={"StringEquals": {"aws:SourceVpce": "v"}})}),
        ("aws:s3/bucketPolicy:BucketPolicy", {"policy": UNKNOWN}),
        ("gcp:storage/bucket:Bucket", {"location": "US"}),
        ("gcp:storage/bucketIAMMember:BucketIAMMember", {"member": "user:a@b.c", "role": "roles/storage.admin"}),
        ("azure-native:storage:StorageAccount", {}),
        ("azure-native:storage:BlobContainer", {"publicAccess": "None"}),
        ("azure:storage/container:Container", {"containerAccessType": "private"}),
    ],
    "wildcard-permission": [
        ("aws:iam/policy:Policy", {"policy": _statement(Action=["s3:GetObject", "s3:List*"], Resource="arn:aws:s3:::b/*")}),
        ("aws:iam/policy:Policy", {"policy": _statement(Action="ec2:Describe*", Resource="*")}),
        ("aws:iam/policy:Policy", {"policy": json.dumps({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})}),
        ("aws:iam/policy:Policy", {"policy": UNKNOWN}),
        ("aws:iam/policy:Policy", {"policy": "{not json"}),
        ("aws:kms/key:Key", {"policy": _statement(Principal={"AWS": "arn:aws:iam::1:root"}, Action="kms:*", Resource="*")}),
        ("aws:iam/role:Role", {"assumeRolePolicy": _statement(Principal={"Service": "eks.amazonaws.com"}, Action="sts:AssumeRole")}),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", {"policyArn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"}),
        ("gcp:projects/iAMMember:IAMMember", {"role": "roles/storage.objectViewer", "member": "user:a@b.c"}),
        ("azure-native:authorization:RoleAssignment", {"roleDefinitionId": "/x/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"}),
        ("azure-native:authorization:RoleDefinition", {"permissions": [{"actions": ["Microsoft.Compute/*/read"], "notActions": ["*"]}]}),
        ("kubernetes:rbac.authorization.k8s.io/v1:Role", {"rules": [{"resources": ["pods"], "verbs": ["*"]}]}),
        ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", {"roleRef": {"name": "view"}, "subjects": [{"name": "job"}]}),
    ],
    "unencrypted-data": [
        ("aws:ebs/volume:Volume", {"encrypted": True}),
        ("aws:ebs/volume:Volume", {"encrypted": UNKNOWN}),
        ("aws:ebs/volume:Volume", {"snapshotId": "snap-1"}),
        ("aws:ec2/instance:Instance", {"rootBlockDevice": {"encrypted": True}}),
        ("aws:ec2/instance:Instance", {"rootBlockDevice": UNKNOWN}),
        ("aws:ec2/launchTemplate:LaunchTemplate", {"blockDeviceMappings": [{"ebs": {"encrypted": "true"}}, {"noDevice": ""}]}),
        ("aws:rds/instance:Instance", {"replicateSourceDb": "a"}),
        ("aws:s3/bucket:Bucket", {}),
        ("gcp:compute/disk:Disk", {"size": 100}),
        ("azure-native:compute:Disk", {"diskSizeGB": 100}),
        ("azure-native:storage:StorageAccount", {}),
        ("kubernetes:storage.k8s.io/v1:StorageClass", {"provisioner": "pd.csi.storage.gke.io"}),
    ],
    "missing-tags": [
        ("aws:ec2/instance:Instance", {"tags": {"owner": "ann"}}),
        ("aws:autoscaling/group:Group", {"tags": [{"key": "owner", "value": "ann", "propagateAtLaunch": True}]}),
        ("aws:ec2/instance:Instance", {"tags": UNKNOWN}),
        ("aws:ec2/subnet:Subnet", {}),
        ("gcp:container/cluster:Cluster", {"resourceLabels": {"gpu-type": "h100"}}),
        ("gcp:compute/firewall:Firewall", {}),
        ("azure-native:compute:VirtualMachine", {"tags": {"owner": "ann"}}),
        ("kubernetes:core/v1:Pod", {}),
    ],
    "missing-expiry": [
        ("aws:ec2/instance:Instance", {"tags": {"expires": "2026-12-24"}}),
        ("gcp:compute/instance:Instance", {"labels": {"delete-after": "never"}}),
        ("azure:compute/managedDisk:ManagedDisk", {"tags": {"Expiry": "2027-01-01"}}),
    ],
    "sandbox-not-isolated": [
        ("aws:eks/nodeGroup:NodeGroup", {"labels": SANDBOX, "taints": [{"key": "sandbox"}]}),
        ("aws:eks/nodeGroup:NodeGroup", {"labels": {"role": "trainer"}}),
        ("aws:eks/nodeGroup:NodeGroup", {"labels": UNKNOWN}),
        ("gcp:container/nodePool:NodePool", {"nodeConfig": {"labels": SANDBOX, "taints": [{"key": "a"}], "sandboxConfig": {"sandboxType": "gvisor"}}}),
        ("azure-native:containerservice:AgentPool", {"nodeLabels": SANDBOX, "nodeTaints": ["a"], "workloadRuntime": "KataMshvVmIsolation"}),
        ("kubernetes:apps/v1:Deployment", _pod(SANDBOX, runtimeClassName="gvisor")),
        ("kubernetes:apps/v1:Deployment", _pod({"app": "trainer"})),
    ],
    "sandbox-network": [
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"metadata": {"name": "sandboxes"}, "spec": {"egress": []}}),
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"metadata": {"name": "sandboxes"}, "spec": {"egress": [{"ports": [{"port": 53}]}, {"to": UNKNOWN}]}}),
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"metadata": {"name": "trainers"}, "spec": {"egress": [{}]}}),
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", {"metadata": {"name": "others"}, "spec": {"podSelector": {"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["sandbox"]}]}, "egress": [{}]}}),
    ],
    "secret-in-plain-text": [
        ("aws:ec2/instance:Instance", {"userData": "[secret]", "password": "hunter2"}),
        ("aws:ec2/keyPair:KeyPair", {"publicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ"}),
        ("aws:rds/instance:Instance", {"password": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": KEY}}),
        ("gcp:compute/instance:Instance", {"metadataStartupScript": UNKNOWN}),
        ("azure-native:compute:VirtualMachine", {"osProfile": {"customData": "not base64 !"}}),
    ],
    "password-in-plain-text": [
        ("aws:rds/instance:Instance", {"password": "[secret]", "manageMasterUserPassword": "true"}),
        ("aws:rds/instance:Instance", {"masterUserSecretKmsKeyId": "abc", "passwordSecretName": "db"}),
        ("aws:ecs/taskDefinition:TaskDefinition", {"secrets": [{"name": "DB_PASSWORD", "valueFrom": "arn:aws:ssm:1"}]}),
        ("aws:lambda/function:Function", {"environment": {"variables": {"API_KEY": "arn:aws:secretsmanager:us-east-1:1:secret:a", "MAX_TOKENS": "8192"}}}),
        ("gcp:sql/user:User", {"password": UNKNOWN}),
        ("kubernetes:core/v1:Pod", {"spec": {"containers": [{"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db"}}}, {"name": "TOKEN", "value": "$(FROM_VAULT)"}]}]}}),
        ("kubernetes:core/v1:Secret", {"stringData": {"anything": "[secret]"}}),
    ],
    "single-zone-spot": [
        ("aws:eks/nodeGroup:NodeGroup", {"capacityType": "SPOT", "subnetIds": [UNKNOWN, UNKNOWN]}),
        ("aws:eks/nodeGroup:NodeGroup", {"capacityType": "SPOT", "subnetIds": UNKNOWN}),
        ("aws:eks/nodeGroup:NodeGroup", {"subnetIds": ["a"]}),
        ("gcp:container/nodePool:NodePool", {"location": "us-central1", "nodeConfig": {"spot": True}}),
        ("azure-native:containerservice:AgentPool", {"scaleSetPriority": "Spot"}),
    ],
    "image-without-digest": [
        ("kubernetes:core/v1:Pod", {"spec": {"containers": [{"image": "python@sha256:" + "a" * 64}, {"image": UNKNOWN}]}}),
        ("kubernetes:core/v1:ConfigMap", {"data": {"image": "python:3.12"}}),
    ],
}  # fmt: skip


def _cases(table: dict[str, list[Case]]) -> list[Any]:
    return [
        pytest.param(rule, *case, id=f"{rule}-{case[0].rpartition(':')[2]}-{index}")
        for rule, cases in table.items()
        for index, case in enumerate(cases)
    ]


@pytest.mark.parametrize(("rule", "kind", "properties"), _cases(BREAKS))
def test_it_is_broken(rule: str, kind: str, properties: dict[str, Any]) -> None:
    found = broken(rule, kind, properties)
    assert found
    assert KEY not in "".join(found)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(("rule", "kind", "properties"), _cases(KEEPS))
def test_it_is_kept(rule: str, kind: str, properties: dict[str, Any]) -> None:
    assert broken(rule, kind, properties) == []


def test_every_rule_has_cases_of_both_kinds() -> None:
    assert set(RULES) == set(BREAKS) == set(KEEPS)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"policy": [], "tags": 3, "spec": "x", "ingress": {"a": 1}, "rules": None},
        {"spec": {"egress": 4, "ports": [None]}, "vpcConfig": [], "permissions": "x"},
    ],
)
def test_properties_of_a_strange_form_end_in_no_traceback(rule: str, properties: dict[str, Any]) -> None:
    kinds = {kind for cases in (*BREAKS.values(), *KEEPS.values()) for kind, _ in cases}
    for kind in kinds:
        for strict in (False, True):
            broken(
                rule,
                kind,
                properties,
                **({"strict": True} if strict and "strict" in RULES[rule].rule.setting.model_fields else {}),
            )


def test_ports_that_may_be_open_are_a_setting() -> None:
    group = {"ingress": [{**WEB, "cidrBlocks": ["0.0.0.0/0"]}]}
    assert broken("open-network", "aws:ec2/securityGroup:SecurityGroup", group, ports=[]) == [
        "port 443 is open to everybody (0.0.0.0/0)"
    ]


def test_named_tags_are_asked_for_however_a_cloud_spells_them() -> None:
    bucket = "gcp:storage/bucket:Bucket"
    assert broken("missing-tags", bucket, {"labels": {"cost_center": "a"}}, tags=["Cost-Center"]) == []
    assert broken("missing-tags", bucket, {"labels": {"cost_center": "a"}}, tags=["owner", "team"]) == [
        "lacks the tags owner, team"
    ]


def test_what_a_stack_says_of_its_resources_counts() -> None:
    urn = "urn:pulumi:dev::p::"
    disk = Resource(urn=f"{urn}aws:ebs/volume:Volume::d", type="aws:ebs/volume:Volume", name="d", properties={})
    provider = Resource(
        urn=f"{urn}pulumi:providers:aws::default", type="pulumi:providers:aws", name="default",
        properties={"defaultTags": json.dumps({"tags": {"owner": "ann"}})},
    )  # fmt: skip
    kind = "aws:ebs/encryptionByDefault:EncryptionByDefault"
    encrypts = Resource(urn=f"{urn}{kind}::e", type=kind, name="e", properties={"enabled": True})
    alone = stack_facts([disk], StackFacts())(disk)
    assert broken("unencrypted-data", disk.type, {}, alone)
    assert broken("missing-tags", disk.type, {}, alone, tags=["owner"])
    facts = stack_facts([disk, provider, encrypts], StackFacts())(disk)
    assert broken("unencrypted-data", disk.type, {}, facts) == []
    assert broken("missing-tags", disk.type, {}, facts, tags=["owner"]) == []
    elsewhere = stack_facts([provider, encrypts], StackFacts())(
        Resource(urn="urn:pulumi:prod::p::aws:ebs/volume:Volume::d", type=disk.type, name="d")
    )
    assert broken("unencrypted-data", disk.type, {}, elsewhere)


def test_fleets_of_our_own_are_asked_for_more() -> None:
    assert all_own_fleet_problems(
        "gcp:storage/bucket:Bucket", {"uniformBucketLevelAccess": True, "publicAccessPrevention": "inherited"}
    ) == ['public-bucket: publicAccessPrevention is "inherited": may be made public']
    assert all_own_fleet_problems("aws:ec2/securityGroup:SecurityGroup", {"egress": [{"cidrBlocks": ["0.0.0.0/0"]}]})
    assert "lacks the tags" in all_own_fleet_problems("pulumi:providers:aws", {})[0]
