#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_events
short_description: Let a new primary run the scheduled events of its predecessor, and the predecessor run none
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - A replica runs no event that its source runs. After it has become the primary, it has to be told to, with
    O(state=enabled). The statement replicates, and stops the events on the other servers, the former primary among
    them.
  - A former primary that does not follow yet is told with O(state=waiting). Nothing of that is in its binary log.
  - An event keeps its definer, its schedule and everything else.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Tells which events would be enabled.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: An event that runs is left as it is.
    support: full
options:
  state:
    description: Whether events run here, or wait as on a replica.
    type: str
    choices: [enabled, waiting]
    default: enabled
  events:
    description: >-
      Events that are to run, with O(state=enabled). One that was disabled on purpose on this server is left as it is.
      With O(state=waiting) it is every event that runs here.
    type: list
    elements: dict
    default: []
    suboptions:
      schema: {description: Its database., type: str, required: true}
      name: {description: Its name., type: str, required: true}
seealso:
  - module: pentad.webstack.mysql_switchover
"""

EXAMPLES = r"""
- name: Run the events that the former primary ran
  pentad.webstack.mysql_events:
    login_unix_socket: /run/mysqld/mysqld.sock
    events:
      - {schema: shop, name: tidy}

- name: Run no event on a former primary
  pentad.webstack.mysql_events:
    login_unix_socket: /run/mysqld/mysqld.sock
    state: waiting
"""

RETURN = r"""
enabled:
  description: Events that were enabled, or would be in check mode.
  returned: with O(state=enabled)
  type: list
  elements: str
  sample: [shop.tidy]
stopped:
  description: Events that were stopped, or would be in check mode.
  returned: with O(state=waiting)
  type: list
  elements: str
  sample: [shop.tidy]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec
from ..module_utils.mysql.events import enable, stop


def _spec() -> dict[str, Any]:
    names = {name: {"type": "str", "required": True} for name in ("schema", "name")}
    return {
        **argument_spec(),
        "state": {"type": "str", "choices": ["enabled", "waiting"], "default": "enabled"},
        "events": {"type": "list", "elements": "dict", "default": [], "options": names},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_spec(), supports_check_mode=True)
    runs = module.params["state"] == "enabled"
    try:
        with Connection(ConnectionOptions.from_params(module.params)) as connection:
            if runs:
                found = enable(connection, module.params["events"], module.check_mode)
            else:
                found = stop(connection, module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(found), **{"enabled" if runs else "stopped": found})


if __name__ == "__main__":
    main()
