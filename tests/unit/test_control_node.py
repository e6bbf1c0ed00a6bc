# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator is an ordinary account of the control node, without sudo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

LOCAL = {"localhost", "127.0.0.1", "::1"}
PLACES = ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml")


def tasks(node: Any, variables: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every task below a node, with its variables and those of the blocks around it."""
    for each in node if isinstance(node, list) else [node]:
        if not isinstance(each, dict):
            continue
        seen = {**variables, **(each.get("vars") or {})}
        yield each, seen
        for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks(each.get(part) or [], seen)


def local_tasks(top: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every task that runs on the control node."""
    for place in PLACES:
        for path in sorted(top.glob(place)):
            for task, variables in tasks(yaml.safe_load(path.read_text()) or [], {}):
                if LOCAL & {task.get("delegate_to"), task.get("hosts")} or "local_action" in task:
                    yield f"{path.relative_to(top)}: {task.get('name')}", task, variables


def test_what_runs_on_the_control_node_runs_as_the_operator(top):
    found = list(local_tasks(top))
    assert found, "no task runs on the control node any more: remove this test"
    for name, task, variables in found:
        # A keyword loses against ansible_become of an inventory's group "all", which the control node inherits.
        assert variables.get("ansible_become") is False, f"{name}: set ansible_become: false in its vars"
        assert "become" not in task, f"{name}: the keyword does nothing here"


@pytest.mark.parametrize("words", [{"delegate_to": "localhost"}, {"hosts": "localhost"}])
def test_tasks_of_the_control_node_are_found_in_blocks(words):
    block = [{"name": "outer", "vars": {"ansible_become": False}, "block": [{"name": "inner", **words}]}]
    assert {task["name"]: variables for task, variables in tasks(block, {})}["inner"] == {"ansible_become": False}
