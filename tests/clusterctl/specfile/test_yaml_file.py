"""Reading YAML: what values mean, where they stand, what is refused, and that nothing hangs."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.errors import SpecError
from clusterctl.specfile.yaml_file import parse_yaml, read_yaml


def data(text: str) -> Any:
    return parse_yaml(text, name="f.yaml").data


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, name="f.yaml")
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("1e9", 10**9),
        ("4.0", 4),
        ("1.5", 1.5),
        ("-3", -3),
        ("10_000", 10_000),
        ("+7", 7),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x1f", "0x1f"),
        ("1_", 1),
        ("007", "007"),
        (".inf", float("inf")),
        ("-.inf", float("-inf")),
        ("1e999", float("inf")),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("9" * 5000, float("inf")),
        ("1e-3", 0.001),
        ("0", 0),
        ("-0", 0),
        ("...5", "...5"),
    ],
)
def test_what_a_scalar_means(text: str, value: object) -> None:
    found = data(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number_that_validation_refuses() -> None:
    assert data("a: .NaN")["a"] != data("a: .nan")["a"]


def test_keys_are_always_text() -> None:
    assert data("{1: a, true: b, null: c, no: d}") == {"1": "a", "true": "b", "null": "c", "no": "d"}


def test_anchors_merges_and_their_order() -> None:
    text = "base: &b {x: 1, y: 2}\nlist: &l [1, 2]\nmine: {<<: *b, y: 3}\nboth: {<<: [*b, {z: 9, x: 8}]}\nagain: *l\n"
    found = data(text)
    assert found["mine"] == {"x": 1, "y": 3}
    assert found["both"] == {"x": 1, "y": 2, "z": 9}
    assert found["again"] == [1, 2]


def test_positions_of_keys_values_and_what_is_absent() -> None:
    document = parse_yaml("a:\n  - b: 1\n    c: [x, y]\n", name="f.yaml")
    where = lambda *path: document.where(path)  # noqa: E731 - shorter than a function
    assert where() == "f.yaml:1:1"
    assert where("a", 0, "b") == "f.yaml:2:8"
    assert where("a", 0, "c", 1) == "f.yaml:3:12"
    assert where("a", 0, "missing", "deeper") == "f.yaml:2:5"
    assert document.where(("a", 0, "c"), key=True) == "f.yaml:3:5"
    assert document.where(("a", 7, "c"), key=True) == "f.yaml:2:3"
    assert document.where((), key=True) == "f.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: 'a' is given twice; first on line 1"),
        ("{a: 1, 'a': 2}", "given twice"),
        ("a: &x [*x]", "refers to the value that it stands in"),
        ("a: *x", "f.yaml:1:4: alias *x has no anchor before it"),
        ("? {a: 1}\n: 2", "a key must be plain text"),
        ("a: !!set {x}", "tag !!set is not supported"),
        ("a: !custom 5", "tag !custom is not supported"),
        ("<<: 5", "<< merges mappings only"),
        ("<<: [a]", "<< merges mappings only"),
        ("a: 1\n---\nb: 1", "f.yaml:2:1: a second document starts here"),
        ("", "f.yaml: is empty"),
        ("a: [1, 2", "is not YAML"),
        ("a: 'x", "is not YAML"),
        ("%YAML 3.0\n---\na", "is not YAML"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_a_tab_gets_a_hint() -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml("a:\n\tb: 1", name="f.yaml")
    assert caught.value.hint == "indent with spaces, not tabs"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 50_000, "nested deeper than 64"),
        ("{a: " * 50_000, "nested deeper than 64"),
        ("- " * 50_000, "nested deeper than 64"),
        ("a: &a [" + "x, " * 400 + "]\nb: &b [" + "*a, " * 400 + "]\n", "holds more than 100,000 values"),
        ("x: [" + "1, " * 200_000 + "]", "holds more than 100,000 values"),
    ],
)
def test_what_would_exhaust_the_machine_is_refused_at_once(text: str, expected: str) -> None:
    started = time.process_time()
    assert expected in refusal(text)
    assert time.process_time() - started < 5


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"a: [1, 2")

    monkeypatch.setattr(sys, "stdin", Stdin)
    with pytest.raises(SpecError, match=r"<stdin>:1:9: is not YAML: .* \(opened on line 1\)"):
        read_yaml("-")


def test_names_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: 1\n")
    document = read_yaml(path)
    assert (document.folder, document.name) == (tmp_path, str(path))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_what_a_yaml_writer_writes_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_style='"' if isinstance(value, str) else None)
    assert data(text) == value or isinstance(value, str)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_yaml(text, name="f.yaml")
    except SpecError as error:
        message = error.message
    else:
        message = "f.yaml"
    assert message.startswith("f.yaml")
