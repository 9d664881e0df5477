"""Where a run keeps what outlives its nodes: a bucket, and a file system that all nodes mount."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.aws.eks import Eks
from infra.aws.iam import policy, role_of_pods
from infra.node_fleet import JOBS, OLD_VERSION_DAYS, UNFINISHED_DAYS, Fleet

NFS_PORT = 2049


class AwsStorage(pulumi.ComponentResource):
    """Both are encrypted, and neither can be reached from outside of the network or the account."""

    def __init__(self, name: str, *, fleet: Fleet, eks: Eks, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:aws:Storage", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        if fleet.settings.bucket:
            asked = pulumi.InvokeOutputOptions(parent=self)
            arn = aws.s3.get_bucket_output(bucket=fleet.settings.bucket, opts=asked).arn
            self.bucket: pulumi.Input[str] = fleet.settings.bucket
        else:
            bucket = new_bucket(child)
            arn, self.bucket = bucket.arn, bucket.bucket
        role_of_pods("jobs", eks.name, (fleet.name_in_cluster, JOBS), arn.apply(of_runs), child)
        self.file_system_id = shared_files(eks, child)
        self.register_outputs({"bucket": self.bucket, "file_system_id": self.file_system_id})


def shared_files(eks: Eks, options: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Id of the file system that all nodes mount."""
    files = aws.efs.FileSystem("runs", encrypted=True, throughput_mode="elastic", opts=options)
    group = aws.ec2.SecurityGroup(
        "runs", vpc_id=eks.subnets.vpc_id, description="NFS from the nodes of the cluster", opts=options
    )
    aws.vpc.SecurityGroupIngressRule(
        "runs",
        security_group_id=group.id,
        referenced_security_group_id=eks.security_group_id,
        ip_protocol="tcp",
        from_port=NFS_PORT,
        to_port=NFS_PORT,
        opts=options,
    )
    aws.efs.MountTarget(
        "runs", file_system_id=files.id, subnet_id=eks.subnets.node_subnet_id, security_groups=[group.id], opts=options
    )
    return files.id


def new_bucket(options: pulumi.ResourceOptions) -> aws.s3.BucketV2:
    """Closed, and cleaned of what nobody can use any more."""
    bucket = aws.s3.BucketV2("checkpoints", opts=options)
    close_bucket(bucket, options)
    aws.s3.BucketLifecycleConfigurationV2(
        "checkpoints",
        bucket=bucket.id,
        rules=[
            aws.s3.BucketLifecycleConfigurationV2RuleArgs(
                id="leftovers",
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationV2RuleFilterArgs(prefix=""),
                noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs(
                    noncurrent_days=OLD_VERSION_DAYS
                ),
                abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs(
                    days_after_initiation=UNFINISHED_DAYS
                ),
            )
        ],
        opts=options,
    )
    return bucket


def close_bucket(bucket: aws.s3.BucketV2, options: pulumi.ResourceOptions) -> None:
    """Encrypted, versioned, never public, and only by TLS."""
    aws.s3.BucketServerSideEncryptionConfigurationV2(
        "checkpoints",
        bucket=bucket.id,
        rules=[
            aws.s3.BucketServerSideEncryptionConfigurationV2RuleArgs(
                apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs(
                    sse_algorithm="aws:kms"
                ),
                bucket_key_enabled=True,
            )
        ],
        opts=options,
    )
    aws.s3.BucketVersioningV2(
        "checkpoints",
        bucket=bucket.id,
        versioning_configuration=aws.s3.BucketVersioningV2VersioningConfigurationArgs(status="Enabled"),
        opts=options,
    )
    closed = aws.s3.BucketPublicAccessBlock(
        "checkpoints",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=options,
    )
    aws.s3.BucketPolicy(
        "checkpoints",
        bucket=bucket.id,
        policy=bucket.arn.apply(only_by_tls),
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[closed])),
    )


def only_by_tls(arn: str) -> str:
    """The policy that refuses whoever comes without TLS."""
    return policy(
        {
            "Sid": "OnlyByTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def of_runs(arn: str) -> str:
    """The policy that lets the run's pods read and write its bucket."""
    files = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    return policy(
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn]},
        {"Effect": "Allow", "Action": files, "Resource": [f"{arn}/runs/*"]},
    )
