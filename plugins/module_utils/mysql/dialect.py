# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of names that differ between MySQL 8.0, 8.4, 9.x and MariaDB 10.11, 11.8.

Each row says in which engine a name is valid, the version it came with and the version it went with.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Tuple

Version = Tuple[int, ...]
MYSQL, MARIADB = "mysql", "mariadb"

# The first version that the rules are written for, and the first that they are not. Tried on real servers: MySQL 9.7,
# MariaDB 10.11 and 11.8; MySQL 8.0 and 8.4 follow their documentation.
SUPPORTED = {MYSQL: ((8, 0, 23), (10, 0)), MARIADB: ((10, 11), (12, 0))}


class Form(NamedTuple):
    """How versions of one engine, from the first up to but not including the last, write a thing."""

    flavor: str
    since: Version
    until: Version | None
    text: str


_ANY: Version = (0,)
TABLE: dict[str, list[Form]] = {
    # statements
    "show_replica_status": [
        Form(MYSQL, (8, 0, 22), None, "SHOW REPLICA STATUS"),
        Form(MARIADB, (10, 5), None, "SHOW ALL REPLICAS STATUS"),
    ],
    "show_binlog_status": [
        Form(MYSQL, _ANY, (8, 2), "SHOW MASTER STATUS"),
        Form(MYSQL, (8, 2), None, "SHOW BINARY LOG STATUS"),
        Form(MARIADB, _ANY, None, "SHOW MASTER STATUS"),
    ],
    "show_replicas": [
        Form(MYSQL, (8, 0, 22), None, "SHOW REPLICAS"),
        Form(MARIADB, (10, 5), None, "SHOW REPLICA HOSTS"),
    ],
    "change_source": [
        Form(MYSQL, (8, 0, 23), None, "CHANGE REPLICATION SOURCE TO"),
        Form(MARIADB, _ANY, None, "CHANGE MASTER"),
    ],
    "reload_tls": [
        Form(MYSQL, (8, 0, 16), None, "ALTER INSTANCE RELOAD TLS"),
        Form(MARIADB, (10, 4), None, "FLUSH NO_WRITE_TO_BINLOG SSL"),
    ],
    "wait_gtid": [
        Form(MYSQL, _ANY, None, "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)"),
        Form(MARIADB, _ANY, None, "SELECT MASTER_GTID_WAIT(%s, %s)"),
    ],
    # columns of the replica status
    "io_running": [Form(MYSQL, (8, 0, 22), None, "Replica_IO_Running"), Form(MARIADB, _ANY, None, "Slave_IO_Running")],
    "sql_running": [
        Form(MYSQL, (8, 0, 22), None, "Replica_SQL_Running"),
        Form(MARIADB, _ANY, None, "Slave_SQL_Running"),
    ],
    "seconds_behind": [
        Form(MYSQL, (8, 0, 22), None, "Seconds_Behind_Source"),
        Form(MARIADB, _ANY, None, "Seconds_Behind_Master"),
    ],
    "source_host": [Form(MYSQL, (8, 0, 22), None, "Source_Host"), Form(MARIADB, _ANY, None, "Master_Host")],
    "source_port": [Form(MYSQL, (8, 0, 22), None, "Source_Port"), Form(MARIADB, _ANY, None, "Master_Port")],
    "source_user": [Form(MYSQL, (8, 0, 22), None, "Source_User"), Form(MARIADB, _ANY, None, "Master_User")],
    "source_server_id": [
        Form(MYSQL, (8, 0, 22), None, "Source_Server_Id"),
        Form(MARIADB, _ANY, None, "Master_Server_Id"),
    ],
    "source_ssl": [
        Form(MYSQL, (8, 0, 22), None, "Source_SSL_Allowed"),
        Form(MARIADB, _ANY, None, "Master_SSL_Allowed"),
    ],
    "source_ssl_ca": [
        Form(MYSQL, (8, 0, 22), None, "Source_SSL_CA_File"),
        Form(MARIADB, _ANY, None, "Master_SSL_CA_File"),
    ],
    "source_ssl_verify": [
        Form(MYSQL, (8, 0, 22), None, "Source_SSL_Verify_Server_Cert"),
        Form(MARIADB, _ANY, None, "Master_SSL_Verify_Server_Cert"),
    ],
    "channel_name": [Form(MYSQL, _ANY, None, "Channel_Name"), Form(MARIADB, _ANY, None, "Connection_name")],
    # variables
    "log_replica_updates": [
        Form(MYSQL, (8, 0, 26), None, "log_replica_updates"),
        Form(MYSQL, _ANY, (8, 0, 26), "log_slave_updates"),
        Form(MARIADB, _ANY, None, "log_slave_updates"),
    ],
    "replica_net_timeout": [
        Form(MYSQL, (8, 0, 26), None, "replica_net_timeout"),
        Form(MYSQL, _ANY, (8, 0, 26), "slave_net_timeout"),
        Form(MARIADB, _ANY, None, "slave_net_timeout"),
    ],
    "parallel_workers": [
        Form(MYSQL, (8, 0, 26), None, "replica_parallel_workers"),
        Form(MYSQL, _ANY, (8, 0, 26), "slave_parallel_workers"),
        Form(MARIADB, _ANY, None, "slave_parallel_threads"),
    ],
    "preserve_commit_order": [
        Form(MYSQL, (8, 0, 26), None, "replica_preserve_commit_order"),
        Form(MYSQL, _ANY, (8, 0, 26), "slave_preserve_commit_order"),
    ],
    "replica_max_packet": [
        Form(MYSQL, (8, 0, 26), None, "replica_max_allowed_packet"),
        Form(MYSQL, _ANY, (8, 0, 26), "slave_max_allowed_packet"),
        Form(MARIADB, _ANY, None, "slave_max_allowed_packet"),
    ],
    "binlog_expire": [
        Form(MYSQL, _ANY, None, "binlog_expire_logs_seconds"),
        Form(MARIADB, (10, 6), None, "binlog_expire_logs_seconds"),
    ],
    # commands and options that hints name
    "disable_event_here": [
        Form(MYSQL, (8, 1), None, "DISABLE ON REPLICA"),
        Form(MYSQL, _ANY, (8, 1), "DISABLE ON SLAVE"),
        Form(MARIADB, _ANY, None, "DISABLE ON SLAVE"),
    ],
    "start_replica": [Form(MYSQL, (8, 0, 22), None, "START REPLICA"), Form(MARIADB, _ANY, None, "START SLAVE")],
    "stop_replica": [Form(MYSQL, (8, 0, 22), None, "STOP REPLICA"), Form(MARIADB, _ANY, None, "STOP SLAVE")],
    "reset_replica": [Form(MYSQL, (8, 0, 22), None, "RESET REPLICA ALL")],
    "retry_count_clause": [
        Form(MYSQL, (8, 0, 23), None, "SOURCE_RETRY_COUNT"),
        Form(MARIADB, (12, 0), None, "MASTER_RETRY_COUNT"),
    ],
    # semi-synchronous replication: variables and status values
    "semi_sync_source_enabled": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_enabled"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_enabled"),
    ],
    "semi_sync_source_timeout": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_timeout"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_timeout"),
    ],
    "semi_sync_source_wait_for": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_wait_for_replica_count"),
    ],
    "semi_sync_source_wait_alone": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_wait_no_replica"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_wait_no_slave"),
    ],
    "semi_sync_replica_enabled": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_replica_enabled"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_slave_enabled"),
    ],
    "semi_sync_source_status": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_status"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_status"),
    ],
    "semi_sync_source_clients": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_clients"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_clients"),
    ],
    "semi_sync_yes_tx": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_yes_tx"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_yes_tx"),
    ],
    "semi_sync_no_tx": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_source_no_tx"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_master_no_tx"),
    ],
    "semi_sync_replica_status": [
        Form(MYSQL, (8, 0, 26), None, "rpl_semi_sync_replica_status"),
        Form(MARIADB, _ANY, None, "rpl_semi_sync_slave_status"),
    ],
}


class Dialect:
    """The names one server understands."""

    def __init__(self, flavor: str, version: Version, text: str = "") -> None:
        self.flavor, self.version, self.text = flavor, version, text or ".".join(map(str, version))

    @classmethod
    def of(cls, version_text: str, comment: str = "") -> Dialect:
        """From the values of @@version and @@version_comment."""
        flavor = MARIADB if "mariadb" in f"{version_text} {comment}".lower() else MYSQL
        # Older MariaDB servers say "5.5.5-10.11.4-MariaDB" in the handshake.
        match = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)(?:\.(\d+))?", version_text)
        version = tuple(int(n or 0) for n in match.groups()) if match else (0, 0, 0)
        return cls(flavor, version, version_text)

    @property
    def mariadb(self) -> bool:
        """Whether this is MariaDB."""
        return self.flavor == MARIADB

    @property
    def supported(self) -> bool:
        """Whether this version is one that the rules are written for."""
        low, high = SUPPORTED[self.flavor]
        return low <= self.version < high

    def find(self, key: str) -> str | None:
        """The name here, or None where this server has none."""
        for form in TABLE[key]:
            if (
                form.flavor == self.flavor
                and form.since <= self.version
                and not (form.until and self.version >= form.until)
            ):
                return form.text
        return None

    def __getitem__(self, key: str) -> str:
        """The name here; for a server older than the table, the oldest name of its engine."""
        found = self.find(key)
        if found is not None:
            return found
        forms = [form for form in TABLE[key] if form.flavor == self.flavor]
        if not forms:
            raise KeyError(f"{key} does not exist in {self.flavor}")
        return forms[0].text
