"""By type of resource, how its id follows from what it was made from, or how the cloud is asked for it."""

from __future__ import annotations

NAMED = {
    "aws:ec2/placementGroup:PlacementGroup": "{name}",
    "aws:eks/addon:Addon": "{clusterName}:{addonName}",
    "aws:eks/cluster:Cluster": "{name}",
    "aws:eks/nodeGroup:NodeGroup": "{clusterName}:{nodeGroupName}",
    "aws:iam/role:Role": "{name}",
    "aws:iam/rolePolicy:RolePolicy": "{role}:{name}",
    "aws:s3/bucketV2:BucketV2": "{bucket}",
    "gcp:compute/firewall:Firewall": "projects/{project}/global/firewalls/{name}",
    "gcp:compute/network:Network": "projects/{project}/global/networks/{name}",
    "gcp:compute/router:Router": "projects/{project}/regions/{region}/routers/{name}",
    "gcp:compute/routerNat:RouterNat": "{project}/{region}/{router}/{name}",
    "gcp:compute/subnetwork:Subnetwork": "projects/{project}/regions/{region}/subnetworks/{name}",
    "gcp:container/cluster:Cluster": "projects/{project}/locations/{location}/clusters/{name}",
    "gcp:container/nodePool:NodePool": "{cluster}/nodePools/{name}",  # the program names the cluster by its id
    "gcp:kms/cryptoKey:CryptoKey": "{keyRing}/cryptoKeys/{name}",
    "gcp:kms/keyRing:KeyRing": "projects/{project}/locations/{location}/keyRings/{name}",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "projects/{project}/roles/{roleId}",
    "gcp:serviceaccount/account:Account": (
        "projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com"
    ),
    "gcp:storage/bucket:Bucket": "{name}",
}
"""Ids as the providers' pages give them for import; a name that nobody chose is in the inputs, with its random end."""

_GROUP = "/subscriptions/{subscription}/resourceGroups/{resourceGroupName}"
_NETWORK, _STORAGE = f"{_GROUP}/providers/Microsoft.Network", f"{_GROUP}/providers/Microsoft.Storage/storageAccounts"
_AKS = f"{_GROUP}/providers/Microsoft.ContainerService/managedClusters/{{resourceName}}"
_PEOPLE = f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{resourceName}}"
_AZURE = {
    "authorization:RoleAssignment": ("{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"),
    "authorization:RoleDefinition": "{scope}/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}",
    "compute:ProximityPlacementGroup": (
        f"{_GROUP}/providers/Microsoft.Compute/proximityPlacementGroups/{{proximityPlacementGroupName}}"
    ),
    "consumption:Budget": "{scope}/providers/Microsoft.Consumption/budgets/{budgetName}",
    "containerservice:AgentPool": f"{_AKS}/agentPools/{{agentPoolName}}",
    "containerservice:ManagedCluster": _AKS,
    "managedidentity:FederatedIdentityCredential": (
        f"{_PEOPLE}/federatedIdentityCredentials/{{federatedIdentityCredentialResourceName}}"
    ),
    "managedidentity:UserAssignedIdentity": _PEOPLE,
    "network:NatGateway": f"{_NETWORK}/natGateways/{{natGatewayName}}",
    "network:NetworkSecurityGroup": f"{_NETWORK}/networkSecurityGroups/{{networkSecurityGroupName}}",
    "network:PublicIPAddress": f"{_NETWORK}/publicIPAddresses/{{publicIpAddressName}}",
    "network:Subnet": f"{_NETWORK}/virtualNetworks/{{virtualNetworkName}}/subnets/{{subnetName}}",
    "network:VirtualNetwork": f"{_NETWORK}/virtualNetworks/{{virtualNetworkName}}",
    "resources:ResourceGroup": _GROUP,
    "storage:BlobContainer": f"{_STORAGE}/{{accountName}}/blobServices/default/containers/{{containerName}}",
    "storage:BlobServiceProperties": f"{_STORAGE}/{{accountName}}/blobServices/{{blobServicesName}}",
    "storage:ManagementPolicy": f"{_STORAGE}/{{accountName}}/managementPolicies/{{managementPolicyName}}",
    "storage:StorageAccount": f"{_STORAGE}/{{accountName}}",
}
NAMED |= {f"azure-native:{kind}": identity for kind, identity in _AZURE.items()}

ASKED = {
    "aws:ec2/routeTableAssociation:RouteTableAssociation": (
        "aws:ec2/getRouteTable:getRouteTable", "subnetId", "associations", "routeTableAssociationId",
    ),
    "aws:efs/mountTarget:MountTarget": ("aws:efs/getMountTarget:getMountTarget", "fileSystemId", None, "mountTargetId"),
}  # fmt: skip
"""What can have no tags: type → the question, its argument (an input), where the answer lists them, which is the id."""

AGAIN = frozenset(
    f"aws:{kind}"
    for kind in (
        "iam/rolePolicyAttachment:RolePolicyAttachment",
        "s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2",
        "s3/bucketPolicy:BucketPolicy",
        "s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
        "s3/bucketVersioningV2:BucketVersioningV2",
    )
) | {
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    "gcp:projects/iAMMember:IAMMember",
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "gcp:billing/budget:Budget",  # an alarm without a name: it may be there twice, which costs nothing
}
"""What is set rather than made: to set it again changes nothing."""
