"""Loads the calibration that ships with the package."""

from __future__ import annotations

import json
from functools import cache

from clusterctl.errors import StateError
from clusterctl.paths import facts_dir
from planners.physics.calibration import Calibration


@cache
def load_calibration() -> Calibration:
    """The fitted constants with their uncertainty.  Raises StateError when the file is damaged or of another
    version."""
    path = facts_dir() / "calibration.json"
    try:
        return Calibration.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"the calibration {path} cannot be used: {error}", hint="reinstall clusterctl") from error
