# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what the proof found on every part of the stack."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.participants import without
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
        whole = stack_of(self._templar, self._loader, task_vars, [])
        # Only check mode leaves packages out.
        others = [host for host in whole.hosts if host not in failed]
        bare = [host for host in others if whole.variables[host].get("__webstack_missing_packages")]
        stack = without(whole, bare)
        if not stack.hosts:
            return {**result, "skipped": True, "changed": False, "msg": "No node has its packages yet."}
        found = findings(stack, failed)
        wrong = [one for one in found if not one.ok]
        # What is wrong comes last, as the error.
        self._display.display(f"\n{report([one for one in found if one.ok])}\n")
        for reason, hosts in (("Left out by --limit", whole.away), ("Without their packages", bare)):
            if hosts:
                named = ", ".join(host for host in whole.everybody("all") if host in hosts)
                self._display.display(f"{reason}, and not checked: {named}\n")
        if wrong:
            msg = f"{len(wrong)} of {len(found)} points are wrong.\n{report(wrong)}"
            return {**result, "changed": False, "failed": True, "msg": msg}
        msg = f"All {len(found)} points are right."
        return {**result, "changed": False, "findings": [asdict(one) for one in found], "msg": msg}
