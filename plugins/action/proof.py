# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what the proof found on every part of the stack."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.proof import findings, report
from ..plugin_utils.stack import stack_of


class ActionModule(ActionBase):
    """Runs on the control node alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Put everything together, show it, and fail if any of it is wrong."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        failed = [host for host in task_vars["ansible_play_hosts_all"] if host not in task_vars["ansible_play_hosts"]]
        stack = stack_of(self._templar, self._loader, task_vars, [])
        found = findings(stack, failed)
        wrong = [one for one in found if not one.ok]
        text = report(found)
        self._display.display(f"\n{text}\n")
        if stack.away:
            left = ", ".join(host for host in stack.everybody("all") if host in stack.away)
            self._display.display(f"Left out by --limit, and not checked: {left}\n")
        result.update(changed=False, findings=[asdict(one) for one in found])
        if wrong:
            result.update(failed=True, msg=f"{len(wrong)} of {len(found)} points are wrong.\n{report(wrong)}")
        else:
            result["msg"] = f"All {len(found)} points are right."
        return result
