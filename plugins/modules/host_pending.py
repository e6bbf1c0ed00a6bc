#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reload and restart the services whose files have changed, in this run or in an interrupted one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_pending
short_description: Reload and restart the services whose files have changed
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - M(pentad.webstack.host_config) notes on the node which units have to read a file before it writes that. This module
    does what is noted, and removes the note when it is done. A run that ends in between leaves it to the next one.
  - With O(state=noted) it notes the same for changes that are no files of M(pentad.webstack.host_config); do so before
    the change.
  - A unit that does not run reads everything when it starts; only its note is removed.
  - A service that ends within a second after it was restarted is an error, with the end of its journal.
options:
  state:
    description: V(done) does what is noted, V(noted) notes O(units) with O(action).
    type: str
    choices: [done, noted]
    default: done
  units:
    description: Units, with their suffix; with V(done) by default all but those whose restart is deferred.
    type: list
    elements: str
    default: []
  action:
    description: What is noted; V(deferred) is a restart that is done only where O(units) names the unit.
    type: str
    choices: [reload, restart, deferred]
    default: restart
attributes:
  check_mode:
    description: Reports what would be done.
    support: full
  diff_mode:
    description: Shows what is noted before and after.
    support: full
"""

EXAMPLES = r"""
- name: Note that nginx has to read its new certificate
  pentad.webstack.host_pending:
    state: noted
    units: [nginx.service]
    action: reload
  notify: Reload or restart what has changed

- name: Reload or restart what has changed
  pentad.webstack.host_pending:
"""

RETURN = r"""
done:
  description: What was done, or would be, by unit; V(nothing) for one that does not run.
  returned: success
  type: dict
  sample: {nginx.service: reload}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import pending
from ..module_utils.systemd import RUNNING, Systemd

NOTHING = "nothing"


def verb(action: str, unit: dict[str, str]) -> str:
    """The command to systemd for a unit."""
    if unit.get("ActiveState") not in RUNNING:
        return NOTHING
    if action != pending.RELOAD:
        return "restart"
    # One that is just starting, or starts again and again, cannot be reloaded.
    return "reload" if unit.get("ActiveState") != "activating" and unit.get("CanReload") != "no" else "restart"


def do(module: AnsibleModule, units: list[str]) -> dict[str, str]:
    """Do what is noted of these units, or of all."""
    systemctl = Systemd(module)
    noted = pending.noted()
    wanted = [unit for unit, action in noted.items() if (unit in units if units else action != pending.DEFERRED)]
    states = systemctl.show(wanted)
    if any(unit.get("NeedDaemonReload") == "yes" for unit in states.values()) and not module.check_mode:
        systemctl("daemon-reload")
    done = {unit: verb(noted[unit], states.get(unit, {})) for unit in wanted}
    if not module.check_mode:
        for unit, action in done.items():
            if action != NOTHING:
                systemctl(action, unit)
            pending.remove(unit)
        systemctl.check_started([unit for unit, action in done.items() if action == "restart"])
    return done


def lines(notes: dict[str, str]) -> str:
    """Notes as the diff shows them."""
    return "".join(f"{unit} {action}\n" for unit, action in sorted(notes.items()))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["done", "noted"], "default": "done"},
            "units": {"type": "list", "elements": "str", "default": []},
            "action": {"type": "str", "choices": list(pending.ACTIONS), "default": pending.RESTART},
        },
        supports_check_mode=True,
    )
    params: dict[str, Any] = module.params
    before = pending.noted()
    if params["state"] == "noted":
        after = {
            **before,
            **{
                unit: pending.stronger(before.get(unit), params["action"], params["action"] != pending.DEFERRED)
                for unit in params["units"]
            },
        }
        if not module.check_mode:
            for unit in params["units"]:
                pending.note(unit, params["action"], params["action"] != pending.DEFERRED)
        # Always a change, so that the handler runs, even if it was noted before.
        module.exit_json(changed=bool(params["units"]), done={}, diff={"before": lines(before), "after": lines(after)})
    done = do(module, params["units"])
    left = {unit: action for unit, action in before.items() if unit not in done}
    module.exit_json(changed=bool(done), done=done, diff={"before": lines(before), "after": lines(left)})


if __name__ == "__main__":
    main()
