#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch a running MySQL server to GTIDs, step by step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_gtid_mode
short_description: Switch a running MySQL server to GTIDs, step by step
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Takes a server with data from C(gtid_mode=OFF) to C(ON) while it runs, in the order that the manual prescribes.
  - All servers of a replication set take a step before any of them takes the next one; run it on all of them at once,
    a task for each step.
  - A step that was taken is not taken again, so an interrupted run is finished by the next one.
  - The configuration file has to have the mode too, so that a restart does not undo it.
options:
  step:
    description:
      - V(permit) forbids statements that cannot have a GTID, and lets the server take transactions with and without one
        from its source (C(OFF_PERMISSIVE)).
      - V(generate) gives new transactions a GTID (C(ON_PERMISSIVE)), and waits until the last one without is committed.
      - V(require) waits until a replica has applied what its source committed without a GTID, and refuses such
        transactions from then on (C(ON)).
    type: str
    choices: [permit, generate, require]
    required: true
  sources:
    description: What O(step=generate) returned as RV(position) on each server of the set. Needed for O(step=require).
    type: list
    elements: dict
    default: []
    suboptions:
      server_uuid: {description: UUID of the server., type: str, required: true}
      file: {description: Its binary log., type: str, required: true}
      offset: {description: Offset in it., type: int, required: true}
  timeout:
    description: Seconds within which a step has to be complete.
    type: int
    default: 600
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports whether the step would be taken.
    support: full
  diff_mode:
    description: Shows the modes.
    support: full
"""

EXAMPLES = r"""
- name: Take transactions with GTIDs
  pentad.webstack.mysql_gtid_mode:
    login_unix_socket: /run/mysqld/mysqld.sock
    step: permit

- name: Give transactions GTIDs
  pentad.webstack.mysql_gtid_mode:
    login_unix_socket: /run/mysqld/mysqld.sock
    step: generate
  register: generated

- name: Refuse transactions without GTIDs
  pentad.webstack.mysql_gtid_mode:
    login_unix_socket: /run/mysqld/mysqld.sock
    step: require
    sources:
      - server_uuid: c0ffee00-0000-11f0-8000-000000000001
        file: binlog.000007
        offset: 1042
"""

RETURN = r"""
gtid_mode:
  description: Mode of the server after the step.
  returned: success
  type: str
  sample: ON_PERMISSIVE
position:
  description: Where the server's binary log ended when nothing without a GTID was left to be committed.
  returned: for O(step=generate)
  type: dict
  sample: {server_uuid: c0ffee00-0000-11f0-8000-000000000001, file: binlog.000007, offset: 1042}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec

MODES = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"]
AFTER = {"permit": "OFF_PERMISSIVE", "generate": "ON_PERMISSIVE", "require": "ON"}
WITHOUT_GTID = "Ongoing_anonymous_transaction_count"


class Switch:
    """The switch of one server; with dry nothing is changed."""

    def __init__(self, connection: Connection, timeout: int, dry: bool) -> None:
        self.connection, self.timeout, self.dry = connection, timeout, dry
        self.deadline = time.monotonic() + timeout
        self.changed = False

    @property
    def mode(self) -> str:
        """Mode of the server."""
        return str(self.connection.value("SELECT @@GLOBAL.gtid_mode"))

    def step_to(self, wanted: str) -> None:
        """Take the step to a mode, unless it has been taken."""
        if MODES.index(self.mode) < MODES.index(wanted):
            self.changed = True
            if not self.dry:
                self.connection.rows("SET GLOBAL gtid_mode = %s", [wanted])

    def forbid(self) -> None:
        """Forbid statements that cannot have a GTID, once none is running."""
        for wanted in ("WARN", "ON"):
            if str(self.connection.value("SELECT @@GLOBAL.enforce_gtid_consistency")) in ("ON", wanted):
                continue
            self.changed = True
            if not self.dry:
                self._until(lambda value=wanted: self._forbidden(value), "a transaction that cannot have a GTID")

    def _forbidden(self, value: str) -> bool:
        try:
            self.connection.rows("SET GLOBAL enforce_gtid_consistency = %s", [value])
        except DatabaseError as error:
            # It is refused while such a transaction runs.
            if error.lost or error.denied:
                raise
            return False
        return True

    def settle(self) -> None:
        """Wait until the last transaction without a GTID is committed."""
        if not self.dry:
            self._until(self._none_left, "a transaction that began without a GTID")

    def _none_left(self) -> bool:
        rows = self.connection.rows(f"SHOW GLOBAL STATUS WHERE Variable_name = '{WITHOUT_GTID}'")
        return not rows or int(rows[0]["Value"]) == 0

    def _until(self, condition: Any, what: str) -> None:
        while not condition():
            if time.monotonic() > self.deadline:
                raise DatabaseError(
                    f"{self.connection.where}: {what} is still running after {self.timeout} s: end it, see "
                    "information_schema.INNODB_TRX, and run this again; the steps that were taken stay."
                )
            time.sleep(0.2)

    def position(self) -> dict[str, Any]:
        """Where the binary log ends."""
        row = self.connection.one(self.connection.dialect["show_binlog_status"])
        if not row:
            raise DatabaseError(
                f"{self.connection.where} writes no binary log, so nothing can follow it: "
                "remove skip_log_bin from its configuration and restart it."
            )
        return {
            "server_uuid": str(self.connection.value("SELECT @@GLOBAL.server_uuid")),
            "file": row["File"],
            "offset": int(row["Position"]),
        }

    def catch_up(self, sources: list[dict[str, Any]]) -> None:
        """Wait until what the sources committed without a GTID is applied here."""
        for channel in self.connection.rows(self.connection.dialect["show_replica_status"]):
            uuid, name = channel["Source_UUID"], channel["Channel_Name"]
            source = next((each for each in sources if each["server_uuid"] == uuid), None)
            if source is None:
                raise DatabaseError(
                    f"{self.connection.where} follows {channel['Source_Host']} ({uuid}), which has not taken the step: "
                    "name both hosts in mysql_server_enable_gtid, or take that server to ON_PERMISSIVE first."
                )
            if not self.dry:
                self._apply(source, str(name))

    def _apply(self, source: dict[str, Any], channel: str) -> None:
        function = "SOURCE_POS_WAIT" if self.connection.dialect.version >= (8, 0, 26) else "MASTER_POS_WAIT"
        with self.connection.longer(self.timeout):
            done = self.connection.value(
                f"SELECT {function}(%s, %s, %s, %s)", [source["file"], source["offset"], self.timeout, channel]
            )
        if done is None or int(done) < 0:
            raise DatabaseError(
                f"{self.connection.where} has not applied {source['file']}:{source['offset']} of its source within "
                f"{self.timeout} s: check SHOW REPLICA STATUS there, and run this again; steps that were taken stay."
            )


def run(connection: Connection, params: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Take one step."""
    if connection.dialect.mariadb:
        raise DatabaseError("MariaDB always has GTIDs; this is for MySQL.")
    server = Switch(connection, params["timeout"], dry)
    before = server.mode
    result: dict[str, Any] = {}
    if before != "ON":
        if params["step"] == "permit":
            server.forbid()
        if params["step"] == "require":
            server.catch_up(params["sources"])
            server.settle()
        server.step_to(AFTER[params["step"]])
    if params["step"] == "generate":
        if before != "ON":
            server.settle()
        result["position"] = server.position()
    after = server.mode
    shown = AFTER[params["step"]] if dry and server.changed else after
    result["diff"] = {"before": f"gtid_mode = {before}\n", "after": f"gtid_mode = {shown}\n"}
    return {"changed": server.changed, "gtid_mode": after, **result}


def main() -> None:
    """Run the module."""
    source = {
        "server_uuid": {"type": "str", "required": True},
        "file": {"type": "str", "required": True},
        "offset": {"type": "int", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "step": {"type": "str", "choices": list(AFTER), "required": True},
            "sources": {"type": "list", "elements": "dict", "default": [], "options": source},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    try:
        with Connection(ConnectionOptions.from_params(module.params)) as connection:
            result = run(connection, module.params, module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
