#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Enable and start several systemd units in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Enable and start several systemd units in one round trip
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Enables units and starts those that do not run; asks systemd once for all of them.
  - Restarting and reloading is for handlers with M(ansible.builtin.systemd_service).
options:
  started:
    description: Units, with their suffix, that are to run and to be enabled.
    type: list
    elements: str
    default: []
  enabled:
    description: Units that are to be enabled only, because something else starts them.
    type: list
    elements: str
    default: []
  daemon_reload:
    description: Whether systemd reads its unit files again first.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports what would change.
    support: full
  diff_mode:
    description: Shows the states before and after.
    support: full
"""

EXAMPLES = r"""
- name: Run the service
  pentad.webstack.units:
    started: [haproxy.service]
"""

RETURN = r"""
newly_started:
  description: Units that did not run before.
  returned: success
  type: list
  elements: str
  sample: [haproxy.service]
newly_enabled:
  description: Units that were not enabled before.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

RUNNING = {"active", "activating", "reloading"}
ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated"}
PROPERTIES = "Id,Names,LoadState,ActiveState,UnitFileState"


def parse(output: str) -> dict[str, dict[str, str]]:
    """States of the units by each of their names, from C(systemctl show)."""
    found = {}
    for block in output.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in unit.get("Names", "").split() or [unit.get("Id", "")]:
            found[name] = unit
    return found


def systemctl(module: AnsibleModule, *words: str) -> str:
    """Run systemctl; a failure names the unit, what systemd said and where to look."""
    code, out, err = module.run_command(["systemctl", *words])
    if code:
        units = " ".join(word for word in words[1:] if not word.startswith("-"))
        journal = module.run_command(["journalctl", "--no-pager", "-n", "10", "-o", "cat", *unit_options(words[1:])])[1]
        said = err.strip() or out.strip()
        module.fail_json(msg=f"systemctl {words[0]} {units}: {said}\nThe journal ends with:\n{journal}")
    return out


def unit_options(words: tuple[str, ...]) -> list[str]:
    """Options that choose the units in the journal."""
    return [option for word in words if not word.startswith("-") for option in ("-u", word)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "started": {"type": "list", "elements": "str", "default": []},
            "enabled": {"type": "list", "elements": "str", "default": []},
            "daemon_reload": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    started = module.params["started"]
    wanted = list(dict.fromkeys(started + module.params["enabled"]))
    if module.params["daemon_reload"] and not module.check_mode:
        systemctl(module, "daemon-reload")
    before = parse(systemctl(module, "show", f"--property={PROPERTIES}", *wanted)) if wanted else {}
    missing = [name for name in wanted if before.get(name, {}).get("LoadState") == "not-found"]
    if missing and not module.check_mode:
        module.fail_json(msg=f"systemd knows no unit {', '.join(missing)}: its package or unit file is not installed.")
    enable = [name for name in wanted if before.get(name, {}).get("UnitFileState") not in ENABLED]
    start = [name for name in started if before.get(name, {}).get("ActiveState") not in RUNNING]
    if not module.check_mode:
        if enable:
            systemctl(module, "enable", *enable)
        if start:
            systemctl(module, "start", *start)
    module.exit_json(
        changed=bool(enable or start),
        newly_started=start,
        newly_enabled=enable,
        diff={
            "before": "".join(f"{name} {before.get(name, {}).get('ActiveState', '')}\n" for name in start)
            + "".join(f"{name} {before.get(name, {}).get('UnitFileState', '')}\n" for name in enable),
            "after": "".join(f"{name} active\n" for name in start) + "".join(f"{name} enabled\n" for name in enable),
        },
    )


if __name__ == "__main__":
    main()
