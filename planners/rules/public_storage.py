"""The rule on buckets that everybody reads.

New S3 buckets block public access and ignore ACLs unless told otherwise (since 2023-04:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html), Azure's accounts allow no anonymous
access unless told otherwise (https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-prevent), and a
bucket of Google Cloud is public only by a right of allUsers: what is absent breaks nothing but the strict rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from planners.rules.permissions import EVERYBODY, has_everybody, statements
from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    SafetySetting,
    StackFacts,
    at,
    is_false,
    is_true,
    is_unknown,
    items,
    mappings,
    plain_type,
    short_type,
)

_PUBLIC_ACLS = frozenset({"public-read", "public-read-write", "website", "publicRead", "publicReadWrite"})
_GRANTEES = ("global/AllUsers", "global/AuthenticatedUsers")
_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


@dataclass(frozen=True, slots=True)
class Required:
    """A property, and the values that it must have by a strict rule."""

    kind: str
    """Of the resource, as a regular expression."""
    path: str
    values: Sequence[Any]
    why: str


def lacking(table: Sequence[Required], kind: str, properties: Properties) -> Iterator[str]:
    """The lines of a table that a resource breaks."""
    for wanted in table:
        if re.search(wanted.kind, kind) is not None:
            found = at(properties, wanted.path)
            if found not in wanted.values and not is_unknown(found):
                yield f"{wanted.path} is {json.dumps(found, default=str)}: {wanted.why}"


_PUBLIC = "may be made public"
_STRICT = (
    *(Required(r":BucketPublicAccessBlock$", block, [True], _PUBLIC) for block in _BLOCKS),
    Required(r"^gcp:storage/bucket:Bucket$", "publicAccessPrevention", ["enforced"], _PUBLIC),
    Required(r"^gcp:storage/bucket:Bucket$", "uniformBucketLevelAccess", [True], _PUBLIC),
    Required(r":StorageAccount$", "allowBlobPublicAccess", [False], _PUBLIC),
    Required(r":StorageAccount$", "allowSharedKeyAccess", [False], "whoever has the key gets in"),
    Required(r":StorageAccount$", "networkRuleSet.defaultAction", ["Deny"], "every network gets in"),
)


def _public_bucket(kind: str, properties: Properties, setting: SafetySetting, _stack: StackFacts) -> Iterator[str]:
    kind = plain_type(kind)
    if setting.strict:
        yield from lacking(_STRICT, kind, properties)
    elif kind.startswith("aws:s3/"):
        yield from _s3_block(kind, properties)
    if kind.startswith("aws:s3"):
        yield from _s3(kind, properties)
    elif kind.startswith("gcp:storage/"):
        yield from _gcs(kind, properties)
    elif kind.startswith(("azure-native:storage:", "azure:storage/")):
        yield from _blobs(kind, properties, strict=setting.strict)


def _s3_block(kind: str, properties: Properties) -> Iterator[str]:
    if short_type(kind) in {"BucketPublicAccessBlock", "AccountPublicAccessBlock"}:
        lifted = [name for name in _BLOCKS if is_false(properties.get(name)) or properties.get(name) is None]
        if lifted:
            yield f"{', '.join(lifted)} {'is' if len(lifted) == 1 else 'are'} not set: the bucket may be made public"


def _s3(kind: str, properties: Properties) -> Iterator[str]:
    acl = properties.get("acl")
    if isinstance(acl, str) and acl in _PUBLIC_ACLS:
        yield f"acl {acl} lets everybody in"
    grants = [*mappings(properties.get("grants")), *mappings(at(properties, "accessControlPolicy.grants"))]
    for grant in grants:
        uri = str(grant.get("uri") or at(grant, "grantee.uri"))
        if uri.endswith(_GRANTEES):
            yield f"a grant lets {uri.rpartition('/')[2]} in"
    if short_type(kind) in {"BucketPolicy", "Bucket", "BucketV2"}:
        for statement in statements(properties.get("policy")):
            if statement.get("Effect") == "Allow" and has_everybody(statement) and not statement.get("Condition"):
                yield "its policy lets everybody in (Principal *, without a condition)"


def _gcs(kind: str, properties: Properties) -> Iterator[str]:
    members = [*items(properties.get("member")), *items(properties.get("members"))]
    entities = [
        *items(properties.get("entity")),
        *(str(each).rpartition(":")[2] for each in items(properties.get("roleEntities"))),
    ]
    for member in members + entities:
        if member in EVERYBODY:
            yield f"{member} has {properties.get('role') or 'access'}: everybody gets in"
    if short_type(kind) in {"BucketACL", "DefaultObjectAccessControl"}:
        for name in ("predefinedAcl", "defaultAcl"):
            if properties.get(name) in _PUBLIC_ACLS:
                yield f"{name} {properties[name]} lets everybody in"


def _blobs(kind: str, properties: Properties, *, strict: bool) -> Iterator[str]:
    short = short_type(kind)
    if short in {"StorageAccount", "Account"} and not strict:
        for name in ("allowBlobPublicAccess", "allowNestedItemsToBePublic"):
            if is_true(properties.get(name)):
                yield f"{name} is true: containers may be made public"
    level = properties.get("publicAccess", properties.get("containerAccessType"))
    if short in {"BlobContainer", "Container"} and isinstance(level, str) and level.lower() not in {"none", "private"}:
        yield f"everybody reads its {'blobs' if level.lower() == 'blob' else 'blobs and their list'} ({level})"


PUBLIC_BUCKET = ResourceRule(
    rule=Rule(
        id="public-bucket",
        group="safety",
        summary="A bucket or container is public, or may be made so.",
        why="Weights, data and checkpoints are read by whoever finds the name, and the egress is on your bill.",
        setting=SafetySetting,
    ),
    problems=_public_bucket,
)
