"""The commands of a shell script with their words expanded, as far as the script itself says them; nothing is run.

Assignments, arrays, here-documents and `${NAME:-default}` are followed in order.  Of `if` and `case` that branch is
read whose condition the script decides; else all are, the first assignment counts and its words carry the condition.
A loop's body is read once, with its first word.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from clusterctl.errors import SpecError
from clusterctl.frameworks.setting_table import UNKNOWN
from clusterctl.frameworks.shell_expand import document_text, expand, expand_text
from clusterctl.frameworks.shell_text import Lexer, RawWord, Statement
from clusterctl.frameworks.shell_variables import MOST_WORDS, Variables, Word, holds

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]]*\])?(\+?)=(.*)", re.DOTALL)
_DECLARES = frozenset({"export", "readonly", "local", "declare", "typeset"})
_RUNS_TEXT = re.compile(r"(^|\s)(-m\s+)?[\w./-]*(verl|openrlhf|trl|skyrl|nemo_rl|torchtitan)[\w./-]*\s")
_OPENERS = ("if", "for", "while", "until", "case", "select")
LAUNCHER_VARIABLES = ("CONFIG_FILE", "NGPU", "MODULE", "CONFIG")
"""What torchtitan's run_train.sh reads from its environment."""
MOST_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Command:
    """A command with its words expanded, and the variables set for it alone."""

    words: tuple[Word, ...]
    environment: dict[str, Word]
    """Those of LAUNCHER_VARIABLES that are set."""
    only_if: str = ""


@dataclass(slots=True)
class _Block:
    """An `if`, `case` or loop that is open."""

    kind: str
    is_taken: bool | None
    """Whether the branch that is being read runs; None: only a run knows."""
    condition: str = ""
    done: bool | None = False
    """Whether an earlier branch ran; None: only a run knows."""
    assigned: set[str] = field(default_factory=set)
    subject: Word | None = None
    """Of `case`."""
    reads_pattern: bool = False
    patterns: list[str] = field(default_factory=list)


class Script:
    """Reads one script into commands.  Raises SpecError.

    variables: of a script that calls this one; arguments: the words that it gives.
    """

    def __init__(self, name: str, variables: Variables | None = None, arguments: Sequence[Word] | None = None) -> None:
        self._name = name
        self.commands: list[Command] = []
        self.variables = Variables() if variables is None else variables
        if arguments is not None:
            given = {"@": list(arguments)} | {str(place): [word] for place, word in enumerate(arguments, 1)}
            self.variables.words |= given
        self._blocks: list[_Block] = []
        self._depth = 0
        self._num_words = 0

    def read(self, text: str, first_line: int = 1) -> None:
        """Read a script, or the text of one inside another."""
        self._depth += 1
        outer, self._blocks = self._blocks, []
        try:
            for statement in Lexer(text, self._name, first_line).statements():
                self._statement(statement)
        except SpecError as error:
            named = error.message.startswith(self._name)
            raise error if named else SpecError(f"{self._name}:{error.message}", hint=error.hint) from error
        except RecursionError as error:
            raise SpecError(f"{self._name}: is nested too deep to be read") from error
        finally:
            self._blocks = outer
            self._depth -= 1

    def _statement(self, statement: Statement) -> None:
        block = self._blocks[-1] if self._blocks else None
        if block is not None and block.reads_pattern:
            self._pattern(block, statement)
            return
        words = list(statement.words)
        while words and (step := self._keyword(words)):
            words = words[step:]
        if words and self._runs() is not False:
            self._simple(words, statement)
        opened = self._blocks[-1] if self._blocks else None
        if opened is not block and opened is not None and opened.patterns:
            self._pattern(opened, Statement(end=statement.end))  # `case x in y)` in one
        if statement.end == ";;" and block is not None and block.kind == "case":
            block.reads_pattern, block.patterns = True, []

    def _runs(self) -> bool | None:
        taken = [block.is_taken for block in self._blocks]
        return False if False in taken else None if None in taken else True

    def _only_if(self) -> str:
        return next((block.condition for block in self._blocks if block.is_taken is None), "")

    def _keyword(self, words: list[RawWord]) -> int:
        """Follow a reserved word at the start; how many words it takes up."""
        word = words[0].text
        if word in _OPENERS:
            return self._open(word, words)
        if not self._blocks or word not in ("then", "do", "else", "elif", "fi", "done", "esac"):
            return 1 if word in ("{", "}", "!", "then", "do", "time", "function") else 0
        block = self._blocks[-1]
        if word in ("fi", "done", "esac"):
            self._blocks.pop()
        elif word in ("else", "elif"):
            ran = None if None in (block.done, block.is_taken) else bool(block.done or block.is_taken)
            block.done = True if block.done or block.is_taken else ran
            verdict = True if word == "else" else self._condition(words[1:])
            block.is_taken = False if block.done else verdict if block.done is False else None
            if word == "elif":
                block.condition = _shown(words[1:])
            return len(words) if word == "elif" else 1
        return 1

    def _open(self, word: str, words: list[RawWord]) -> int:
        if word == "if":
            self._blocks.append(_Block("if", self._condition(words[1:]), _shown(words[1:])))
        elif word == "case":
            subject = expand_text(words[1].text, words[1].line, self.variables) if len(words) > 1 else None
            first = [re.sub(r"['\"]", "", word.text) for word in words[3:]]
            block = _Block("case", False, _shown(words[1:]), subject=subject, reads_pattern=True, patterns=first)
            self._blocks.append(block)
        elif word == "for" and len(words) > 3 and words[2].text == "in" and self._runs() is not False:
            found = [w for raw in words[3:] for w in expand(raw.text, raw.line, self.variables)]
            self._blocks.append(_Block("loop", True))
            if found:
                self.variables.put(words[1].text, found[:1])
        else:
            self._blocks.append(_Block("loop", True))
        return len(words)

    def _pattern(self, block: _Block, statement: Statement) -> None:
        """A pattern of `case`, or its end."""
        words = [word.text for word in statement.words]
        if words[:1] == ["esac"]:
            self._blocks.pop()
            return
        block.patterns += [re.sub(r"['\"]", "", word) for word in words]
        if statement.end != ")" or not block.patterns:
            return
        block.reads_pattern = False
        ran = bool(block.done)
        subject = block.subject
        if subject is None or UNKNOWN.search(subject.text):
            block.is_taken, block.condition = None, f"case is {block.patterns[0]}"
            return
        block.is_taken = not ran and any(fnmatch.fnmatchcase(subject.text, pattern) for pattern in block.patterns)
        block.done = ran or block.is_taken

    def _condition(self, words: list[RawWord]) -> bool | None:
        """Whether `[ ... ]` holds; None where only a run knows."""
        if len(words) < 3 or words[0].text not in ("[", "[["):
            return None
        found = [expand_text(raw.text, raw.line, self.variables).text for raw in words[1:-1]]
        return None if any(UNKNOWN.search(text) for text in found) else holds(found)

    def _simple(self, words: list[RawWord], statement: Statement) -> None:
        """A command with the assignments before it."""
        declares = words[0].text in _DECLARES
        rest = words[1:] if declares else words
        while declares and rest and rest[0].text.startswith("-"):
            rest = rest[1:]
        while rest and self._assign(rest[0]):
            rest = rest[1:]
        if not rest or declares:
            return
        if rest[0].text == "read" and statement.documents:
            text, line, literal = statement.documents[0]
            value = Word(text, line) if literal else document_text(text, line, self.variables)
            self._set(rest[-1].text, [value])
            return
        expanded = [word for raw in rest for word in expand(raw.text, raw.line, self.variables)]
        self._num_words += len(expanded)
        if self._num_words > MOST_WORDS:
            raise SpecError(f"{self._name}: has more than {MOST_WORDS:,} words once variables are expanded")
        self._record(expanded, statement)

    def _record(self, words: list[Word], statement: Statement) -> None:
        scripts = [word for word in words if re.search(r"\s", word.text) and _RUNS_TEXT.search(word.text)]
        documents = [(text, line) for text, line, _ in statement.documents if _RUNS_TEXT.search(text)]
        only_if = self._only_if()
        if (words and self._depth == 1) or not scripts:
            known = self.variables.words
            environment = {name: known[name][0] for name in LAUNCHER_VARIABLES if known.get(name)}
            self.commands.append(Command(tuple(words), environment, only_if))
        if self._depth < MOST_DEPTH:
            for text, line in [*((word.text, word.line) for word in scripts), *documents]:
                self.read(text, line)

    def _assign(self, raw: RawWord) -> bool:
        match = _ASSIGNMENT.fullmatch(raw.text)
        if not match:
            return False
        name, index, plus, value = match.groups()
        if raw.items is not None:
            found = [word for item in raw.items for word in expand(item.text, item.line, self.variables)]
            self._set(name, found, append=bool(plus), array=True)
        elif not index:
            self._set(name, [expand_text(value, raw.line, self.variables)], append=bool(plus))
        return True

    def _set(self, name: str, words: list[Word], *, append: bool = False, array: bool = False) -> None:
        open_ = [block for block in self._blocks if block.is_taken is None]
        if open_ and not append:
            if name in open_[0].assigned:
                return
            open_[0].assigned.add(name)
        if open_:
            words = [Word(word.text, word.line, word.only_if or self._only_if()) for word in words]
        self.variables.put(name, words, append=append, array=array)


def commands_of(text: str, name: str, first_line: int = 1) -> list[Command]:
    """The commands of a script, in order.  Raises SpecError."""
    script = Script(name)
    script.read(text, first_line)
    return script.commands


def _shown(words: list[RawWord]) -> str:
    return " ".join(word.text for word in words)[:80]
