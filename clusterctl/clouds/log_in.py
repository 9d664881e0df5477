"""How a person logs in to each cloud: what every message says that lacks credentials."""

from __future__ import annotations

LOG_IN = {
    "aws": "`aws sso login`, `aws configure`, or AWS_PROFILE=NAME; `aws sts get-caller-identity` shows who asks",
    "gcp": "`gcloud auth application-default login`; GOOGLE_CLOUD_PROJECT names the project",
    "azure": "`az login`; `az account set --subscription NAME` chooses the subscription",
}
