#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load the time zones of the system into a database server, once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_time_zones
short_description: Load the time zones of the system into a MySQL or MariaDB server, once
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Without them C(CONVERT_TZ) is C(NULL) for every name of a time zone, and C(time_zone) takes offsets only.
  - Does nothing where they are loaded. What is written goes to the replicas through the binary log, so only the primary
    needs it.
  - Uses the program that comes with the server, C(mysql_tzinfo_to_sql) or C(mariadb-tzinfo-to-sql).
options:
  zoneinfo:
    description: Directory of the system's time zones.
    type: path
    default: /usr/share/zoneinfo
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports whether they would be loaded.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Load the names of time zones
  pentad.webstack.mysql_time_zones:
    login_unix_socket: /run/mysqld/mysqld.sock
"""

RETURN = r"""
names:
  description: Number of names of time zones that the server has.
  returned: success
  type: int
  sample: 487
"""

import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec, client_options

PROGRAMS = ("mariadb-tzinfo-to-sql", "mysql_tzinfo_to_sql")
CLIENTS = ("mariadb", "mysql")
# Names are loaded in alphabetical order, so that with one of the last all that matter are there.
LATE = "UTC"


def program(names: tuple[str, ...]) -> str:
    """The first of the programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise DatabaseError(f"None of {', '.join(names)} is installed; they come with the packages of the server.")
    return found


def names(options: ConnectionOptions) -> tuple[int, bool]:
    """How many names of time zones the server has, and whether loading them was completed."""
    with Connection(options) as connection:
        row = connection.one(
            "SELECT COUNT(*) AS names, COALESCE(SUM(Name = %s), 0) AS late FROM mysql.time_zone_name", [LATE]
        )
    return int(row["names"]), bool(int(row["late"]))


def statements(module: AnsibleModule, zoneinfo: str) -> bytes:
    """The statements that load the time zones, from the server's own program."""
    if not Path(zoneinfo, LATE).exists():
        raise DatabaseError(f"{zoneinfo} holds no time zones: install the package tzdata.")
    code, out, err = module.run_command([program(PROGRAMS), zoneinfo], encoding=None)
    if code:
        raise DatabaseError(f"The time zones of {zoneinfo} cannot be read: {err.decode(errors='replace').strip()}")
    return out


def load(module: AnsibleModule, options: ConnectionOptions, content: bytes) -> None:
    """Have the server's client run the statements."""
    if not options.unix_socket:
        raise DatabaseError("login_unix_socket is needed to load time zones.")
    words = [*client_options(options, Path(module.tmpdir)), f"--socket={options.unix_socket}", "mysql"]
    code, _out, err = module.run_command([program(CLIENTS), *words], data=content, binary_data=True)
    if code:
        raise DatabaseError(f"{options.where}: the time zones cannot be loaded: {err.strip()}")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**argument_spec(), "zoneinfo": {"type": "path", "default": "/usr/share/zoneinfo"}},
        supports_check_mode=True,
    )
    options = ConnectionOptions.from_params(module.params)
    try:
        count, complete = names(options)
        if not complete and not module.check_mode:
            load(module, options, statements(module, module.params["zoneinfo"]))
            count, _complete = names(options)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=not complete, names=count)


if __name__ == "__main__":
    main()
