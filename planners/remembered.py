"""The last results of a pure function, so that plans of one command that ask the same are not worked out twice.

Arguments are compared by what they hold; frames, which nobody changes in place, by being the same object.
"""

from __future__ import annotations

import functools
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def remembered(most: int) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorates a pure function: its last `most` results are kept.  Callers must not change what they get."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        # the arguments stay with the result: while they live, nothing else has their identity
        kept: OrderedDict[tuple[Any, ...], tuple[Any, Result]] = OrderedDict()

        @functools.wraps(function)
        def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            key = (*map(_key, args), *((name, _key(value)) for name, value in sorted(kwargs.items())))
            entry = kept.pop(key, None)
            if entry is None:
                entry = ((args, kwargs), function(*args, **kwargs))
            kept[key] = entry
            while len(kept) > most:
                kept.popitem(last=False)
            return entry[1]

        return wrapped

    return decorate


def _key(value: Any) -> int | bytes:
    from polars import DataFrame  # here: the Pulumi program imports functions that are remembered, and has no Polars

    return id(value) if isinstance(value, DataFrame) or callable(value) else pickle.dumps(value)
