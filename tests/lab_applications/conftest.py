# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five nodes with an application that nobody here wrote, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import browser
from lab_fixtures import lab
from selenium.webdriver import Chrome

__all__ = ["lab"]


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser."""
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver
