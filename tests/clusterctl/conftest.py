"""Hand-made plans for every test below: `from sample_plan import rlcef_plan`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ui"))
