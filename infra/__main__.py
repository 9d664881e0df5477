"""Where `pulumi up` begins: the folder above is the root from which `infra` and `planners` are imported."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.provision import program

program()
