# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five nodes with an application that nobody here wrote, and a browser."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LAB = Path(__file__).parents[1] / "lab"
# The client and the browser are those of the demonstration, and so is what is said of the five nodes.
sys.path.insert(0, str(LAB))
_spec = importlib.util.spec_from_file_location("lab_conftest", LAB / "conftest.py")
assert _spec and _spec.loader
lab_conftest = importlib.util.module_from_spec(_spec)
sys.modules["lab_conftest"] = lab_conftest
_spec.loader.exec_module(lab_conftest)


@pytest.fixture(scope="session")
def lab() -> Any:
    return lab_conftest.Lab()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser."""
    from browser import browser  # noqa: PLC0415 - found by the path above

    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver
