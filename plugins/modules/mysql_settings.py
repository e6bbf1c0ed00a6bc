#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change server variables while the server runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_settings
short_description: Change variables of a running MySQL or MariaDB server
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Compares global variables with the values wanted, all in one connection, and sets those that the server can change
    while it runs.
  - Variables that only a restart can change are reported, not an error.
  - Keeping the values over a restart is the business of the configuration file.
options:
  settings:
    description:
      - Variables and their values, as in the configuration file. C(ON), C(1) and V(true) are the same, as are C(1M) and
        C(1048576).
    type: dict
    required: true
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports what would change.
    support: full
  diff_mode:
    description: Shows the variables that differ.
    support: full
"""

EXAMPLES = r"""
- name: Let the server take writes
  pentad.webstack.mysql_settings:
    login_unix_socket: /run/mysqld/mysqld.sock
    settings:
      super_read_only: false
      read_only: false
"""

RETURN = r"""
live:
  description: Variables that were set while the server ran.
  returned: success
  type: list
  elements: str
  sample: [max_connections]
restart_required:
  description: Variables that differ and that only a restart can change.
  returned: success
  type: list
  elements: str
  sample: [server_id]
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql_connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
    argument_spec,
    connect_to_starting,
    quote,
)

READ_ONLY_VARIABLE = {1193, 1238, 1621}
UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def normalised(value: Any) -> str:
    """A value in the one form in which two spellings of it are equal."""
    text = str(value).strip()
    if text.upper() in ("ON", "TRUE", "YES"):
        return "1"
    if text.upper() in ("OFF", "FALSE", "NO"):
        return "0"
    size = re.fullmatch(r"(\d+)([KMGT])", text.upper())
    if size:
        return str(int(size[1]) * UNITS[size[2]])
    return text


def differing(running: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Variables whose running value is another; unknown ones (options that are no variables) are left out.

    C(log_bin) and its like take a file name in the configuration and read back as a switch.
    """
    result = {}
    for name, value in wanted.items():
        if name not in running:
            continue
        now, then = normalised(running[name]), normalised(value)
        if now != then and not (now == "1" and name == "log_bin"):
            result[name] = (str(running[name]), str(value))
    return result


def literal(value: str) -> Any:
    """The Python value that the driver binds as the server wants it: a number where it is one."""
    text = normalised(value)
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def running_values(connection: Connection, names: list[str]) -> dict[str, Any]:
    """Global variables by name."""
    marks = ", ".join(["%s"] * len(names))
    rows = connection.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", names)
    return {row["Variable_name"]: row["Value"] for row in rows}


def apply(connection: Connection, differences: dict[str, tuple[str, str]], dry: bool) -> tuple[list[str], list[str]]:
    """Set what can be set; returns the names set and those that need a restart."""
    live, restart = [], []
    for name, (_now, then) in differences.items():
        try:
            if dry:
                # Setting a variable to itself tells whether it can be set at all, and changes nothing.
                connection.rows(f"SET GLOBAL {quote(name)} = @@GLOBAL.{quote(name)}")
            else:
                connection.rows(f"SET GLOBAL {quote(name)} = %s", [literal(then)])
            live.append(name)
        except DatabaseError as error:
            if error.errno not in READ_ONLY_VARIABLE:
                raise
            restart.append(name)
    return live, restart


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**argument_spec(), "settings": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    wanted = module.params["settings"]
    try:
        with connect_to_starting(ConnectionOptions.from_params(module.params)) as connection:
            differences = differing(running_values(connection, list(wanted)), wanted) if wanted else {}
            live, restart = apply(connection, differences, module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    shown = {name: differences[name] for name in live}
    module.exit_json(
        changed=bool(live),
        live=live,
        restart_required=restart,
        diff={
            "before": "".join(f"{name} = {now}\n" for name, (now, _then) in shown.items()),
            "after": "".join(f"{name} = {then}\n" for name, (_now, then) in shown.items()),
        },
    )


if __name__ == "__main__":
    main()
