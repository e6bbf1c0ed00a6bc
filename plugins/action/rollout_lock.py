# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which playbook takes the lock, and whether the one that has it still runs."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


def began(process: int) -> str:
    """When a process began, in the kernel's ticks; empty if it does not run."""
    try:
        # The name of the program, in brackets, may have blanks.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def this_playbook() -> dict[str, Any]:
    """The process of the playbook, whose worker this is."""
    process = os.getppid()
    return {"user": getpass.getuser(), "host": socket.gethostname(), "process": process, "since": began(process)}


def has_ended(holder: dict[str, Any], mine: dict[str, Any]) -> bool:
    """Whether a holder on this control node no longer runs."""
    return holder["host"] == mine["host"] and began(holder["process"]) != holder["since"]


class ActionModule(ActionBase):
    """Takes the lock on the node."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take or give back the lock, that of a dead playbook too."""
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "holder": this_playbook()}
        result = self._execute_module(module_args=arguments, task_vars=task_vars)
        held_by = result.get("held_by")
        if held_by and has_ended(held_by, arguments["holder"]):
            arguments["ended"] = held_by
            result = self._execute_module(module_args=arguments, task_vars=task_vars)
        return result
