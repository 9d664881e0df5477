"""The team's policies: which rules count, how much, where, and which findings are silenced, with reason and expiry.

A policies file comes from the base of a change, or from a path that a person names: never from the head, which could
loosen the rules for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from clusterctl.errors import SpecError
from clusterctl.review.value import Level
from clusterctl.specfile.spec_errors import dotted, nearest, shown
from clusterctl.specfile.yaml_file import Document, parse_yaml, read_text
from planners.rules.built_in import RULES
from planners.rules.rule import RuleSetting
from planners.spec.spec_model import SpecModel, Text, Word

PLACES = ("policies.yaml", ".clusterctl/policies.yaml")
"""Where the policies of a repository are looked for, from its root."""
INSTALL_OPA = "install Open Policy Agent (https://www.openpolicyagent.org/docs/#running-opa), so that `opa` is on PATH"
ReadFile = Callable[[str], str]
"""Path of a file beside the policies file -> its text.  Raises SpecError where there is none."""
_SENTENCES: dict[str, str] = {
    "date_from_datetime_parsing": "must be a day, like 2027-01-31",
    "date_parsing": "must be a day, like 2027-01-31",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_type": "must be text",
}


def _level_alone(value: Any) -> Any:
    return {"level": value} if isinstance(value, str) else value


Stated = Annotated[dict[str, Any], BeforeValidator(_level_alone)]
RulesStated = dict[Word, Stated]


class PathRules(SpecModel):
    """Settings for some specs or resources."""

    path: Word = Field(description="Path of a spec, urn or name of a resource, or file of its program; * is any text.")
    rules: RulesStated = Field(description="As under `rules`, on top of it.")


class SilenceRow(SpecModel):
    """Findings that don't count, in the open."""

    rule: Word = Field(description="Id of the rule.")
    subject: Word = Field(
        description="Path of a spec, urn or name of a resource, or file of its program; * is any text."
    )
    reason: Text = Field(description="Why.")
    expires: date = Field(description="Last day on which it holds.")


class OwnRule(SpecModel):
    """A rule of the team's own."""

    rego: Word | None = Field(None, description="File of Open Policy Agent's language, beside this file.")
    python: Word | None = Field(None, description="File with `def check(review)`, beside this file.")
    level: Level = Field("advisory", description="advisory or mandatory.")
    why: Text = Field("A rule of this team.", description="Why it is there.")

    @property
    def file(self) -> str:
        """Its file, relative to the policies file."""
        return self.rego or self.python or ""

    @property
    def id(self) -> str:
        """Name of its file, without ending."""
        return PurePosixPath(self.file).stem


class PoliciesFile(SpecModel):
    """A policies file, as a person writes it."""

    version: Literal[1] = Field(1, description="Version of this format.")
    rules: RulesStated = Field({}, description="Rule -> its level, or its settings.")
    paths: Annotated[tuple[PathRules, ...], Field(max_length=200)] = Field(
        (), description="Settings for some specs or resources; later ones win."
    )
    existing: Level = Field(
        "advisory", description="Level of what the base breaks in the same way; mandatory: as if it were new."
    )
    silence: Annotated[tuple[SilenceRow, ...], Field(max_length=1000)] = Field((), description="What doesn't count.")
    own: Annotated[tuple[OwnRule, ...], Field(max_length=50)] = Field((), description="Rules of the team's own.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What counts in a review."""

    name: str = ""
    """Of the file; empty where there is none."""
    content: PoliciesFile = field(default_factory=PoliciesFile)
    silence_lines: tuple[int, ...] = ()
    own_texts: Mapping[str, str] = field(default_factory=dict)
    """File of an own rule -> its text."""
    _settings: dict[tuple[int, ...], dict[str, RuleSetting]] = field(default_factory=dict)

    def settings(self, names: tuple[str, ...]) -> Callable[[str], RuleSetting]:
        """Each rule's setting for a spec or resource that goes by these names."""
        paths = self.content.paths
        chosen = tuple(n for n, each in enumerate(paths) if is_named(each.path, names))
        if chosen not in self._settings:
            layers = [self.content.rules, *(paths[n].rules for n in chosen)]
            self._settings[chosen] = {
                rule.id: rule.setting_from(
                    {key: value for layer in layers for key, value in layer.get(rule.id, {}).items()}
                )
                for rule in RULES.values()
            }
        return self._settings[chosen].__getitem__


def load_policies(name: str = "", read: ReadFile | None = None) -> Policies:
    """The policies in file `name`, and the files of own rules beside it; without a name, each rule as it is.

    read: gives the text of a path, by default from this machine.  Raises SpecError with file, line and field.
    """
    if not name:
        return Policies()
    read = read or read_text
    document = parse_yaml(read(name), name=name)
    if not isinstance(document.data, dict):
        raise SpecError(f"{document.where()}: a policies file is a mapping", hint="docs/rules.md shows one")
    try:
        content = PoliciesFile.model_validate(document.data)
    except ValidationError as error:
        raise _error(error, document, ()) from error
    _check_rules(content, document)
    folder = PurePosixPath(name).parent
    texts = {}
    for number, own in enumerate(content.own):
        if (own.rego is None) == (own.python is None):
            raise SpecError(f"{document.where(('own', number))}: own[{number}] needs either rego or python")
        if own.id in RULES or own.id in [other.id for other in content.own[:number]]:
            place = document.where(("own", number, "rego" if own.rego else "python"))
            raise SpecError(f"{place}: there is another rule {own.id}", hint="the file's name is the rule's: rename it")
        try:
            texts[own.file] = read(str(folder / own.file))
        except SpecError as error:
            place = document.where(("own", number, "rego" if own.rego else "python"))
            raise SpecError(f"{place}: own[{number}]: {error.message}", hint=error.hint) from error
    lines = tuple(document.line(("silence", number)) for number in range(len(content.silence)))
    return Policies(name=name, content=content, silence_lines=lines, own_texts=texts)


def _check_rules(content: PoliciesFile, document: Document) -> None:
    """Every rule that is named exists, and its settings are allowed.  Raises SpecError."""
    places = [
        (("rules",), content.rules),
        *((("paths", n, "rules"), each.rules) for n, each in enumerate(content.paths)),
    ]
    for path, rules in places:
        for name, stated in rules.items():
            if name not in RULES:
                raise _unknown(name, RULES, document.where((*path, name), key=True))
            try:
                RULES[name].setting_from(stated)
            except ValidationError as error:
                raise _error(error, document, (*path, name)) from error
    known = {*RULES, *(own.id for own in content.own)}
    for number, row in enumerate(content.silence):
        if row.rule not in known:
            raise _unknown(row.rule, known, document.where(("silence", number, "rule")))


def _unknown(name: str, known: Any, place: str) -> SpecError:
    return SpecError(
        f"{place}: there is no rule {shown(name)}{nearest(name, known)}", hint="docs/rules.md lists the rules"
    )


def _error(error: ValidationError, document: Document, path: tuple[str | int, ...]) -> SpecError:
    """The first of pydantic's findings: where, which field, what it holds, what is allowed."""
    found = error.errors(include_url=False)[0]
    steps = (*path, *(step for step in found["loc"] if step != "[key]"))
    place, name = document.where(steps, key=found["type"] == "extra_forbidden"), dotted(steps)
    if found["type"] == "extra_forbidden":
        return SpecError(f"{place}: {name} is no field of it", hint=_fields(path, steps))
    allowed = found.get("ctx", {}).get("expected")
    if found["type"] == "literal_error":
        return SpecError(f"{place}: {name} is {shown(found['input'])}", hint=f"allowed: {allowed}")
    if found["type"] == "missing":
        return SpecError(f"{place}: {dotted(steps[:-1])} needs {steps[-1]}")
    words = _SENTENCES.get(found["type"]) or found["msg"][:1].lower() + found["msg"][1:]
    return SpecError(f"{place}: {name}: {words}, not {shown(found['input'])}")


def _fields(path: tuple[str | int, ...], steps: tuple[str | int, ...]) -> str | None:
    """The fields that there are."""
    if path:
        known = list(RULES[str(path[-1])].setting.model_fields)
    else:
        inner: dict[str, type[SpecModel]] = {"paths": PathRules, "silence": SilenceRow, "own": OwnRule}
        model = inner.get(str(steps[0]), PoliciesFile) if len(steps) > 1 else PoliciesFile
        known = list(model.model_fields)
    return f"fields: {', '.join(known)}"


def is_named(pattern: str, names: tuple[str, ...]) -> bool:
    """Whether a pattern of a policies file means a spec or resource that goes by these names."""
    return any(fnmatchcase(name, pattern) for name in names)


def matching_silences(policies: Policies, rule: str, names: tuple[str, ...]) -> Iterator[tuple[int, SilenceRow]]:
    """The silences of a rule for a spec or resource that goes by these names, expired ones as well."""
    for number, row in enumerate(policies.content.silence):
        if row.rule == rule and is_named(row.subject, names):
            yield number, row
