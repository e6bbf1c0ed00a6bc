# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of all tests on the five nodes of the lab."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from client import INVENTORY_DIR, TOP
from nodes import Lab, wait_until_healthy


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """Generated passwords by name."""
    directory = INVENTORY_DIR / ".webstack" / "secrets"
    found = {path.name: path.read_text().strip() for path in directory.iterdir() if not path.name.startswith(".")}
    assert len(found) >= 5, f"{directory} holds {sorted(found)}"
    return found


@pytest.fixture
def lab_is_right(lab: Lab) -> Iterator[None]:
    """A test starts from a healthy lab, and leaves one."""
    wait_until_healthy(lab)
    yield
    wait_until_healthy(lab)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A directory with the demonstration and a style sheet of its own."""

    def make(name: str, wsgi: str = "", migrate: str = "") -> Path:
        made = tmp_path_factory.mktemp("releases") / name
        shutil.copytree(TOP / "demo" / "guestbook", made, ignore=shutil.ignore_patterns("__pycache__"))
        for path, addition in (("static/guestbook.css", f"/* {name} */\n"), ("guestbook/wsgi.py", wsgi)):
            with (made / path).open("a") as file:
                file.write(addition)
        if migrate:
            (made / "guestbook" / "migrate.py").write_text(migrate)
        return made

    return make
