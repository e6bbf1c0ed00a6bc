# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills on five machines of which nothing is single: all of them by tools/drills, the first ones beside tests/lab."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from balancers import two_balancers
from figures import MEASURES
from nodes import Lab, open_node, wait_until_healthy
from numbered_rows import Writes, other_node, same_tables, writing
from waiting import wait


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all but the first drills beside other tests, and run these last: they change the lab."""
    if MEASURES:
        return
    here = Path(__file__).parent
    others = [item for item in items if here not in item.path.parents]
    drills = [item for item in items if here in item.path.parents]
    first = [item for item in drills if item.get_closest_marker("first")]
    config.hook.pytest_deselected(items=[item for item in drills if item not in first])
    items[:] = others + first


@pytest.fixture(scope="session")
def inventory(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two balancers with an address, and a primary that confirms nothing which no replica has."""
    if MEASURES:
        return Path(os.environ["WEBSTACK_DRILL_INVENTORY"])
    made = tmp_path_factory.mktemp("nothing_single") / "inventory"
    two_balancers(lab, made)
    run = lab.playbook("site.yml", inventory=made)
    assert run.code == 0, run.output[-6000:]
    return made


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
