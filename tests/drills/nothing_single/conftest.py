# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills on five machines of which nothing is single; tools/drills has deployed them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import Lab, open_node, wait_until_healthy
from numbered_rows import Writes, other_node, same_tables, writing
from waiting import wait


@pytest.fixture(scope="session")
def inventory() -> Path:
    """Two balancers with an address, and a primary that confirms nothing which no replica has."""
    return Path(os.environ["WEBSTACK_DRILL_INVENTORY"])


@pytest.fixture
def writes(lab: Lab, secrets: dict[str, str], tmp_path: Path) -> Iterator[Writes]:
    """Clients that write to a healthy lab; at the end it is healthy again, and both databases have every row."""
    wait_until_healthy(lab)
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(writing(lab, secrets["app"], tmp_path))
        yield found
        found.written(100)
        wait_until_healthy(lab)
        primary = open_node(lab)
        wait("the replica to have all rows", lambda: not found.missing(other_node(primary)))
        assert not found.missing(primary)


@pytest.fixture
def nothing_to_change(lab: Lab, inventory: Path) -> Iterator[None]:
    """After a drill there is nothing left to be done, and the tables of both databases are the same."""
    yield
    run = lab.playbook("site.yml", inventory=inventory)
    assert run.code == 0, run.output[-4000:]
    assert set(run.changed.values()) == {0}, f"{run.changed} {run.output}"
    same_tables(lab)
