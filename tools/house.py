"""Counts this repository: lines, files, names used twice, import circles.  `make house` runs it.

Lines are physical lines as `ruff format` leaves them, with every `# fmt: skip` taken away: packed statements count
in full.  `--root` measures another checkout by the same rules, `--json` prints the numbers for a program.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import tokenize
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).resolve().parents[1]
PRODUCT = ("planners", "clusterctl", "infra", "app")
BESIDE = ("benchmarks", "examples", "tools", "tests")  # older checkouts have benchmarks/
BY_SUBFOLDER = ("planners", "clusterctl")
SKIP = "# fmt: skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Python files of one folder.  Lines are formatted lines."""

    name: str
    files: int
    lines: int
    median_lines: float
    largest_file: str
    largest_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What `make house` prints.  `product` is clusterctl, planners, infra and app together."""

    product: Folder
    folders: tuple[Folder, ...]
    class_names_used_twice: tuple[str, ...]
    file_names_used_twice: tuple[str, ...]
    import_circles: tuple[tuple[str, ...], ...]
    import_contracts: int
    fmt_skips_on_statements: int
    fmt_skips_on_tables: int
    """On module-level tables of data, where they may stay."""
    tests_per_source_line: float


def measure(root: Path) -> House:
    """Measures the checkout at `root`."""
    sources = {file.relative_to(root): file.read_text(encoding="utf-8") for file in _python_files(root)}
    lines = formatted_lines(sources)
    product = {file: text for file, text in sources.items() if file.parts[0] in PRODUCT}
    skips = [skip for text in sources.values() for skip in _skips(text)]
    product_lines = sum(lines[file] for file in product)
    return House(
        product=_folder("product", {file: lines[file] for file in product}),
        folders=tuple(_folders(lines)),
        class_names_used_twice=_used_twice(
            node.name for text in product.values() for node in ast.parse(text).body if isinstance(node, ast.ClassDef)
        ),
        file_names_used_twice=_used_twice(file.name for file in product if not file.name.startswith("__")),
        import_circles=import_circles(product),
        import_contracts=_contracts(root),
        fmt_skips_on_statements=skips.count("statement"),
        fmt_skips_on_tables=skips.count("table"),
        tests_per_source_line=sum(n for file, n in lines.items() if file.parts[0] == "tests") / max(product_lines, 1),
    )


def formatted_lines(sources: dict[Path, str]) -> dict[Path, int]:
    """Lines of each file as `ruff format` leaves it, by the settings of this checkout and without `# fmt: skip`."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for file, text in sources.items():
            target = copy / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_without_skips(text), encoding="utf-8")
        ruff = Path(sys.executable).with_name("ruff")
        settings = HERE / "pyproject.toml"
        subprocess.run([ruff, "format", "--quiet", "--no-cache", "--config", settings, copy], check=True)
        return {file: len((copy / file).read_text(encoding="utf-8").splitlines()) for file in sources}


def import_circles(sources: dict[Path, str]) -> tuple[tuple[str, ...], ...]:
    """Groups of modules that import each other at module level; imports for type checkers count too."""
    modules = {_module(file): text for file, text in sources.items()}
    imports = {module: set(_imports(module, text, modules)) for module, text in modules.items()}
    reached = {module: _reached(module, imports) for module in modules}
    circles = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in modules
        if module in reached[module]
    }
    return tuple(sorted(circles))


def _reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(imports[start])
    while ahead:
        module = ahead.pop()
        if module not in seen:
            seen.add(module)
            ahead += imports[module]
    return seen


def _imports(module: str, text: str, modules: dict[str, str]) -> Iterator[str]:
    """Modules of ours that `module` imports outside of functions."""
    for node in _outside_functions(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [part if part in modules else node.module for part in parts]
        else:
            continue
        yield from (name for name in names if name in modules and name != module)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


def _module(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _python_files(root: Path) -> list[Path]:
    folders = [root / name for name in (*PRODUCT, *BESIDE)]
    return sorted(file for folder in folders for file in folder.rglob("*.py") if "__pycache__" not in file.parts)


def _folders(lines: dict[Path, int]) -> Iterator[Folder]:
    for name in (*PRODUCT, *BESIDE):
        here = {file: count for file, count in lines.items() if file.parts[0] == name}
        if not here:
            continue
        if name not in BY_SUBFOLDER:
            yield _folder(name, here)
            continue
        if top := {file: count for file, count in here.items() if len(file.parts) == 2}:
            yield _folder(f"{name} (top)", top)
        for part in sorted({file.parts[1] for file in here if len(file.parts) > 2}):
            yield _folder(f"{name}/{part}", {f: count for f, count in here.items() if f.parts[1] == part})


def _folder(name: str, lines: dict[Path, int]) -> Folder:
    largest = max(lines, key=lambda file: lines[file])
    return Folder(
        name=name,
        files=len(lines),
        lines=sum(lines.values()),
        median_lines=median(lines.values()),
        largest_file=largest.as_posix(),
        largest_lines=lines[largest],
    )


def _used_twice(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name, count in Counter(names).items() if count > 1))


def _contracts(root: Path) -> int:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return len(settings.get("tool", {}).get("importlinter", {}).get("contracts", []))


def _skips(text: str) -> Iterator[str]:
    """`table` or `statement` for each `# fmt: skip` of a file."""
    tables = {
        node.end_lineno
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Dict | ast.List | ast.Set | ast.Tuple)
    }
    for line, _ in _skip_comments(text):
        yield "table" if line in tables else "statement"


def _skip_comments(text: str) -> Iterator[tuple[int, int]]:
    """(line, column) of each `# fmt: skip`; lines count from 1."""
    if SKIP in text:
        for token in tokenize.generate_tokens(StringIO(text).readline):
            if token.type == tokenize.COMMENT and token.string.startswith(SKIP):
                yield token.start


def _without_skips(text: str) -> str:
    lines = text.splitlines(keepends=True)
    for line, column in _skip_comments(text):
        lines[line - 1] = lines[line - 1][:column].rstrip() + "\n"
    return "".join(lines)


def render(house: House) -> str:
    """The table that people read."""
    rows = [f"{'folder':<24}{'lines':>8}{'files':>7}{'median':>8}  largest file"]
    rows += [_row(folder) for folder in (*house.folders, house.product)]
    rows += [
        "",
        f"tests : source             {house.tests_per_source_line:.2f}",
        f"import contracts           {house.import_contracts}",
        f"fmt: skip on statements    {house.fmt_skips_on_statements} ({house.fmt_skips_on_tables} more on tables)",
        f"class names used twice     {_listed(house.class_names_used_twice)}",
        f"file names used twice      {_listed(house.file_names_used_twice)}",
        f"import circles             {len(house.import_circles)}",
        *(f"  {' <-> '.join(circle)}" for circle in house.import_circles),
    ]
    return "\n".join(rows)


def _row(folder: Folder) -> str:
    largest = f"{folder.largest_file} ({folder.largest_lines})"
    return f"{folder.name:<24}{folder.lines:>8,}{folder.files:>7}{folder.median_lines:>8.0f}  {largest}"


def _listed(names: tuple[str, ...]) -> str:
    return f"{len(names)}" + (f": {', '.join(names)}" if names else "")


def main() -> None:
    """Prints the table, or the numbers as JSON."""
    parser = argparse.ArgumentParser(description="Count lines, files, names used twice and import circles.")
    parser.add_argument("--root", type=Path, default=HERE, help="checkout to measure; default: this one")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    house = measure(options.root.resolve())
    print(json.dumps(asdict(house), indent=2) if options.json else render(house))


if __name__ == "__main__":
    main()
