# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the whole input before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.inventory_contract import Stack, duplicated_uuids, problems, urgent_problems
from ..plugin_utils.participants import address_problems, balancer_problems, silent, without
from ..plugin_utils.shared_state import close, keep_out_of_git
from ..plugin_utils.stack import stack_of

OPTIONS = {
    "goes_on": {"type": "bool", "default": False},
    "drains": {"type": "bool", "default": True},
    "urgent": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Runs on the control node alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather the input, check it, and fail with every problem at once."""
        result = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(argument_spec=OPTIONS)
        broken: list[str] = []
        stack = stack_of(self._templar, self._loader, task_vars or {}, broken)
        state = {Path(str(stack.value(host, "webstack_state_dir"))) for host in stack.hosts}
        absent = [directory for directory in state if not directory.exists()]
        lost = silent(stack)
        needed: list[str] = []
        if arguments["goes_on"] and set(lost) != set(stack.hosts):
            stack = without(stack, lost)
            needed += balancer_problems(stack, lost) if arguments["drains"] else []
        stack = replace(stack, goes_on=arguments["goes_on"])
        if not arguments["goes_on"]:
            # A run that goes on without hosts writes no configuration with their addresses.
            needed += address_problems(stack)
        wrong = problems(stack, state)
        # Evaluating variables may have generated passwords, in directories that are open to others.
        close(absent)
        # A variable that needs facts of a host that did not answer is not wrong.
        broken = [each for each in broken if each.partition(":")[0] not in lost]
        found = list(dict.fromkeys(wrong + broken + needed))
        if arguments["urgent"]:
            refusing = dict.fromkeys(urgent_problems(stack, state) + of_databases(stack, broken) + needed)
            result["warnings"] = [each for each in found if each not in refusing]
            found = list(refusing)
        if not found and not self._task.check_mode:
            for directory in state:
                keep_out_of_git(directory)
        if found:
            listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(found, 1))
            result.update(failed=True, problems=found, msg=f"{len(found)} problem(s); nothing was changed.\n{listed}")
        result.update(changed=False, new_uuid=duplicated_uuids(stack)[0], silent=lost)
        return result


def of_databases(stack: Stack, found: list[str]) -> list[str]:
    """Those of the problems that a database node has."""
    return [each for each in found if each.partition(":")[0] in stack.members("mysql")]
