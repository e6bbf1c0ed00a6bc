#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_replication_info
short_description: Gather the role, the sources and the transactions of a database server
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Returns what is needed to find the primary of a set - identity, read-only flags, channels with the identity that
    each recorded of its source, executed transactions, databases.
  - Gives no verdict; M(pentad.webstack.mysql_replication_verify) does.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Changes nothing.
    support: full
options:
  primary_marker:
    description: File that exists on the node that was made the primary last.
    type: path
  handover_marker:
    description: File with the name of the server that this one was handing over to.
    type: path
seealso:
  - module: pentad.webstack.mysql_replication_verify
"""

EXAMPLES = r"""
- name: Gather the role of the server
  pentad.webstack.mysql_replication_info:
    login_unix_socket: /run/mysqld/mysqld.sock
    primary_marker: /etc/mysql/webstack-primary
    handover_marker: /etc/mysql/webstack-handover
  register: server
"""

RETURN = r"""
engine:
  description: Flavor, version and identity of the server.
  returned: success
  type: dict
  sample: {flavor: mysql, version: 9.7.0, version_tuple: [9, 7, 0], server_id: 2, server_uuid:
    3e11fa47-71ca-11e1-9e33-c80aa9429562, report_host: 192.0.2.32}
role:
  description: >-
    Role as observed (V(replica), V(standalone), V(group_primary) or V(group_secondary)), the read-only flags, and
    whether the server takes writes.
  returned: success
  type: dict
  sample: {observed: standalone, read_only: false, super_read_only: false, offline_mode: false, writable: true}
channels:
  description: >-
    Each channel with its source (address, port, user, and the identity that was recorded when it was connected last)
    and the state of its receiver (V(on), V(connecting) or V(off)) with its last error.
  returned: success
  type: list
  elements: dict
  sample:
    - name: ""
      source: {host: 192.0.2.31, port: 3306, user: replication, id: 4e11fa47-71ca-11e1-9e33-c80aa9429562}
      receiver: {state: "on", errno: 0, error: ""}
history:
  description: >-
    What the server has executed, in C(executed) - C(gtid_executed) of MySQL, C(gtid_binlog_state) of MariaDB. Of
    MariaDB also C(gtid_slave_pos) in C(applied) and C(gtid_current_pos) in C(position). C(identity) is C(server_uuid),
    or C(server_id) on MariaDB, which identifies it in its followers and in its own transactions.
  returned: success
  type: dict
  sample: {mariadb: false, identity: 3e11fa47-71ca-11e1-9e33-c80aa9429562, executed:
    "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77", applied: "", position: ""}
acknowledging:
  description: >-
    How many replicas have to acknowledge each commit where this server is the primary (C(wanted), V(0) for none), and
    how many are connected to it that do (C(connected)).
  returned: success
  type: dict
  sample: {wanted: 1, connected: 2}
schemas:
  description: Databases that are not the server's own.
  returned: success
  type: list
  elements: str
  sample: [shop]
primary_marker:
  description: Whether the file O(primary_marker) exists.
  returned: success
  type: bool
  sample: true
handed_over_to:
  description: The name in the file O(handover_marker), or nothing.
  returned: success
  type: str
  sample: ""
events:
  description: >-
    Scheduled events that run here (C(enabled)), and those that have run on no server but the primary of that time and
    are stopped here since (C(waiting)).
  returned: success
  type: dict
  sample: {enabled: [{schema: shop, name: tidy}], waiting: []}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec, user_schemas
from ..module_utils.mysql.events import WAITING
from ..module_utils.replication.facts import gather
from ..module_utils.replication.history import History
from ..module_utils.replication.model import Channel, Server, as_int, describe, is_on

ENABLED = {"ENABLED"}


def channel_result(channel: Channel) -> dict[str, Any]:
    """The part of the result on one channel."""
    return {
        "name": channel.name,
        "source": {
            "host": channel.source_host,
            "port": channel.source_port,
            "user": channel.source_user,
            "id": channel.source_uuid or str(channel.source_server_id or ""),
        },
        "receiver": {"state": channel.io_state, "errno": channel.io_errno, "error": channel.io_error},
    }


def acknowledging(connection: Connection, server: Server) -> dict[str, int]:
    """How many replicas have to acknowledge a commit, and how many are there for it."""
    if not is_on(server.setting("semi_sync_source_enabled")):
        return {"wanted": 0, "connected": 0}
    name = connection.dialect["semi_sync_source_clients"]
    row = connection.one("SHOW GLOBAL STATUS WHERE Variable_name = %s", (name,))
    wanted = as_int(server.setting("semi_sync_source_wait_for")) or 1
    return {"wanted": wanted, "connected": as_int(row.get("Value")) or 0}


def server_result(server: Server) -> dict[str, Any]:
    """The part of the result on the server itself."""
    about = describe(server)
    fences = {name: value for name, value in about["role"].items() if name != "boot_read_only"}
    # A member of a group that is thawed can still look writable; the group refuses its writes.
    writable = server.writable and server.role != "group_secondary"
    return {
        "engine": about["engine"],
        "role": {**fences, "writable": writable},
        "channels": [channel_result(channel) for channel in server.channels],
        "history": History.of(server).as_dict(),
    }


def events(connection: Connection) -> dict[str, list[dict[str, str]]]:
    """Scheduled events that run here, and those that are stopped because this server was a replica."""
    rows = connection.rows(
        "SELECT EVENT_SCHEMA AS s, EVENT_NAME AS n, STATUS AS status FROM information_schema.EVENTS ORDER BY 1, 2"
    )
    return {
        kind: [{"schema": row["s"], "name": row["n"]} for row in rows if (row["status"] in words)]
        for kind, words in (("enabled", ENABLED), ("waiting", WAITING))
    }


def content(marker: str | None) -> str:
    """The name in a file; empty where there is none."""
    try:
        return Path(marker).read_text(encoding="utf-8").strip() if marker else ""
    except FileNotFoundError:
        return ""


def main() -> None:
    """Run the module."""
    options = {name: {"type": "path"} for name in ("primary_marker", "handover_marker")}
    module = AnsibleModule(argument_spec={**argument_spec(), **options}, supports_check_mode=True)
    marker = module.params["primary_marker"]
    try:
        with Connection(ConnectionOptions.from_params(module.params)) as connection:
            server = gather(connection)
            found = {
                **server_result(server),
                "acknowledging": acknowledging(connection, server),
                "schemas": user_schemas(connection),
                "events": events(connection),
            }
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    found.update(
        primary_marker=bool(marker) and Path(marker).exists(),
        handed_over_to=content(module.params["handover_marker"]),
    )
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
