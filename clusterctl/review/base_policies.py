"""The policies of a change, out of its base: no pull request loosens the rules that it is held to."""

from __future__ import annotations

import os
from collections.abc import Callable

from clusterctl.errors import SpecError
from clusterctl.review.policies_file import PLACES, Policies, load_policies
from clusterctl.review.trees import Tree
from clusterctl.specfile.yaml_file import MAX_BYTES, decoded


def policies_of_base(base: Tree) -> Policies:
    """Those of the base's policies file; where it has none, each rule as it is.  Raises SpecError."""
    name = next((place for place in PLACES if base.object_id(place) is not None), "")
    return load_policies(name, text_reader(base, "of the base"))


def text_reader(tree: Tree, which: str) -> Callable[[str], str]:
    """Gives the text of a file of one end of a change, by its path from the root; raises SpecError where there is none.

    which: what messages call that end.
    """

    def read(path: str) -> str:
        name = os.path.normpath(path)
        try:
            return decoded(tree.read(name, MAX_BYTES), name=path)
        except OSError as error:
            raise SpecError(f"{path} {which}: {error.strerror or error}") from error

    return read
