"""Packages that can't be installed without CUDA, as empty ones: whatever is imported from them is a class."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module of the packages, and makes it."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, name: str, *_: object) -> Any:
        absent = name.split(".", maxsplit=1)[0] in self.packages
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if absent else None

    def create_module(self, spec: Any) -> Any:
        module = types.ModuleType(spec.name)
        module.__path__ = []

        def named(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return type(attribute, (), {})

        module.__getattr__ = named  # type: ignore[method-assign]
        return module

    def exec_module(self, module: Any) -> None:
        module.__version__ = "0.27.1"


def leave_out(*packages: str) -> None:
    """From now on the packages can be imported, and do nothing."""
    if not any(isinstance(finder, Absent) for finder in sys.meta_path):
        sys.meta_path.insert(0, Absent(packages))
