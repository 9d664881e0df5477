"""Where a run keeps what outlives its nodes: a bucket that only the run's pods reach."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.node_fleet import NAMESPACE, OLD_VERSION_DAYS, SERVICE_ACCOUNT, UNFINISHED_DAYS, Fleet


class GoogleStorage(pulumi.ComponentResource):
    """Encrypted, versioned, never public.  The file system that nodes share is a claim of Filestore's storage class."""

    def __init__(
        self,
        name: str,
        *,
        fleet: Fleet,
        project: pulumi.Output[gcp.organizations.GetProjectResult],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:gcp:Storage", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = gcp.storage.Bucket(
            "checkpoints",
            location=fleet.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=gcp.storage.BucketVersioningArgs(enabled=True),
            lifecycle_rules=[
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(days_since_noncurrent_time=OLD_VERSION_DAYS),
                ),
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=UNFINISHED_DAYS),
                ),
            ],
            opts=child,
        )
        self.bucket = bucket.name
        gcp.storage.BucketIAMMember(  # workload identity federation: the pods of this service account, and no node
            "jobs",
            bucket=bucket.name,
            role="roles/storage.objectUser",
            member=pulumi.Output.format(
                "principal://iam.googleapis.com/projects/{0}/locations/global/workloadIdentityPools/{1}.svc.id.goog"
                f"/subject/ns/{NAMESPACE}/sa/{SERVICE_ACCOUNT}",
                project.number,
                project.project_id,
            ),
            opts=child,
        )
        self.register_outputs({"bucket": self.bucket})
