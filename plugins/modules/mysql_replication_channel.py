#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_replication_channel
short_description: Configure, start, stop or remove a replication channel of MySQL or MariaDB
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Configures one replication channel, and reports a change only when something changed.
  - A running channel with the right settings is never touched. An applier that stopped on an error is never started
    again - M(pentad.webstack.mysql_replication_verify) says what to do about it.
  - Replication is by GTID, with C(SOURCE_AUTO_POSITION=1) on MySQL and C(MASTER_USE_GTID=slave_pos) on MariaDB.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Can run in check mode, without changing the server.
    support: full
  diff_mode:
    description: Returns what has changed, when in diff mode.
    support: full
    details: Passwords are never shown.
  idempotent:
    description: Running it again changes nothing.
    support: full
options:
  state:
    description:
      - V(configured) applies the settings. Threads that must be stopped for that are started again if they ran.
      - V(started) does the same where O(source_host) is given, and starts what is stopped.
      - V(stopped) stops receiver and applier.
      - V(absent) removes the channel (C(RESET REPLICA ALL)). Refused while received transactions are not applied,
        unless O(force=true).
    type: str
    choices: [started, stopped, configured, absent]
    default: started
  channel:
    description: Name of the channel (MySQL) or connection (MariaDB).
    type: str
    default: ""
    aliases: [connection_name]
  source_host:
    description: Address of the source.
    type: str
  source_port:
    description: TCP port of the source.
    type: int
    default: 3306
  source_user:
    description: Replication account on the source.
    type: str
  source_password:
    description:
      - Password of O(source_user).
      - Compared with the stored one where that can be read, in C(mysql.slave_master_info) on MySQL and in the server's
        C(master.info) on MariaDB over O(login_unix_socket). Elsewhere it is set when another setting changes or the
          source refuses the login.
    type: str
  source_ssl:
    description: Whether the channel is encrypted.
    type: bool
    default: true
  source_ssl_ca:
    description: Path, on the replica, of the authority that signed the source's certificate.
    type: str
  source_ssl_verify:
    description: Whether the source's certificate is verified. True when O(source_ssl_ca) is given, otherwise left as
      it is.
    type: bool
  get_source_public_key:
    description: Whether to request the public key of the source, which C(caching_sha2_password) needs without TLS
      (MySQL).
    type: bool
    default: false
  connect_retry:
    description: Seconds between two attempts to connect.
    type: int
    default: 5
  retry_count:
    description: Number of attempts before the receiver gives up for good. Without effect before MariaDB 12.
    type: int
    default: 86400
  heartbeat_period:
    description: Seconds without an event after which the source sends a heartbeat.
    type: float
    default: 2
  delay:
    description: Seconds that the applier stays behind on purpose.
    type: int
    default: 0
  filters:
    description:
      - Replication filters, exactly as given. An empty dictionary removes all. Left alone when not given.
      - They do not survive a restart of the server, unless its option file has them, too.
    type: dict
    suboptions:
      do_db: {description: Databases to replicate., type: list, elements: str, default: []}
      ignore_db: {description: Databases not to replicate., type: list, elements: str, default: []}
      do_table: {description: Tables to replicate., type: list, elements: str, default: []}
      ignore_table: {description: Tables not to replicate., type: list, elements: str, default: []}
      wild_do_table: {description: Patterns of tables to replicate., type: list, elements: str, default: []}
      wild_ignore_table: {description: Patterns of tables not to replicate., type: list, elements: str, default: []}
  demote:
    description:
      - When a former MariaDB primary gets its first channel, take the position of its own binary log over
        (C(MASTER_DEMOTE_TO_SLAVE)). MySQL does not need it.
    type: bool
    default: false
  force:
    description: With O(state=absent), lose received transactions that are not applied.
    type: bool
    default: false
seealso:
  - module: pentad.webstack.mysql_replication_verify
"""

EXAMPLES = r"""
- name: This server follows db1
  pentad.webstack.mysql_replication_channel:
    login_user: root
    login_unix_socket: /run/mysqld/mysqld.sock
    source_host: db1.example.com
    source_user: repl
    source_password: "{{ vault_replication_password }}"
    source_ssl_ca: /etc/mysql/tls/ca.pem

- name: Stop replication for a moment
  pentad.webstack.mysql_replication_channel:
    login_unix_socket: /run/mysqld/mysqld.sock
    state: stopped

- name: This server follows nobody any more
  pentad.webstack.mysql_replication_channel:
    login_unix_socket: /run/mysqld/mysqld.sock
    state: absent
"""

RETURN = r"""
statements:
  description: What was run, or would be in check mode. Passwords are masked.
  returned: always
  type: list
  elements: str
  sample: ["START REPLICA IO_THREAD FOR CHANNEL ''"]
settings:
  description: Settings of the channel afterwards.
  returned: for O(state=started) and O(state=configured)
  type: dict
  sample: {source_host: db1.example.com, source_port: 3306, source_ssl: true}
applier_error:
  description: Why the applier has stopped. It was not started again.
  returned: when the applier stopped on an error
  type: dict
  sample: {errno: 1062, message: "Could not execute Write_rows event on table shop.orders; Duplicate entry '7' for
    key 'PRIMARY'"}
notes:
  description: Options that this server does not support.
  returned: always
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec
from ..module_utils.replication.channel import FILTERS, ChannelError, Manager


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = argument_spec()
    items = {"type": "list", "elements": "str", "default": []}
    spec.update(
        state={"type": "str", "choices": ["started", "stopped", "configured", "absent"], "default": "started"},
        channel={"type": "str", "default": "", "aliases": ["connection_name"]},
        source_host={"type": "str"},
        source_port={"type": "int", "default": 3306},
        source_user={"type": "str"},
        source_password={"type": "str", "no_log": True},
        source_ssl={"type": "bool", "default": True},
        source_ssl_ca={"type": "str"},
        source_ssl_verify={"type": "bool"},
        get_source_public_key={"type": "bool", "default": False, "no_log": False},
        connect_retry={"type": "int", "default": 5},
        retry_count={"type": "int", "default": 86400},
        heartbeat_period={"type": "float", "default": 2},
        delay={"type": "int", "default": 0},
        filters={"type": "dict", "options": {name: dict(items) for name in FILTERS}},
        demote={"type": "bool", "default": False},
        force={"type": "bool", "default": False},
    )
    return spec


def wanted(params: dict[str, Any]) -> dict[str, Any]:
    """The wanted settings; one that is None is left as it is."""
    names = (
        "source_host", "source_port", "source_user", "source_ssl", "source_ssl_ca", "source_ssl_verify",
        "get_source_public_key", "connect_retry", "retry_count", "heartbeat_period", "delay",
    )  # fmt: skip
    found = {name: params[name] for name in names}
    if found["source_ssl_verify"] is None and found["source_ssl"] and found["source_ssl_ca"]:
        found["source_ssl_verify"] = True
    found["auto_position"] = True
    return found


def apply(manager: Manager, params: dict[str, Any]) -> dict[str, Any]:
    """Configure, start, stop or remove the channel."""
    state = params["state"]
    if state == "absent":
        return {"changed": manager.remove(params["force"])}
    if state == "stopped":
        return {"changed": manager.stop()}
    result: dict[str, Any] = {"changed": False}
    if params["source_host"] or params["filters"] is not None:
        settings = wanted(params) if params["source_host"] else {}
        done = manager.configure(settings, params["source_password"], params["filters"], params["demote"])
        result.update(changed=done["changed"], settings=done["after"])
        result["diff"] = {"before": done["before"], "after": done["after"]}
    if state == "started":
        result["changed"] = manager.start() or result["changed"]
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_spec(),
        supports_check_mode=True,
        required_if=[("state", "configured", ("source_host", "filters"), True)],
        required_by={"source_host": "source_user"},
    )
    params = module.params
    if (
        params["heartbeat_period"] < 0
        or params["delay"] < 0
        or params["connect_retry"] < 1
        or params["retry_count"] < 0
    ):
        module.fail_json(msg="heartbeat_period, delay and retry_count must not be negative, connect_retry at least 1.")
    manager = None
    try:
        with Connection(ConnectionOptions.from_params(params)) as connection:
            manager = Manager(connection, params["channel"], module.check_mode)
            result = apply(manager, params)
            _server, channel = manager.read()
    except (DatabaseError, ChannelError) as error:
        module.fail_json(msg=str(error), statements=manager.statements if manager else [])
    if channel is not None and (channel.sql_errno or channel.worker_errors) and channel.sql_state == "off":
        errno, message = (channel.worker_errors or [(channel.sql_errno, channel.sql_error)])[0]
        result["applier_error"] = {"errno": errno, "message": message}
        module.warn(f"The applier has stopped on error {errno} and was not started again: {message}")
    result.update(statements=manager.statements, notes=manager.notes)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
