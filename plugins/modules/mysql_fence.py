#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_fence
short_description: Kill a database server and keep it from starting, or let it start again
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - With O(state=fenced) the node loses the right to be the primary, the unit is masked, so that neither a reboot nor
    another unit starts it, and the server is killed. It is not asked to end. While it shuts down, MySQL confirms
    commits that no replica has acknowledged, and systemd lets a frozen server run on to stop it.
  - With O(state=released) the unit is unmasked and started. The right to be the primary stays lost, so that the server
    comes up read-only and stays so.
attributes:
  check_mode:
    description: Says whether it would change something.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: What is fenced or released stays so.
    support: full
options:
  state:
    description: Whether the server is kept from running.
    type: str
    choices: [fenced, released]
    required: true
  service:
    description: Unit of the server.
    type: str
    required: true
  primary_marker:
    description: File by which the node has the right to be the primary.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Keep the old primary from running
  pentad.webstack.mysql_fence:
    state: fenced
    service: mysql.service
    primary_marker: /etc/mysql/webstack-primary
"""

RETURN = r"""
active:
  description: State of the unit afterwards, as systemd calls it; in check mode the one that it would have.
  returned: success
  type: str
  sample: inactive
killed:
  description: Whether the server ran.
  returned: success
  type: bool
  sample: true
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.systemd import Systemd, masked

# It has ended, or was not there.
ENDED = {"inactive", "failed", ""}
PAUSE = 0.2
# Seconds in which a killed process is gone, however much memory it had.
AFTER_KILL = 60


class Unit:
    """The unit of the server."""

    def __init__(self, module: AnsibleModule) -> None:
        self.name = module.params["service"]
        self.systemd = Systemd(module)

    @property
    def active(self) -> str:
        """Its state now."""
        return self.systemd.show([self.name]).get(self.name, {}).get("ActiveState", "")

    def ended_within(self, seconds: float) -> bool:
        """Whether it ends in this time."""
        deadline = time.monotonic() + seconds
        while self.active not in ENDED:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)
        return True

    @property
    def masked(self) -> bool:
        """Whether nothing can start it."""
        return bool(masked([self.name]))


def fence(module: AnsibleModule, unit: Unit, marker: Path) -> dict[str, Any]:
    """Keep the server from running."""
    changed = marker.exists() or not unit.masked or unit.active not in ENDED
    killed = False
    if not module.check_mode:
        # First, so that a node that reboots right now comes up without the right to be the primary.
        marker.unlink(missing_ok=True)
        if not unit.masked:
            unit.systemd("mask", unit.name)
        killed = unit.active not in ENDED
        if killed:
            unit.systemd("kill", "--signal=SIGKILL", unit.name)
            # A start that systemd has planned is given up.
            unit.systemd("stop", "--no-block", unit.name)
            if not unit.ended_within(AFTER_KILL):
                module.fail_json(
                    msg=f"service: {unit.name} is masked and still {unit.active} {AFTER_KILL} s after it was killed: "
                    "its disk may not answer; switch the machine off."
                )
    return {"changed": changed, "active": "inactive" if module.check_mode else unit.active, "killed": killed}


def release(module: AnsibleModule, unit: Unit, marker: Path) -> dict[str, Any]:
    """Let the server run."""
    fenced, runs = unit.masked, unit.active not in ENDED
    # A server that runs may be the primary by right.
    stale = marker.exists() and not runs
    if not module.check_mode:
        if stale:
            marker.unlink()
        if fenced:
            unit.systemd("unmask", unit.name)
        if not runs:
            unit.systemd("start", unit.name)
    active = "active" if module.check_mode else unit.active
    return {"changed": stale or fenced or not runs, "active": active, "killed": False}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["fenced", "released"]},
            "service": {"type": "str", "required": True},
            "primary_marker": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    act = fence if module.params["state"] == "fenced" else release
    try:
        module.exit_json(**act(module, Unit(module), Path(module.params["primary_marker"])))
    except OSError as error:
        module.fail_json(
            msg=f"primary_marker: {error.filename} cannot be removed ({error.strerror}): make it writable."
        )


if __name__ == "__main__":
    main()
