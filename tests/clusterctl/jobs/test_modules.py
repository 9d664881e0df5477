"""Small programs of ours that lie beside a role's command: none lacks another one that it imports."""

from __future__ import annotations

import ast
import re

import pytest

from clusterctl.jobs.role_template import jobs_folder

FILES = (
    file for file in jobs_folder().glob("*/*") if file.is_file()
)  # what runs from there leaves a folder of byte code
TEMPLATES = sorted(file for file in FILES if "modules:" in file.read_text("utf-8"))


def imported(module: str) -> set[str]:
    """Modules of ours that one imports when it is loaded."""
    tree = ast.parse((jobs_folder() / "lib" / f"{module}.py").read_text("utf-8"))
    names = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    names |= {each.name for node in tree.body if isinstance(node, ast.Import) for each in node.names}
    return {name for name in names if name and name.startswith("clusterctl_")}


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_role_has_all_that_its_modules_import(file) -> None:
    (line,) = re.findall(r"(?m)^modules: .*$", file.read_text("utf-8"))
    modules = set(re.findall(r"clusterctl_\w+", line))
    needed = set().union(*map(imported, modules))
    assert needed <= modules
