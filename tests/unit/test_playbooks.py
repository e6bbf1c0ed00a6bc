# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts the playbooks run on, and which of their tasks a tag selects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import OUR_GROUPS

TOP = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted((TOP / "playbooks").glob("*.yml"))


def plays(path: Path) -> list[dict[str, Any]]:
    """Plays that a playbook has itself."""
    return [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]


def test_the_hosts_of_the_stack_are_those_of_the_groups_of_the_contract():
    (play,) = plays(TOP / "playbooks" / "nodes.yml")
    assert tuple(play["hosts"].split(":")) == OUR_GROUPS


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_no_play_runs_on_hosts_of_others(path):
    known = {*OUR_GROUPS, *(f"webstack_{name}" for name in ("nodes", "primary_node", "replica_nodes"))}
    for play in plays(path):
        for part in play["hosts"].split(":"):
            name = part.lstrip("&!")
            assert name in known or name.startswith(("webstack_rollout", "webstack_upkeep_")), play["name"]
