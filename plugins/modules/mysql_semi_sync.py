#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch semi-synchronous replication on while the servers run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_semi_sync
short_description: Switch semi-synchronous replication on while MySQL or MariaDB servers run
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Semi-synchronous replication is switched on in three steps, each of them on all servers before the next one, so that
    no write waits for a replica that has not registered yet.
  - Both sides are switched on everywhere, so that a switchover needs nothing. A server without replicas of its own does
    not wait for any, because the applier of a replica waits as sessions do.
options:
  step:
    description:
      - V(load) installs the plugins of MySQL that are not there yet; MariaDB has no plugin.
      - V(register) switches the side of the replica on, and restarts a receiver that runs and does not acknowledge,
        because only one that starts afterwards does.
      - V(wait) has the server wait for an acknowledgement before it confirms a commit, for as long as it has a replica.
    type: str
    choices: [load, register, wait]
    required: true
notes:
  - A replica that is C(super_read_only) lets no plugin be installed. It is only C(read_only) for that moment, in which
    administrators could write to it.
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports what would be run.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Let the replica acknowledge what it receives
  pentad.webstack.mysql_semi_sync:
    login_unix_socket: /run/mysqld/mysqld.sock
    step: register
"""

RETURN = r"""
statements:
  description: What was run, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["SET GLOBAL rpl_semi_sync_replica_enabled = ON"]
"""

import contextlib
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
    argument_spec,
    connect_to_starting,
    quote,
)
from ..module_utils.replication.facts import Collector
from ..module_utils.replication.model import OFF, build, is_on

PLUGINS = {"rpl_semi_sync_source": "semisync_source.so", "rpl_semi_sync_replica": "semisync_replica.so"}
ACTIVE = "SELECT PLUGIN_NAME AS name FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'"


class Switch:
    """Switches one server; with dry it plans and runs nothing."""

    def __init__(self, connection: Connection, dry: bool = False) -> None:
        self.connection, self.dry = connection, dry
        self.dialect = connection.dialect
        self.statements: list[str] = []

    def _run(self, statement: str) -> None:
        self.statements.append(statement)
        if not self.dry:
            # A receiver that is about to connect keeps its STOP waiting.
            with self.connection.longer(60):
                self.connection.rows(statement)

    def _is_on(self, name: str, kind: str = "VARIABLES") -> bool:
        row = self.connection.one(f"SHOW GLOBAL {kind} WHERE Variable_name = %s", (name,))
        return is_on(row.get("Value"))

    def load(self) -> None:
        """Install the plugins that are missing."""
        if self.dialect.mariadb:
            return
        active = {row["name"] for row in self.connection.rows(ACTIVE)}
        missing = [name for name in PLUGINS if name not in active]
        if not missing:
            return
        with self._open_to_administrators():
            self._run("SET SESSION sql_log_bin = OFF")
            for name in missing:
                self._run(f"INSTALL PLUGIN {name} SONAME '{PLUGINS[name]}'")

    @contextlib.contextmanager
    def _open_to_administrators(self) -> Iterator[None]:
        """Lift super_read_only, and not read_only, for a moment; plugins are listed in a table."""
        fenced = self._is_on("super_read_only")
        if fenced:
            self._run("SET GLOBAL super_read_only = OFF")
        try:
            yield
        finally:
            if fenced:
                self._run("SET GLOBAL super_read_only = ON")

    def register(self) -> None:
        """Let receivers acknowledge; those that run and do not yet are restarted."""
        variable = self.dialect["semi_sync_replica_enabled"]
        # A run that was killed may have switched it on, and restarted no receiver.
        if not self._is_on(variable):
            self._run(f"SET GLOBAL {quote(variable)} = ON")
        elif self._is_on(self.dialect["semi_sync_replica_status"], "STATUS"):
            return
        server = build(Collector(self.connection).channel_rows())
        for channel in server.channels:
            if channel.io_state == OFF:
                continue
            for verb in ("stop_replica", "start_replica"):
                self._run(self._receiver(self.dialect[verb], channel.name))

    def _receiver(self, words: str, name: str) -> str:
        quoted = "'" + name.replace("\\", "\\\\").replace("'", "''").replace("%", "%%") + "'"
        return f"{words} {quoted} IO_THREAD" if self.dialect.mariadb else f"{words} IO_THREAD FOR CHANNEL {quoted}"

    def wait(self) -> None:
        """Have commits wait for an acknowledgement."""
        variable = self.dialect["semi_sync_source_enabled"]
        if not self._is_on(variable):
            # First, or the applier of a replica would wait.
            self._run(f"SET GLOBAL {quote(self.dialect['semi_sync_source_wait_alone'])} = OFF")
            self._run(f"SET GLOBAL {quote(variable)} = ON")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "step": {"type": "str", "choices": ["load", "register", "wait"], "required": True},
        },
        supports_check_mode=True,
    )
    try:
        with connect_to_starting(ConnectionOptions.from_params(module.params)) as connection:
            switch = Switch(connection, module.check_mode)
            getattr(switch, module.params["step"])()
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(switch.statements), statements=switch.statements)


if __name__ == "__main__":
    main()
