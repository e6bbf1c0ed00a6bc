#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let one run at a time change the nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_lock
short_description: Let one run at a time change the nodes
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Takes, renews or gives back a lock on a node, which is a file that says who holds it and until when.
  - A lock that was not renewed in time belongs to nobody. So does one whose playbook no longer runs, if it ran on
    the same control node.
  - The same playbook may take it again, which renews it.
  - With O(until_end) a process on the control node renews it as long as the playbook runs, however long a step of it
    takes, and gives it back when the playbook has ended, also by a failure or a kill. Only if that process is killed
    too, or the control node dies, others wait for the end of the lease.
  - A node that does not answer is no error, so that work on the others goes on; RV(answered) says so.
  - It does not survive a reboot of the node; the process that renews it takes it again.
options:
  state:
    description:
      - V(held) takes or renews it, V(released) gives it back.
      - V(renewed) renews it if it is still held or the node has lost it in a reboot, and says so in RV(mine).
    type: str
    choices: [held, released, renewed]
    default: held
  until_end:
    description: Whether to hold it until the playbook ends. Taking it again without that leaves the lease as it is.
    type: bool
    default: false
    version_added: 0.1.0
  lease:
    description: Seconds for which it is held unless it is renewed.
    type: int
    default: 900
  path:
    description: The file.
    type: path
    default: /run/webstack/rollout.json
  holder:
    description: Who takes it; set by the action plugin of the same name.
    type: dict
    suboptions:
      user:
        description: Name of the user on the control node.
        type: str
        required: true
      host:
        description: Name of the control node.
        type: str
        required: true
      system:
        description: What distinguishes it from others of the same name, where that can be read.
        type: str
        required: true
      process:
        description: Process of the playbook there.
        type: int
        required: true
      since:
        description: When that process began, in clock ticks since the control node booted.
        type: str
        required: true
  ended:
    description: Holder that no longer runs, as the action plugin has found.
    type: dict
attributes:
  check_mode:
    description: >-
      Takes no lock, and warns of one that another run holds, because what check mode shows may be changing meanwhile.
    support: full
  diff_mode:
    description: A lock has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Exclude other rollouts
  pentad.webstack.rollout_lock:

- name: Exclude them until this playbook ends, and for two minutes if the control node dies
  pentad.webstack.rollout_lock:
    until_end: true
    lease: 120

- name: Let others go on
  pentad.webstack.rollout_lock:
    state: released
"""

RETURN = r"""
answered:
  description: Whether the node could be reached.
  returned: always
  type: bool
  sample: true
mine:
  description: Whether the lock is held by this playbook now.
  returned: success
  type: bool
  sample: true
held_by:
  description: The other holder, if the lock was refused.
  returned: failure
  type: dict
  sample: {user: alice, host: ops1, system: "9c1d3f77 pid:[4026531836]", process: 4711, since: "91833"}
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def refusal(held: dict[str, Any], path: Path) -> str:
    """The message to a run that has to wait."""
    holder = held["holder"]
    until = time.strftime("%H:%M:%S", time.gmtime(held["until"]))
    return (
        f"another run is under way, by {holder['user']} on {holder['host']} (process {holder['process']}): "
        f"wait for its end. If it died, its lock ends at {until} UTC, or when {path} is removed from this node."
    )


def decide(held: dict[str, Any] | None, holder: dict[str, Any], ended: dict[str, Any] | None, now: float) -> bool:
    """Whether the lock may be taken."""
    return held is None or held["until"] <= now or held["holder"] in (holder, ended)


def renewable(text: str | None, holder: dict[str, Any]) -> bool:
    """Whether the lock may be renewed: without a file the node was rebooted; an empty file was given back."""
    if text is None:
        return True
    held = read(text)
    return held is not None and held["holder"] == holder


def lease(held: dict[str, Any] | None, params: dict[str, Any], now: float) -> dict[str, Any]:
    """The content of the file for the holder of the lock."""
    mine = held is not None and held["holder"] == params["holder"] and held["until"] > now
    if mine and held.get("until_end") and not params["until_end"]:
        return held
    return {"holder": params["holder"], "until": now + params["lease"], "until_end": params["until_end"]}


def read(text: str) -> dict[str, Any] | None:
    """The holder and the end of the lease that the file has; none in a file that was cut off."""
    try:
        return json.loads(text) or None
    except ValueError:
        return None


def main() -> None:
    """Run the module."""
    holder_spec = {
        "user": {"type": "str", "required": True},
        "host": {"type": "str", "required": True},
        "system": {"type": "str", "required": True},
        "process": {"type": "int", "required": True},
        "since": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["held", "released", "renewed"], "default": "held"},
            "until_end": {"type": "bool", "default": False},
            "lease": {"type": "int", "default": 900},
            "path": {"type": "path", "default": "/run/webstack/rollout.json"},
            "holder": {"type": "dict", "options": holder_spec},
            "ended": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        # A lock is no change of the nodes.
        module.exit_json(changed=False, mine=update(module, Path(module.params["path"])))
    except OSError as error:
        module.fail_json(msg=f"path: {module.params['path']}: {error}")


def update(module: AnsibleModule, path: Path) -> bool:
    """Do what the options say; returns whether the lock is held by this playbook then."""
    state, holder = module.params["state"], module.params["holder"]
    there = path.exists()
    if module.check_mode and not there:
        return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        held = read(text)
        if state == "renewed" and not renewable(text if there else None, holder):
            return False
        mine = decide(held, holder, module.params["ended"], time.time())
        if state == "held" and not mine:
            if not module.check_mode:
                module.fail_json(msg=refusal(held, path), held_by=held["holder"])
            module.warn(f"Check mode takes no lock, and what it shows may be changing meanwhile: {refusal(held, path)}")
        if not mine or module.check_mode:
            return False
        file.seek(0)
        file.truncate()
        if state != "released":
            json.dump(lease(held, module.params, time.time()), file)
    return state != "released"


if __name__ == "__main__":
    main()
