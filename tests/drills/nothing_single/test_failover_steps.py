# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At each step of a failover its process or the new primary is killed; the next command finishes it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from figures import figure
from nodes import Command, Lab, answers, closed, open_node
from numbered_rows import Writes, never_two, other_node, rejoined, start

pytestmark = pytest.mark.usefixtures("nothing_to_change")
STEPS = (
    "Gather whether the primary is seen from this node",
    "Refuse the old primary in the database endpoints",
    "Apply all that was received",
    "Record that this node replaces the primary",
    "Follow the old primary no more",
    "Record that this node is the primary",
    "Let the server take writes",
    "Choose the primary from all answers",
    "Report what was done",
)


def is_open(lab: Lab, node: str) -> bool:
    return answers(lab, node) and not closed(lab, node)


def finish(lab: Lab, inventory: Path, old: str, new: str) -> None:
    """Give the next command, and the one that it names."""
    run = lab.playbook("failover.yml", inventory=inventory)
    if not is_open(lab, new):
        assert "run site.yml" in " ".join(run.output.split()), run.output[-6000:]
        lab.playbook("site.yml", "-e", f"mysql_failover_confirmed={lab.container(old)}", inventory=inventory)
    assert is_open(lab, new), run.output[-6000:]


@pytest.mark.parametrize("task", STEPS)
@pytest.mark.parametrize("killed", ["process", "new primary"])
def test_a_failover_is_killed(
    lab: Lab, inventory: Path, writes: Writes, tmp_path: Path, task: str, killed: str
) -> None:
    old, begun = open_node(lab), time.time()
    new = other_node(old)
    lab.docker("kill", lab.container(old))
    command = Command(tmp_path / "failover", "failover.yml", inventory=inventory)
    try:
        command.reaches(task)
        if killed == "process":
            command.kill()
        else:
            lab.docker("kill", lab.container(new))
            command.ends()
            start(lab, new)
        finish(lab, inventory, old, new)
    finally:
        start(lab, old)
    rejoined(lab, inventory, old)
    writes.written(100)
    never_two(writes, begun)
    figure(f"failover, {killed} killed at {task!r}", f"finished by the next command, {len(writes.rows())} rows, 0 lost")
