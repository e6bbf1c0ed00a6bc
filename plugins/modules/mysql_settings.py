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
  - Values are compared as the server understands them. A variable that sessions have as well is tried in a session of
    its own, which shows what the server makes of C(utf8), of a C(sql_mode) in another order or of a part of
    C(optimizer_switch); numbers are compared with their suffixes, limits and rounding.
  - Variables that only a restart can change are reported, not an error.
  - The configuration file has to have the same values, so that a restart does not undo them.
options:
  settings:
    description:
      - Variables and their values, as in the configuration file, with dashes or underscores. C(ON), C(1) and V(true)
        are the same, as are C(1M) and C(1048576).
    type: dict
    required: true
  configuration:
    description:
      - File with the same settings. A variable that still differs although the server was started after the file
        changed is one that the server adjusts, or that another file sets; it needs no restart.
    type: path
    version_added: 0.1.0
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

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
    argument_spec,
    connect_to_starting,
    quote,
)
from ..module_utils.mysql.values import (
    NO_LIMITS,
    VARIABLES,
    Limits,
    bound,
    in_order,
    number,
    option_name,
    option_value,
    same,
    variable,
)

# The last one where an option of the start forbids it, as event_scheduler = DISABLED does.
READ_ONLY_VARIABLE = {1193, 1238, 1621, 1290}
ONE_STEP_AT_A_TIME = 1788
# They take a file name in the configuration and read back as a switch.
SWITCHES = {"log_bin"}
POOL = "innodb_buffer_pool_size"
# A pool that has to give up many pages takes longer, and goes on by itself.
POOL_SECONDS = 30

Differences = dict[str, tuple[str, Any]]


def running_values(connection: Connection, names: list[str], scope: str = "GLOBAL") -> dict[str, Any]:
    """Values of variables by name."""
    if not names:
        return {}
    marks = ", ".join(["%s"] * len(names))
    rows = connection.rows(f"SHOW {scope} VARIABLES WHERE Variable_name IN ({marks})", names)
    return {row["Variable_name"]: row["Value"] for row in rows}


def names_to_read(settings: dict[str, Any]) -> list[str]:
    """Variables that the settings may set, and those that comparing their values needs."""
    plain = [option_name(name).removeprefix("loose_") for name in settings]
    pool = ["innodb_buffer_pool_chunk_size", "innodb_buffer_pool_instances"] if POOL in plain else []
    return list(dict.fromkeys([*plain, *(VARIABLES[name] for name in plain if name in VARIABLES), "datadir", *pool]))


def wanted_values(settings: dict[str, Any], running: dict[str, Any]) -> dict[str, Any]:
    """Values by variable; options that are no variables are left out."""
    found = {variable(name, running): value for name, value in settings.items()}
    return {name: value for name, value in found.items() if name is not None and value is not None}


def differing(running: dict[str, Any], wanted: dict[str, Any], limits: dict[str, Limits]) -> Differences:
    """Variables whose running value differs, other spellings of the same value aside."""
    return {
        name: (str(running[name]), wanted[name])
        for name in in_order(wanted)
        if not (
            same(running[name], wanted[name], limits.get(name, NO_LIMITS), running.get("datadir", ""))
            or (name in SWITCHES and str(running[name]) == "ON")
        )
    }


def limits_of(connection: Connection, running: dict[str, Any], names: list[str]) -> dict[str, Limits]:
    """The limits that the server has for numbers."""
    numeric = [name for name in names if number(running[name]) is not None]
    if not numeric:
        return {}
    marks = ", ".join(["%s"] * len(numeric))
    if connection.dialect.mariadb:
        columns = "NUMERIC_MIN_VALUE AS low, NUMERIC_MAX_VALUE AS high FROM information_schema.SYSTEM_VARIABLES"
    else:
        columns = "MIN_VALUE AS low, MAX_VALUE AS high FROM performance_schema.variables_info"
    rows = connection.rows(
        f"SELECT LOWER(VARIABLE_NAME) AS name, {columns} WHERE LOWER(VARIABLE_NAME) IN ({marks})", numeric
    )
    found = {row["name"]: Limits(number(row["low"]), number(row["high"])) for row in rows}
    if POOL in found:
        chunk = int(running.get("innodb_buffer_pool_chunk_size") or 0)
        block = chunk * int(running.get("innodb_buffer_pool_instances") or 1)
        found[POOL] = found[POOL]._replace(block=block)
    return found


def same_in_a_session(options: ConnectionOptions, differences: Differences) -> set[str]:
    """Variables whose wanted value, set in a trial session, reads back as the running value."""
    words = {name: then for name, (now, then) in differences.items() if number(now) is None}
    if not words:
        return set()
    tried = []
    with Connection(options) as trial:
        for name, then in words.items():
            try:
                trial.rows(f"SET SESSION {quote(name)} = %s", [bound(then)])
            except DatabaseError as error:
                # A global variable, or a refused value; setting it globally reports that.
                if error.lost:
                    raise
                continue
            tried.append(name)
        values = running_values(trial, tried, "SESSION")
    return {name for name in tried if values.get(name) == differences[name][0]}


def apply(connection: Connection, differences: Differences, dry: bool) -> tuple[list[str], list[str]]:
    """Set what can be set; returns the names set and those that need a restart."""
    live, restart = [], []
    for name, (now, then) in differences.items():
        try:
            if dry:
                # Setting a variable to itself shows whether it can be set at all, and changes nothing.
                connection.rows(f"SET GLOBAL {quote(name)} = @@GLOBAL.{quote(name)}")
            else:
                connection.rows(f"SET GLOBAL {quote(name)} = %s", [bound(then)])
                # An enumeration given by number, or a set, may mean the value that it had.
                if number(now) is None and running_values(connection, [name])[name] == now:
                    continue
                if name == POOL:
                    wait_for_pool(connection, now)
            live.append(name)
        except DatabaseError as error:
            if error.errno not in READ_ONLY_VARIABLE:
                raise with_setting(error, name, then) from error
            restart.append(name)
    return live, restart


def wait_for_pool(connection: Connection, before: str) -> None:
    """Wait until the size of the pool reads as set: MySQL resizes it in a thread of its own, and shows the old size."""
    deadline = time.monotonic() + POOL_SECONDS
    while running_values(connection, [POOL])[POOL] == before and time.monotonic() < deadline:
        time.sleep(0.1)


def with_setting(error: DatabaseError, name: str, value: Any) -> DatabaseError:
    """The error with the setting that it is about."""
    hint = error.hint
    if error.errno == ONE_STEP_AT_A_TIME:
        hint = "Name this host in mysql_server_enable_gtid, which takes each step and waits until it is complete."
    return DatabaseError(f"{name} = {option_value(value)} was refused: {error.message}", error.errno, hint)


def started_with(connection: Connection, configuration: str | None) -> bool:
    """Whether the server was started after its configuration last changed."""
    if not configuration or not Path(configuration).exists():
        return False
    uptime = connection.rows("SHOW GLOBAL STATUS WHERE Variable_name = 'Uptime'")[0]["Value"]
    return Path(configuration).stat().st_mtime < time.time() - int(uptime)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "settings": {"type": "dict", "required": True},
            "configuration": {"type": "path"},
        },
        supports_check_mode=True,
    )
    settings = module.params["settings"]
    options = ConnectionOptions.from_params(module.params)
    live: list[str] = []
    restart: list[str] = []
    differences: Differences = {}
    try:
        with connect_to_starting(options) as connection:
            running = running_values(connection, names_to_read(settings)) if settings else {}
            wanted = wanted_values(settings, running)
            differences = differing(running, wanted, {})
            if differences:
                differences = differing(running, wanted, limits_of(connection, running, list(differences)))
                for name in same_in_a_session(options, differences):
                    del differences[name]
                live, restart = apply(connection, differences, module.check_mode)
            if restart and started_with(connection, module.params["configuration"]):
                restart = []
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    shown = {name: (now, option_value(then)) for name, (now, then) in differences.items() if name in live}
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
