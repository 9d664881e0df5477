"""All rules for resources, as the policy pack of infra/ and `clusterctl review` ask them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from planners.infrastructure.value import Resource
from planners.rules.encryption import UNENCRYPTED_DATA
from planners.rules.infrastructure_rules import SINGLE_ZONE
from planners.rules.open_networks import OPEN_NETWORK, PUBLIC_ENDPOINT
from planners.rules.permissions import WILDCARD_PERMISSION
from planners.rules.plain_secrets import PASSWORD_IN_PLAIN_TEXT, SECRET_IN_PLAIN_TEXT
from planners.rules.public_storage import PUBLIC_BUCKET
from planners.rules.reproducibility import CONTAINER_IMAGE
from planners.rules.resource_tags import MISSING_EXPIRY, MISSING_TAGS, default_tags
from planners.rules.rule import Properties, ResourceRule, RuleSetting, StackFacts, is_false
from planners.rules.sandbox_isolation import SANDBOX_NETWORK, SANDBOX_NOT_ISOLATED

RESOURCE_RULES: tuple[ResourceRule, ...] = (
    OPEN_NETWORK,
    PUBLIC_ENDPOINT,
    PUBLIC_BUCKET,
    WILDCARD_PERMISSION,
    UNENCRYPTED_DATA,
    MISSING_TAGS,
    MISSING_EXPIRY,
    SANDBOX_NOT_ISOLATED,
    SANDBOX_NETWORK,
    SECRET_IN_PLAIN_TEXT,
    PASSWORD_IN_PLAIN_TEXT,
    SINGLE_ZONE,
    CONTAINER_IMAGE,
)
_ENCRYPTS = "aws:ebs/encryptionByDefault:EncryptionByDefault"
OWN_FLEET_RULES: tuple[ResourceRule, ...] = tuple(
    each for each in RESOURCE_RULES if each.rule.group == "safety" and each is not MISSING_EXPIRY
)
"""What fleets of clusterctl keep to, each with `strict`: they end with their run, and have no expiry."""


def own_fleet_problems(each: ResourceRule, kind: str, properties: Properties) -> Iterator[str]:
    """What is wrong with a resource of a fleet of clusterctl, by one rule."""
    strict = {"strict": True} if "strict" in each.rule.setting.model_fields else {}
    setting = each.rule.setting_from({"level": "mandatory", **strict})
    return each.problems(kind, properties, setting, StackFacts())


def all_own_fleet_problems(kind: str, properties: Properties) -> list[str]:
    """All that is wrong with a resource of a fleet of clusterctl, each with the rule's id before it."""
    return [
        f"{each.rule.id}: {problem}"
        for each in OWN_FLEET_RULES
        for problem in own_fleet_problems(each, kind, properties)
    ]


def stack_facts(resources: Iterable[Resource], facts: StackFacts) -> Callable[[Resource], StackFacts]:
    """What each resource's stack says of it; `facts` has what is known beside the resources."""
    tags: dict[tuple[str, str], frozenset[str]] = {}
    encrypts = set[str]()
    for resource in resources:
        if resource.type.startswith("pulumi:providers:"):
            key = (_stack(resource), resource.type.rpartition(":")[2].partition("-")[0])
            tags[key] = tags.get(key, frozenset()) | frozenset(default_tags(resource.type, resource.properties))
        elif resource.type == _ENCRYPTS and not is_false(resource.properties.get("enabled")):
            encrypts.add(_stack(resource))

    def of(resource: Resource) -> StackFacts:
        cloud = resource.type.partition(":")[0].partition("-")[0]
        return StackFacts(
            given_tags=facts.given_tags | tags.get((_stack(resource), cloud), frozenset()),
            disks_encrypted_by_default=facts.disks_encrypted_by_default or _stack(resource) in encrypts,
            today=facts.today,
        )

    return of


def _stack(resource: Resource) -> str:
    """Of a urn `urn:pulumi:STACK::PROJECT::TYPE::NAME` the first two parts."""
    return "::".join(resource.urn.split("::")[:2])


def resource_problems(
    resource: Resource, settings: Callable[[str], RuleSetting], facts: StackFacts
) -> Iterator[tuple[str, str]]:
    """Id of a rule, and a sentence, for each rule that a resource breaks; settings: of a rule, by its id."""
    for each in RESOURCE_RULES:
        setting = settings(each.rule.id)
        if setting.level != "off":
            for problem in each.problems(resource.type, resource.properties, setting, facts):
                yield each.rule.id, problem
