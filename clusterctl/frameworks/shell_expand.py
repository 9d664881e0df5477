"""What a word of a shell script expands to, where the script itself says it; nothing is run.

What only a run knows (an argument, the output of a command, an unset variable) becomes a mark inside the text, see
`settings.unknown`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from clusterctl.errors import SpecError
from clusterctl.frameworks.setting_table import unknown
from clusterctl.frameworks.shell_variables import CHANGES, Variables, Word, arithmetic, plain_int

LITERAL = frozenset({"HOME", "PWD", "USER", "OLDPWD", "TMPDIR"})
"""Variables that name a place of the machine: kept as `$HOME`."""
MOST_CHARACTERS = 1 << 20
CONTINUED = "\\\n"
"""A continued line in a text: kept, so that what the text holds stands on the lines of the file."""
_PLAIN = re.compile(r"[^\\'\"$`]+")
_QUOTED = re.compile(r"[^\\\"$`]+")
_PARTS = re.compile("\0[^\1]*\1|\\\\\n|\\s+|[^\\s\\\\\0]+|\\\\|\0")
"""A mark, which may hold blanks; a continued line; blanks; and all else."""
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_PARAMETER = re.compile(r"([A-Za-z_]\w*|[0-9@*#?])(\[[^\]]*\])?(:?[-=+?]|%%?|##?|//?|\^\^?|,,?|:)?(.*)", re.DOTALL)


@dataclass(slots=True)
class _Fields:
    """The words that one word becomes: unquoted blanks in a variable split it."""

    line: int
    done: list[Word] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Of the word that is not ended."""
    size: int = 0
    at: int = 0
    started: bool = False
    only_if: str = ""

    def add(self, text: str) -> None:
        if not self.started:
            self.at, self.started = self.line, True
        self.parts.append(text)
        self.size += len(text)
        if self.size > MOST_CHARACTERS:
            raise SpecError(f"{self.line}: a variable grows beyond {MOST_CHARACTERS >> 20} MiB")

    def end(self) -> None:
        if self.started:
            self.done.append(Word("".join(self.parts), self.at, self.only_if))
        self.parts, self.size, self.started = [], 0, False

    def split(self, word: Word) -> None:
        """Add the value of a variable outside quotes."""
        line = word.line
        for part in _PARTS.findall(word.text):
            if part == CONTINUED or part.isspace():
                self.end()
                line += part.count("\n")
                continue
            if not self.started:
                self.at, self.started = line, True
            self.add(part)


def expand(raw: str, line: int, variables: Variables) -> list[Word]:
    """The words that a word as written stands for."""
    fields, at = _Fields(line), 0
    while at < len(raw):
        sign = raw[at]
        if sign == "\\":
            fields.add(raw[at + 1 : at + 2])
            at += 2
        elif sign == "'":
            end = raw.find("'", at + 1)
            end = len(raw) if end < 0 else end
            fields.add(raw[at + 1 : end])
            at = end + 1
        elif sign == '"':
            at = _double(raw, at + 1, fields, variables)
        elif sign in "$`":
            at, found, quoted = _dollar(raw, at, line, variables)
            _add_unquoted(fields, found, literal=quoted)
        else:
            plain = _PLAIN.match(raw, at)
            fields.add(plain.group() if plain else sign)
            at = plain.end() if plain else at + 1
    fields.end()
    return fields.done


def expand_text(raw: str, line: int, variables: Variables) -> Word:
    """A word as written as one text: the value of an assignment, or the text of a here-document."""
    inner = raw if raw[:1] == '"' and raw[-1:] == '"' and raw.count('"') == 2 else None
    if inner is None and not re.search(r"[\"'\\]", raw):
        inner = f'"{raw}"'
    words = expand(raw if inner is None else inner, line, variables)
    only_if = next((word.only_if for word in words if word.only_if), "")
    return Word(" ".join(word.text for word in words), line, only_if)


def document_text(raw: str, line: int, variables: Variables) -> Word:
    """The text of a here-document, where quotes are plain signs and a backslash ends no line."""
    fields, at = _Fields(line), 0
    while at < len(raw):
        if raw.startswith("\\\n", at):
            fields.add(CONTINUED)
            at += 2
        elif raw[at] == "\\" and raw[at + 1 : at + 2] in ("$", "`", "\\"):
            fields.add(raw[at + 1])
            at += 2
        elif raw[at] in "$`":
            at, found, _ = _dollar(raw, at, line, variables)
            fields.add(" ".join(word.text for word in found))
        else:
            plain = _QUOTED.match(raw, at)
            fields.add(plain.group() if plain else raw[at])
            at = plain.end() if plain else at + 1
    return Word("".join(fields.parts), line)


def _add_unquoted(fields: _Fields, found: list[Word], *, literal: bool) -> None:
    for index, word in enumerate(found):
        if index:
            fields.end()
        fields.only_if = fields.only_if or word.only_if
        if literal:
            fields.add(word.text)
        else:
            fields.split(word)


def _double(raw: str, at: int, fields: _Fields, variables: Variables) -> int:
    """The text between double quotes, added to one word; the position after them."""
    fields.add("")
    while at < len(raw) and raw[at] != '"':
        if raw[at] == "\\":
            following = raw[at + 1 : at + 2]
            fields.add({"\n": CONTINUED}.get(following, following if following in '$`"\\' else "\\" + following))
            at += 2
        elif raw[at] in "$`":
            is_list = raw.startswith(("${", "$@"), at)
            at, found, _ = _dollar(raw, at, fields.line, variables)
            if is_list and len(found) > 1:
                _add_unquoted(fields, found, literal=True)
                continue
            if not found and is_list and not fields.size and raw[at : at + 1] == '"':
                fields.started = False  # "$@" without arguments is no word at all
            fields.only_if = fields.only_if or next((word.only_if for word in found if word.only_if), "")
            if found:
                fields.add(" ".join(word.text for word in found))
        else:
            plain = _QUOTED.match(raw, at)
            fields.add(plain.group() if plain else raw[at])
            at = plain.end() if plain else at + 1
    return at + 1


def _dollar(raw: str, at: int, line: int, variables: Variables) -> tuple[int, list[Word], bool]:
    """After the expansion at `at`: the position, the words, and whether they are never split."""
    if raw[at] == "`":
        end = raw.find("`", at + 1)
        end = len(raw) - 1 if end < 0 else end
        return end + 1, [Word(unknown(raw[at : end + 1]), line)], True
    if raw.startswith("$(", at):
        end = _match(raw, at + 1, "(", ")")
        is_sum = raw.startswith("$((", at)
        mark = unknown(" ".join(raw[at:end].split())[:80])
        found = arithmetic(raw[at + 3 : end - 2], variables.number) if is_sum else mark
        return end, [Word(found, line)], True
    if raw.startswith("${", at):
        end = _match(raw, at + 1, "{", "}")
        return end, _parameter(raw[at + 2 : end - 1], line, variables), False
    if raw.startswith(("$'", '$"'), at):
        return at + 1, [], True
    name = _NAME.match(raw, at + 1)
    if not name:
        return at + 1, [Word("$", line)], True
    return name.end(), _value(name.group(), line, variables), False


def _match(raw: str, at: int, opening: str, closing: str) -> int:
    depth = 0
    for here in range(at, len(raw)):
        depth += (raw[here] == opening) - (raw[here] == closing)
        if not depth:
            return here + 1
    return len(raw)


def _value(name: str, line: int, variables: Variables) -> list[Word]:
    if name in ("@", "*"):
        return variables.words.get("@", [])
    found = variables.words.get(name)
    if found is not None:
        return found[:1]
    return [Word(f"${name}" if name in LITERAL else unknown(f"${name}"), line)]


def _parameter(inner: str, line: int, variables: Variables) -> list[Word]:
    """What `${inner}` stands for."""
    match = _PARAMETER.fullmatch(inner)
    if inner[:1] in "#!" or not match:
        return [Word(f"${{{inner}}}" if "." in inner or ":" in inner else unknown(f"${{{inner}}}"), line)]
    name, index, operator, rest = match.groups()
    if rest and not operator:
        return [Word(f"${{{inner}}}", line)]  # ${policy.model_name}: a reference of the framework's own
    found = _value(name, line, variables) if name in ("@", "*") else variables.words.get(name)
    if found is not None and index and index not in ("[@]", "[*]"):
        place = plain_int(arithmetic(index[1:-1], variables.number))
        found = [] if place is None else found[place : place + 1]
    elif found is not None and not index and name not in ("@", "*"):
        found = found[:1]
    empty = found is None or (not any(word.text for word in found) and str(operator).startswith(":"))
    if operator in ("-", ":-", "=", ":=") and empty:
        found = [expand_text(rest, line, variables)]
        if "=" in operator:
            variables.put(name, found)
    elif operator in ("+", ":+"):
        found = [] if empty else [expand_text(rest, line, variables)]
    elif found is None:
        found = _value(name, line, variables)
    change = CHANGES.get(operator or "")
    return [Word(change(word.text, rest), word.line, word.only_if) for word in found] if change else found
