# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the lock for this playbook, also from one that no longer runs, and hold it while this one runs."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Seconds between checks whether the playbook runs, and between renewals at most.
POLL, RENEWAL = 1.0, 30.0


def began(process: int) -> str:
    """When a process began, in the kernel's ticks; empty if it does not run, or is a zombie."""
    try:
        # The name of the program, in brackets, may have blanks.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def system() -> str:
    """The id of this machine or container, which has processes of its own; empty without Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def this_playbook() -> dict[str, Any]:
    """The process of the playbook, whose worker this is."""
    process = os.getppid()
    return {
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "system": system(),
        "process": process,
        "since": began(process),
    }


def has_ended(holder: dict[str, Any], mine: dict[str, Any]) -> bool:
    """Whether a holder on this control node no longer runs."""
    here = all(holder.get(name) == mine[name] for name in ("host", "system"))
    return here and began(holder["process"]) != holder["since"]


def runs(holder: dict[str, Any]) -> bool:
    """Whether the playbook still runs; where the kernel has no list of processes, whether its number is taken."""
    if holder["since"]:
        return began(holder["process"]) == holder["since"]
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return False
    return True


def keep(holder: dict[str, Any], every: float, renew: Callable[[], bool], release: Callable[[], object]) -> None:
    """Renew the lock, in a process of its own, until it is given back or the playbook has ended."""
    renewed = time.monotonic()
    while runs(holder):
        time.sleep(POLL)
        if time.monotonic() - renewed >= every:
            if not renew():
                return
            renewed = time.monotonic()
    release()


def detached(work: Callable[[], None]) -> None:
    """Do something in a process that outlives the worker and the playbook, and is detached from their terminal."""
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    # Nothing may return from here, or it would go on as a second worker.
    try:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            sys.stdin = sys.stdout = sys.stderr = os.fdopen(nowhere, "r+", closefd=False)
            # Its messages are dropped, and do not go into the queue of the playbook.
            Display()._final_q = None
            work()
    finally:
        os._exit(0)


class ActionModule(ActionBase):
    """Takes the lock on the node."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take or give back the lock, also that of a dead playbook."""
        super().run(tmp, task_vars)
        holder = this_playbook()
        result = self.execute(task_vars, holder=holder)
        held_by = result.get("held_by")
        if held_by and has_ended(held_by, holder):
            result = self.execute(task_vars, holder=holder, ended=held_by)
        options = self._task.args
        if result.get("mine") and boolean(options.get("until_end", False)) and options.get("state", "held") == "held":
            detached(lambda: self.keep(holder, task_vars))
        return result

    def execute(self, task_vars: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
        """Run the module."""
        arguments = {**self._task.args, **changes}
        try:
            result = self._execute_module("pentad.webstack.rollout_lock", arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            # A dead node must not stop the work on the others.
            return {"changed": False, "mine": False, "answered": False, "msg": f"did not answer: {error}"}
        return {**result, "answered": True}

    def keep(self, holder: dict[str, Any], task_vars: dict[str, Any] | None) -> None:
        """Keep the lock until the playbook ends."""

        def send(state: str) -> bool:
            # Without an answer the lease goes on, and the next renewal may succeed.
            try:
                result = self.execute(task_vars, holder=holder, state=state)
                return bool(result.get("mine")) or not result["answered"]
            except Exception:  # noqa: BLE001 - whatever a connection may raise
                return True
            finally:
                self.cleanup(force=True)

        every = min(RENEWAL, int(self._task.args.get("lease", 900)) / 4)
        keep(holder, every, lambda: send("renewed"), lambda: send("released"))
