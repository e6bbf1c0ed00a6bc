# SPDX-License-Identifier: GPL-3.0-or-later
"""Long drills on the lab, with the fixtures of the tests there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

LAB = Path(__file__).parents[1] / "lab"
sys.path.insert(0, str(LAB))

# By its path: this file has the same name.
_spec = importlib.util.spec_from_file_location("lab_conftest", LAB / "conftest.py")
assert _spec
assert _spec.loader
_shared = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _shared
_spec.loader.exec_module(_shared)

Lab, Run, wait = _shared.Lab, _shared.Run, _shared.wait
another_operator, fingerprints = _shared.another_operator, _shared.fingerprints
PLAIN, STATISTICS, SUFFIX, TOP = _shared.PLAIN, _shared.STATISTICS, _shared.SUFFIX, _shared.TOP
lab, secrets = _shared.lab, _shared.secrets
