"""Problem, solution and tests by a teacher, attempts by a student: what they are asked, and how answers are read.

As KodCode (arXiv:2503.02951): the teacher writes tests for its own solution, and both again where they disagree.
Examples stand in the conversation as turns, which also small models can follow.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from clusterctl_chat import ChatModel, Message, Said, code_in

LEAST_TESTS = 2
PROBLEM, SOLUTION, TESTS = "problem", "solution", "tests"
_ASKED = {
    PROBLEM: "Write one programming exercise for Python, inspired by the text below.  It asks for one function, says "
    "its name, its parameters and what it returns, and needs no files, network or packages.\n\nText: {text}",
    SOLUTION: "Solve this exercise in Python.  Think first, between <think> and </think>; then write the whole "
    "function in one ```python block.\n\nExercise: {text}",
    TESTS: "Write tests for this function, usual and border cases: lines of the form `assert CALL == VALUE`.\n\n{text}",
}
_EXAMPLES = (
    {
        "text": "doubling a number",
        PROBLEM: "Write a function `double(x)` that takes a number and returns its double.",
        "thoughts": "The double of a number is the number times two.",
        SOLUTION: "def double(x):\n    return 2 * x",
        TESTS: "assert double(2) == 4\nassert double(0) == 0\nassert double(-3) == -6",
    },
    {
        "text": "how many words a text has",
        PROBLEM: "Write a function `count_words(text)` that takes a text and returns how many words it has.",
        "thoughts": "Splitting at white space gives the words, so their number is the length of that list.",
        SOLUTION: "def count_words(text):\n    return len(text.split())",
        TESTS: 'assert count_words("a b c") == 3\nassert count_words("") == 0\nassert count_words(" one ") == 1',
    },
)


@dataclass(frozen=True)
class Triple:
    """One candidate on its way through the filters."""

    index: int
    seed: str
    """The text that inspired it."""
    problem: str = ""
    reasoning: str = ""
    solution: str = ""
    tests: tuple[str, ...] = ()
    tries: int = 0
    """How often solution and tests were written."""
    solved_share: float | None = None
    """Of the student's attempts, those that pass all tests."""
    stopped_by: str = ""
    """The filter that it did not pass; empty = accepted, or not through yet."""

    def stopped(self, name: str) -> Triple:
        """The same, left out by a filter."""
        return replace(self, stopped_by=name)


@dataclass(frozen=True)
class Writer:
    """A model that writes triples, or attempts at them."""

    model: ChatModel
    max_tokens: int = 4096
    temperature: float = 0.7
    examples: bool = True
    """Show examples; large models need none."""

    def problem(self, text: str, seed: int) -> str:
        """An exercise that a text inspires."""
        return self._ask(PROBLEM, text, seed).text.strip()

    def solution(self, problem: str, seed: int) -> tuple[str, str]:
        """Code, and the reasoning before it."""
        said = self._ask(SOLUTION, problem, seed)
        return code_in(said.text), said.reasoning

    def tests(self, problem: str, solution: str, seed: int) -> tuple[str, ...]:
        """Tests of a solution."""
        code = f"```python\n{solution}\n```"  # small models lose their way in more
        return asserts_in(self._ask(TESTS, code if self.examples else f"{problem}\n\n{code}", seed).text)

    def _ask(self, kind: str, text: str, seed: int) -> Said:
        messages: list[Message] = []
        for example in _EXAMPLES if self.examples else ():
            messages += _turns(kind, example)
        messages.append({"role": "user", "content": _ASKED[kind].format(text=text)})
        return self.model.ask(messages, max_tokens=self.max_tokens, temperature=self.temperature, seed=seed)


def _turns(kind: str, example: dict[str, str]) -> list[Message]:
    asked = example["text"] if kind == PROBLEM else example[PROBLEM]
    if kind == TESTS:
        asked = f"```python\n{example[SOLUTION]}\n```"
    said = example[kind] if kind == PROBLEM else f"```python\n{example[kind]}\n```"
    if kind == SOLUTION:
        said = f"<think>\n{example['thoughts']}\n</think>\n\n{said}"
    return [{"role": "user", "content": _ASKED[kind].format(text=asked)}, {"role": "assistant", "content": said}]


def asserts_in(text: str) -> tuple[str, ...]:
    """The lines of an answer that are tests; each once.  Tests that test nothing (`assert True`) are none."""
    lines = (re.sub(r"^[-*\s>]*", "", line) for line in text.splitlines())
    found = [line for line in lines if line.startswith("assert ") and _calls(line)]
    return tuple(dict.fromkeys(found))


def _calls(line: str) -> bool:
    try:
        return any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(line)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def parses(triple: Triple) -> bool:
    """There is a problem, a solution that defines a function which the tests call, and enough tests."""
    try:
        tree = ast.parse(triple.solution)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    calling = [test for test in triple.tests if any(re.search(rf"\b{re.escape(name)}\(", test) for name in names)]
    return bool(triple.problem) and len(calling) >= LEAST_TESTS


def without_bodies(solution: str) -> str:
    """The solution's functions, each of which returns None: tests that pass with it test nothing."""
    tree = ast.parse(solution)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def training_row(triple: Triple) -> dict[str, Any]:
    """A row for `trl sft`: the exercise, and the reasoning with its code."""
    thoughts = f"<think>\n{triple.reasoning.strip()}\n</think>\n\n" if triple.reasoning.strip() else ""
    answer = f"{thoughts}```python\n{triple.solution.rstrip()}\n```"
    messages = [{"role": "user", "content": triple.problem}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "tests": list(triple.tests), "solved_share": triple.solved_share}


def seeds_in(lines: Sequence[str]) -> list[str]:
    """The texts of JSON lines with `text`, or of plain lines."""
    import json

    texts = []
    for line in lines:
        text = line.strip()
        if text.startswith("{"):
            text = str(json.loads(text)["text"])
        if text:
            texts.append(text)
    return texts
