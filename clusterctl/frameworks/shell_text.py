"""Splits a shell script into statements, as bash does: quotes, continuations, comments, here-documents.

Nothing is run or expanded here: a word keeps its quotes and its `$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from clusterctl.errors import SpecError

_ASSIGNS_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=")
_SEPARATORS = (";;", "&&", "||", "|&", ";", "&", "|", "(", ")", "\n")
_REDIRECT = re.compile(r"[0-9]?(<<<|<<-?|&>>?|<&|>&|>>|>\||<>|<|>)")
MOST_STATEMENTS = 20_000


@dataclass(frozen=True, slots=True)
class RawWord:
    """A word as it is written."""

    text: str
    line: int
    items: tuple[RawWord, ...] | None = None
    """Of `NAME=(...)`: the words between the brackets; `text` is then `NAME=` or `NAME+=`."""


@dataclass(slots=True)
class Statement:
    """The words up to a separator, and that separator."""

    words: list[RawWord] = field(default_factory=list)
    end: str = ""
    documents: list[tuple[str, int, bool]] = field(default_factory=list)
    """Here-documents: text, its first line, and whether `$` is literal in it."""


class Lexer:
    """Reads one script.  `first_line` is where its text begins in the file.  Raises SpecError."""

    def __init__(self, text: str, name: str, first_line: int = 1) -> None:
        self._text, self._name = text, name
        self._at, self._line = 0, first_line
        self._waiting: list[tuple[str, bool, Statement]] = []
        """Here-documents whose text begins on the next line."""

    def statements(self) -> Iterator[Statement]:
        """Every statement, in order."""
        statement, count = Statement(), 0
        while self._skip_blanks():
            if self._redirect(statement):
                continue
            mark = next((mark for mark in _SEPARATORS if self._text.startswith(mark, self._at)), None)
            if mark is None:
                statement.words.append(self._word())
                continue
            self._at += len(mark)
            statement.end = mark
            if mark == "\n":
                self._line += 1
                self._read_documents()
            yield statement
            count += 1
            if count > MOST_STATEMENTS:
                raise SpecError(f"{self._name}: has more than {MOST_STATEMENTS:,} statements")
            statement = Statement()
        yield statement

    def _skip_blanks(self) -> bool:
        """Over blanks, continued lines and comments; false at the end."""
        text = self._text
        while self._at < len(text):
            if text[self._at] in " \t\r":
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
                self._line += 1
            elif text.startswith("\\\r\n", self._at):
                self._at += 3
                self._line += 1
            elif text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            else:
                return True
        return False

    def _redirect(self, statement: Statement) -> bool:
        match = _REDIRECT.match(self._text, self._at)
        if not match:
            return False
        mark = match.group(1)
        if mark in "<>" and self._text.startswith("(", match.end()):  # a process stands for a file
            self._at = self._closing(match.end(), "(", ")")
            return True
        self._at = match.end()
        if not self._skip_blanks() or self._text[self._at] in "\n;&|":
            return True
        word = self._word()
        if mark.startswith("<<") and mark != "<<<":
            self._waiting.append((re.sub(r"[\\'\"]", "", word.text), word.text[:1] in "\\'\"", statement))
        return True

    def _read_documents(self) -> None:
        for delimiter, literal, statement in self._waiting:
            start, first_line, lines = self._at, self._line, []
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                row = self._text[self._at : end]
                self._at, self._line = end + 1, self._line + 1
                if row.strip() == delimiter:
                    break
                lines.append(row)
            else:
                raise self._open(start, f"the here-document <<{delimiter}", first_line)
            statement.documents.append(("\n".join(lines), first_line, literal))
        self._waiting = []

    def _word(self) -> RawWord:
        """A word: up to a blank or a separator outside quotes."""
        text, line, parts = self._text, self._line, []
        begin = self._at
        while self._at < len(text) and text[self._at] not in " \t\r\n;&|<>()":
            if text[self._at] == "\\":
                if text[self._at : self._at + 2] == "\\\n":
                    parts.append(text[begin : self._at])
                    self._at, begin = self._at + 2, self._at + 2
                    self._line += 1
                    continue
                self._at += 2
                continue
            self._at = self._after(self._at)
        parts.append(text[begin : self._at])
        word = "".join(parts)
        self._line += word.count("\n")
        if self._at < len(text) and text[self._at] == "(" and _ASSIGNS_ARRAY.fullmatch(word):
            return RawWord(word, line, self._array())
        if not word:  # a sign of no meaning here
            self._at += 1
            return RawWord("", line)
        return RawWord(word, line)

    def _array(self) -> tuple[RawWord, ...]:
        self._at += 1
        items: list[RawWord] = []
        while True:
            if not self._skip_blanks():
                raise self._open(self._at - 1, "the array's (", self._line)
            mark = self._text[self._at]
            if mark == ")":
                self._at += 1
                return tuple(items)
            if mark == "\n":
                self._at, self._line = self._at + 1, self._line + 1
            elif mark in ";&|<>(":
                self._at += 1
            else:
                items.append(self._word())

    def _after(self, at: int) -> int:
        """The position after the quoted or bracketed part at `at`, or after one character."""
        text = self._text
        if text[at] == "'":
            return self._quote_end(at, "'")
        if text[at] == '"':
            return self._double_end(at)
        if text[at] == "`":
            return self._quote_end(at, "`")
        if text.startswith("$(", at):
            return self._closing(at + 1, "(", ")")
        if text.startswith("${", at):
            return self._closing(at + 1, "{", "}")
        return at + 1

    def _quote_end(self, at: int, quote: str) -> int:
        end = self._text.find(quote, at + 1)
        if end < 0:
            raise self._open(at, f"the quote {quote}")
        return end + 1

    def _double_end(self, at: int) -> int:
        text, here = self._text, at + 1
        while here < len(text) and text[here] != '"':
            if text[here] == "\\":
                here += 2
            elif text[here] in "$`":
                here = self._after(here)
            else:
                here += 1
        if here >= len(text):
            raise self._open(at, 'the quote "')
        return here + 1

    def _closing(self, at: int, opening: str, closing: str) -> int:
        """The position after the bracket that closes the one at `at`; quotes inside count.  Without recursion."""
        text, depth, here, quoted = self._text, 0, at, False
        while here < len(text):
            sign = text[here]
            if sign == "\\":
                here += 1
            elif sign == '"':
                quoted = not quoted
            elif sign == "'" and not quoted and opening == "(" and (end := text.find("'", here + 1)) > 0:
                here = end
            elif sign == opening and (not quoted or text[here - 1] == "$"):
                depth += 1
            elif sign == closing and (not quoted or depth > 1):
                depth -= 1
                if not depth:
                    return here + 1
            here += 1
        raise self._open(at, f"the bracket {opening}")

    def _open(self, at: int, what: str, line: int | None = None) -> SpecError:
        line = (
            self._line + self._text.count("\n", 0, at) - self._text.count("\n", 0, self._at) if line is None else line
        )
        return SpecError(f"{self._name}:{line}: {what} is never closed", hint="is the script whole?")
