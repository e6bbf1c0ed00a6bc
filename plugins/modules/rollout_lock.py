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
  - With O(kept) a process on the control node renews it as long as the playbook runs, however long a step of it takes,
    and gives it back when the playbook has ended, be it by a failure or killed. Only if that process is killed too, or
    the control node dies, others wait for the end of the lease.
  - A node that does not answer is no error, because it must not keep others from being worked on; RV(answered) tells.
  - It does not survive a reboot of the node; whoever keeps it takes it again.
options:
  state:
    description:
      - V(held) takes or renews it, V(released) gives it back.
      - V(renewed) renews it if it is still held or the node has lost it in a reboot, and tells so in RV(mine).
    type: str
    choices: [held, released, renewed]
    default: held
  kept:
    description: Whether it is kept until the playbook ends. Taking it again without that leaves the lease as it is.
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
        description: What tells it from others of the same name, where that is known.
        type: str
        required: true
      process:
        description: Process of the playbook there.
        type: int
        required: true
      since:
        description: When that process began, as the control node counts.
        type: str
        required: true
  ended:
    description: Holder of whom the action plugin knows that it no longer runs.
    type: dict
attributes:
  check_mode:
    description: Takes no lock, and warns of one that another run holds, because what is shown may just be changing.
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
    kept: true
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
    """What the one who has to wait is told."""
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
    """Whether there is something to renew; without the file the node was rebooted, and empty it was given back."""
    if text is None:
        return True
    held = read(text)
    return held is not None and held["holder"] == holder


def lease(held: dict[str, Any] | None, params: dict[str, Any], now: float) -> dict[str, Any]:
    """What the file says of one who holds the lock."""
    mine = held is not None and held["holder"] == params["holder"] and held["until"] > now
    if mine and held.get("kept") and not params["kept"]:
        return held
    return {"holder": params["holder"], "until": now + params["lease"], "kept": params["kept"]}


def read(text: str) -> dict[str, Any] | None:
    """What the file says; a file that was cut off says nothing."""
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
            "kept": {"type": "bool", "default": False},
            "lease": {"type": "int", "default": 900},
            "path": {"type": "path", "default": "/run/webstack/rollout.json"},
            "holder": {"type": "dict", "options": holder_spec},
            "ended": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        # Who may change the nodes is no change of them.
        module.exit_json(changed=False, mine=keep(module, Path(module.params["path"])))
    except OSError as error:
        module.fail_json(msg=f"path: {module.params['path']}: {error}")


def keep(module: AnsibleModule, path: Path) -> bool:
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
            module.warn(f"Check mode takes no lock, and what it shows may just be changing: {refusal(held, path)}")
        if not mine or module.check_mode:
            return False
        file.seek(0)
        file.truncate()
        if state != "released":
            json.dump(lease(held, module.params, time.time()), file)
    return state != "released"


if __name__ == "__main__":
    main()
