"""Where a run keeps what outlives its nodes: a bucket that only the run's pods reach."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.gcp.gke import Project
from infra.gcp.supervisor import pods_of
from infra.node_fleet import OLD_VERSION_DAYS, UNFINISHED_DAYS, Fleet


class GoogleStorage(pulumi.ComponentResource):
    """Encrypted, versioned, never public.  The file system that nodes share is a claim of Filestore's storage class."""

    def __init__(self, name: str, *, fleet: Fleet, project: Project, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:gcp:Storage", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        self.bucket: pulumi.Input[str] = fleet.settings.bucket or new_bucket(fleet, child)
        gcp.storage.BucketIAMMember(
            "jobs", bucket=self.bucket, role="roles/storage.objectUser", member=pods_of(fleet, project), opts=child
        )
        self.register_outputs({"bucket": self.bucket})


def new_bucket(fleet: Fleet, options: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Its name."""
    return gcp.storage.Bucket(
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
        opts=options,
    ).name
