"""Every mistake in a run spec gives one clear message; the messages are a golden file that people review."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mistakes import MISTAKES, RIGHT

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_file import read_spec


@pytest.fixture
def message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a person reads about a text, its file being run.yaml in the current folder."""
    monkeypatch.chdir(tmp_path)

    def read(text: str | bytes, *overrides: str) -> str:
        content = text.encode() if isinstance(text, str) else text
        Path("run.yaml").write_bytes(content)
        with pytest.raises(SpecError) as caught:
            read_spec("run.yaml", overrides)
        return caught.value.message + (f"\n\nhint: {caught.value.hint}" if caught.value.hint else "")

    return read


def test_the_messages(message: Callable[..., str], golden: Callable[[str, str], None]) -> None:
    sections = [f"## {name}\n{message(text)}\n" for name, text in MISTAKES.items()]
    golden("spec_errors.txt", "\n".join(sections))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_message_says_where(name: str, message: Callable[..., str]) -> None:
    said = message(MISTAKES[name])
    has_no_line = name in ("empty", "only a comment")
    assert re.search(r"run\.yaml: " if has_no_line else r"run\.yaml:\d+:\d+: ", said), said
    assert "Traceback" not in said
    assert "pydantic" not in said.lower()


def test_the_position_is_that_of_the_value(message: Callable[..., str]) -> None:
    line = next(number for number, line in enumerate(RIGHT.splitlines(), 1) if "steps:" in line)
    assert message(RIGHT.replace("steps: 400", "steps: -4")).startswith(f"run.yaml:{line}:12: stages[0].steps")
    assert message(RIGHT.replace("    steps", "    stpes")).count(f"run.yaml:{line}:5: ") == 1


def test_a_file_that_is_not_utf_8_names_the_byte(message: Callable[..., str]) -> None:
    assert message(b"name: x\nlabels: {a: \xff}\n").startswith("run.yaml:2:13: byte 0xff is not UTF-8")
    assert "run.yaml:1:1: byte 0xff" in message("name: x".encode("utf-16"))


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert read_spec(path).name == "rlcef-32b"


def test_control_characters_are_not_yaml(message: Callable[..., str]) -> None:
    assert "is not YAML: control characters" in message("name: \x00x\n")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.mkdir(), "is a folder, not a file"),
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"a: " + b"x" * (2 << 20)), "is larger than 1,024 KiB"),
    ],
)
def test_what_is_no_file_to_read(make: Callable[[Path], object], expected: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    make(path)
    with pytest.raises(SpecError, match=expected):
        read_spec(path)


def test_a_path_that_no_system_has() -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec("\0")
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec("x" * 5000)


def test_a_mistake_in_an_override_names_the_override(message: Callable[..., str]) -> None:
    said = message(RIGHT, "steps=-5")
    assert said.startswith("--what-if steps=-5: stages[0].steps must be at least 1, not -5")
    assert message(RIGHT, "response_tokens.p95=5").startswith("--what-if response_tokens.p95=5: ")
    assert message(RIGHT, "gpus=[H300]").startswith("--what-if gpus=[H300]: fleet.gpus[0]: unknown GPU 'H300'")
