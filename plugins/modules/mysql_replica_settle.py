#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_replica_settle
short_description: Stop the receiver of a replica and wait until all that it has received is applied
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Stops the receiver of every channel, waits until its applier has applied everything that was received, and returns
    what the server has then. So replicas of a primary that is gone can be compared.
  - An applier that was stopped is started. One that stops on an error ends the waiting at once, and RV(error) says why.
  - A server without a channel is only read.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Stops nothing and waits for nothing. What is received and not applied is in RV(received).
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: What is stopped stays stopped.
    support: full
options:
  timeout:
    description: Seconds to wait until everything is applied. What was applied until then stays applied.
    type: int
    default: 600
  source_path:
    description: File with the last reading of the source, which the verdict of the node keeps.
    type: path
seealso:
  - module: pentad.webstack.mysql_replication_channel
  - module: pentad.webstack.mysql_replication_info
"""

EXAMPLES = r"""
- name: Apply all that was received of a primary that is gone
  pentad.webstack.mysql_replica_settle:
    login_unix_socket: /run/mysqld/mysqld.sock
  register: settled
"""

RETURN = r"""
history:
  description: What the server has executed, as M(pentad.webstack.mysql_replication_info) returns it.
  returned: success
  type: dict
  sample: {mariadb: false, identity: 3e11fa47-71ca-11e1-9e33-c80aa9429562, executed:
    "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77", applied: "", position: ""}
received:
  description: The same with what it has received and not applied.
  returned: success
  type: dict
  sample: {mariadb: false, identity: 3e11fa47-71ca-11e1-9e33-c80aa9429562, executed:
    "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77", applied: "", position: ""}
unapplied:
  description: How many transactions it has received and not applied.
  returned: success
  type: int
  sample: 0
applied:
  description: How many transactions were applied meanwhile.
  returned: success
  type: int
  sample: 496
error:
  description: Why its applier has stopped; empty if it has not.
  returned: success
  type: str
  sample: ""
source:
  description: The last reading of the source, if the file O(source_path) has one; otherwise empty.
  returned: success
  type: dict
  sample: {}
channels:
  description: Names of the channels.
  returned: success
  type: list
  elements: str
  sample: [""]
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec
from ..module_utils.replication.channel import ChannelError, Manager
from ..module_utils.replication.facts import Collector
from ..module_utils.replication.history import History
from ..module_utils.replication.model import OFF, Channel, Server, build, unapplied

PAUSE = 0.2


def read(connection: Connection) -> Server:
    """The server with its channels and positions."""
    snapshot = Collector(connection).essentials()
    refused = snapshot["denied"].get("variables") or snapshot["denied"].get("replica_status")
    if refused:
        raise DatabaseError(f"{refused['error']} {refused['grant']}".strip(), refused["errno"])
    return build(snapshot)


def left(server: Server) -> int:
    """Transactions of all channels that are received and not applied."""
    return sum(unapplied(server, channel) or 0 for channel in server.channels)


def broken(server: Server, channel: Channel) -> str:
    """Why what a channel has received cannot be applied; empty if it can."""
    errors = channel.worker_errors or ([(channel.sql_errno, channel.sql_error)] if channel.sql_errno else [])
    error = f"{errors[0][0]}: {errors[0][1]}" if errors and channel.sql_state == OFF else ""
    count = unapplied(server, channel) or 0
    if not (server.mariadb and channel.io_state == OFF and channel.sql_state == OFF and count):
        return error
    # MariaDB deletes its relay logs when one of the two is started while neither runs.
    told = f"{error or 'receiver and applier are stopped'}; START SLAVE deletes the {count} transactions that are only"
    return f"{told} in its relay logs: save these first"


def why_broken(server: Server) -> str:
    """Why what was received cannot be applied, by the first channel that has a reason; empty without one."""
    return next((reason for channel in server.channels if (reason := broken(server, channel))), "")


def with_received(server: Server) -> History:
    """What the server has, and what it has received."""
    history = History.of(server)
    received = ",".join(channel.received for channel in server.channels if channel.received)
    if not received:
        return history
    if server.mariadb:
        return replace(history, applied=f"{history.applied},{received}", position=f"{history.position},{received}")
    return replace(history, executed=f"{history.executed},{received}")


def stop_receiving(connection: Connection, server: Server, check_mode: bool) -> bool:
    """Stop the receivers, and start appliers that are stopped; returns whether that changed anything."""
    changed = False
    for channel in server.channels:
        manager = Manager(connection, channel.name, check_mode)
        # On MariaDB what was received outlasts a repair of the applier only while the receiver runs.
        if server.mariadb and broken(server, channel):
            continue
        if not server.mariadb or channel.io_state != OFF:
            changed = manager.start_applier() or changed
        changed = manager.stop_receiver() or changed
    return changed


def settle(connection: Connection, timeout: float, check_mode: bool) -> tuple[Server, bool, str]:
    """Stop what receives and wait for what applies; the server, whether that changed anything, and an error."""
    server = read(connection)
    changed = stop_receiving(connection, server, check_mode)
    deadline = time.monotonic() + timeout
    while not check_mode:
        server = read(connection)
        if why_broken(server) or not left(server):
            break
        if time.monotonic() >= deadline:
            delays = [channel.delay for channel in server.channels if channel.delay]
            why = f" (it applies {max(delays)} s late by its configuration)" if delays else ""
            raise ChannelError(
                f"{left(server)} received transaction(s) are not applied after {timeout:.0f} s{why}; what was applied "
                "stays applied: run this again, or raise mysql_failover_apply_timeout."
            )
        time.sleep(PAUSE)
    return server, changed, why_broken(server)


def last_reading(path: str | None, server: Server) -> dict[str, Any]:
    """The history of the source that the verdict of the node kept; empty where it is of another source."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    # MariaDB forgets the id of a source when it restarts.
    sources = {channel.source_uuid or str(channel.source_server_id or "") for channel in server.channels} - {""}
    # A server whose channel was removed in a failover that was interrupted has no source any more.
    return found if isinstance(found, dict) and (not sources or found.get("identity") in sources) else {}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "timeout": {"type": "int", "default": 600},
            "source_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        with Connection(ConnectionOptions.from_params(params)) as connection:
            before = left(read(connection))
            server, changed, error = settle(connection, params["timeout"], module.check_mode)
    except (DatabaseError, ChannelError) as failure:
        module.fail_json(msg=str(failure))
    remaining = left(server)
    module.exit_json(
        changed=changed,
        history=History.of(server).as_dict(),
        received=with_received(server).as_dict(),
        unapplied=remaining,
        applied=max(before - remaining, 0),
        error=error,
        source=last_reading(params["source_path"], server),
        channels=[channel.name for channel in server.channels],
    )


if __name__ == "__main__":
    main()
