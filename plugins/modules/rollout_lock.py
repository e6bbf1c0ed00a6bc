#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let one rollout at a time change the nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_lock
short_description: Let one rollout at a time change the nodes
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Takes, renews or gives back a lock on a node, which is a file that says who holds it and until when.
  - A lock that was not renewed in time belongs to nobody. So does one whose playbook no longer runs, if it ran on
    the same control node.
  - The same playbook may take it again, which renews it.
  - It does not survive a reboot of the node.
options:
  state:
    description: V(held) takes or renews it, V(released) gives it back.
    type: str
    choices: [held, released]
    default: held
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
    description: Refuses a lock that another one holds, and takes none.
    support: full
  diff_mode:
    description: A lock has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Exclude other rollouts
  pentad.webstack.rollout_lock:

- name: Let others go on
  pentad.webstack.rollout_lock:
    state: released
"""

RETURN = r"""
held_by:
  description: The other holder, if the lock was refused.
  returned: failure
  type: dict
  sample: {user: alice, host: ops1, process: 4711, since: "91833"}
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def refusal(held: dict[str, Any]) -> str:
    """What the one who has to wait is told."""
    holder = held["holder"]
    until = time.strftime("%H:%M:%S", time.gmtime(held["until"]))
    return (
        f"another rollout is under way, by {holder['user']} on {holder['host']} (process {holder['process']}): "
        f"wait for its end. If it died, its lock ends at {until} UTC."
    )


def decide(held: dict[str, Any] | None, holder: dict[str, Any], ended: dict[str, Any] | None, now: float) -> bool:
    """Whether the lock may be taken."""
    return held is None or held["until"] <= now or held["holder"] in (holder, ended)


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
        "process": {"type": "int", "required": True},
        "since": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "lease": {"type": "int", "default": 900},
            "path": {"type": "path", "default": "/run/webstack/rollout.json"},
            "holder": {"type": "dict", "options": holder_spec},
            "ended": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    holder = module.params["holder"]
    path = Path(module.params["path"])
    if module.check_mode and not path.exists():
        module.exit_json(changed=False)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held = read(file.read())
            mine = decide(held, holder, module.params["ended"], time.time())
            if module.params["state"] == "held" and not mine:
                module.fail_json(msg=refusal(held), held_by=held["holder"])
            if mine and not module.check_mode:
                file.seek(0)
                file.truncate()
                if module.params["state"] == "held":
                    json.dump({"holder": holder, "until": time.time() + module.params["lease"]}, file)
    except OSError as error:
        module.fail_json(msg=f"path: {path}: {error}")
    # Who may change the nodes is no change of them.
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
