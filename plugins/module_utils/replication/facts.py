# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the rows that the replication model is built from. Reads only, never writes.

A section that the account may not read is noted under ``denied`` with the grant that is missing;
the other sections are read all the same.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterable

from ..mysql.connection import Connection, DatabaseError, quote
from .model import Row, Server, Snapshot, build
from .tables import privileges_everywhere, read_objects, read_tables, sees_all_objects, sees_all_tables

_VARIABLES = (
    "server_id", "server_uuid", "report_host", "hostname", "read_only", "super_read_only", "offline_mode",
    "gtid_mode", "enforce_gtid_consistency", "gtid_strict_mode", "gtid_domain_id", "log_bin", "log_replica_updates",
    "log_slave_updates", "binlog_format", "binlog_row_image", "sync_binlog", "innodb_flush_log_at_trx_commit",
    "binlog_expire_logs_seconds", "replica_net_timeout", "slave_net_timeout", "replica_parallel_workers",
    "slave_parallel_workers", "slave_parallel_threads", "replica_preserve_commit_order",
    "slave_preserve_commit_order", "default_password_lifetime", "performance_schema", "datadir", "log_bin_basename",
    "relay_log_basename", "master_retry_count", "rpl_semi_sync_source_enabled", "rpl_semi_sync_source_timeout",
    "rpl_semi_sync_source_wait_for_replica_count", "rpl_semi_sync_replica_enabled", "rpl_semi_sync_master_enabled",
    "rpl_semi_sync_master_timeout", "rpl_semi_sync_slave_enabled", "rpl_semi_sync_source_wait_no_replica",
    "rpl_semi_sync_master_wait_no_slave", "group_replication_single_primary_mode",
    "sql_mode", "lower_case_table_names", "character_set_server", "collation_server", "max_allowed_packet",
    "replica_max_allowed_packet", "slave_max_allowed_packet", "explicit_defaults_for_timestamp", "event_scheduler",
)  # fmt: skip
_STATUS = (
    "rpl_semi_sync_source_status", "rpl_semi_sync_source_clients", "rpl_semi_sync_source_yes_tx",
    "rpl_semi_sync_source_no_tx", "rpl_semi_sync_replica_status", "rpl_semi_sync_master_status",
    "rpl_semi_sync_master_clients", "rpl_semi_sync_master_yes_tx", "rpl_semi_sync_master_no_tx",
    "rpl_semi_sync_slave_status", "uptime", "ssl_server_not_after",
)  # fmt: skip

# While a long transaction arrives no time in this table moves, so an old one then means nothing.
_MYSQL_CONNECTION_STATUS = """
    SELECT CHANNEL_NAME, SERVICE_STATE, SOURCE_UUID, RECEIVED_TRANSACTION_SET, COUNT_RECEIVED_HEARTBEATS,
      LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE,
      IF(latest < '1970-01-02' OR QUEUEING_TRANSACTION <> '' AND latest < NOW(6) - INTERVAL 2 SECOND, NULL,
         TIMESTAMPDIFF(MICROSECOND, latest, NOW(6)) / 1e6) AS SINCE_LAST_MESSAGE
    FROM (SELECT *, GREATEST(LAST_HEARTBEAT_TIMESTAMP, LAST_QUEUED_TRANSACTION_END_QUEUE_TIMESTAMP,
                             QUEUEING_TRANSACTION_START_QUEUE_TIMESTAMP) AS latest
          FROM performance_schema.replication_connection_status) s"""
_MYSQL_WORKERS = """
    SELECT w.CHANNEL_NAME, w.WORKER_ID, w.THREAD_ID, w.SERVICE_STATE, w.LAST_ERROR_NUMBER, w.LAST_ERROR_MESSAGE,
      w.APPLYING_TRANSACTION,
      IF(w.APPLYING_TRANSACTION = '' OR w.APPLYING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP < '1970-01-02', NULL,
         TIMESTAMPDIFF(MICROSECOND, w.APPLYING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP, NOW(6)) / 1e6) AS APPLYING_AGE,
      IF(w.APPLYING_TRANSACTION = '' OR w.APPLYING_TRANSACTION_START_APPLY_TIMESTAMP < '1970-01-02', NULL,
         TIMESTAMPDIFF(MICROSECOND, w.APPLYING_TRANSACTION_START_APPLY_TIMESTAMP, NOW(6)) / 1e6) AS APPLYING_FOR
    FROM performance_schema.replication_applier_status_by_worker w"""
_MYSQL_CONFIGURATION = """
    SELECT CHANNEL_NAME, HOST, PORT, USER, AUTO_POSITION, SSL_ALLOWED, SSL_CA_FILE, SSL_VERIFY_SERVER_CERTIFICATE,
      CONNECTION_RETRY_INTERVAL, CONNECTION_RETRY_COUNT, HEARTBEAT_INTERVAL, GET_PUBLIC_KEY
    FROM performance_schema.replication_connection_configuration"""
_MYSQL_DUMP_THREADS = """
    SELECT PROCESSLIST_USER AS user, PROCESSLIST_HOST AS host, CONNECTION_TYPE AS connection_type
    FROM performance_schema.threads WHERE PROCESSLIST_COMMAND LIKE 'Binlog Dump%%'"""
_PERSISTED = """
    SELECT i.VARIABLE_NAME, i.VARIABLE_SOURCE, p.VARIABLE_VALUE AS PERSISTED_VALUE
    FROM performance_schema.variables_info i
    LEFT JOIN performance_schema.persisted_variables p ON p.VARIABLE_NAME = i.VARIABLE_NAME
    WHERE i.VARIABLE_NAME IN ('read_only', 'super_read_only')"""
_MARIADB_ORIGIN = """
    SELECT VARIABLE_NAME, GLOBAL_VALUE_ORIGIN, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES
    WHERE VARIABLE_NAME = 'READ_ONLY'"""
_MEMBERS = """
    SELECT MEMBER_ID, MEMBER_HOST, MEMBER_PORT, MEMBER_STATE, MEMBER_ROLE, MEMBER_VERSION
    FROM performance_schema.replication_group_members"""
_MYSQL_ACCOUNT = """
    SELECT User AS user, Host AS host, plugin, Repl_slave_priv AS may_replicate, password_expired AS expired,
      account_locked AS locked, ssl_type,
      IF(COALESCE(password_lifetime, @@GLOBAL.default_password_lifetime) = 0
         OR plugin NOT IN ('caching_sha2_password', 'sha256_password', 'mysql_native_password'), NULL,
         TIMESTAMPDIFF(SECOND, NOW(), password_last_changed + INTERVAL
           COALESCE(password_lifetime, @@GLOBAL.default_password_lifetime) DAY)) AS expires_in
    FROM mysql.user WHERE User IN (%s)"""
# Without the passwords, which are in the same column as the lock and the lifetime.
_MARIADB_ACCOUNT_WITHOUT_PASSWORD = """
    SELECT User AS user, Host AS host, plugin, Repl_slave_priv AS may_replicate, password_expired AS expired, ssl_type
    FROM mysql.user WHERE User IN (%s)"""
_MARIADB_ACCOUNT = """
    SELECT u.User AS user, u.Host AS host, u.plugin, u.Repl_slave_priv AS may_replicate,
      IF(JSON_VALUE(g.Priv, '$.password_last_changed') = '0', 'Y', 'N') AS expired,
      IF(JSON_VALUE(g.Priv, '$.account_locked') = '1', 'Y', 'N') AS locked, u.ssl_type,
      IF(COALESCE(NULLIF(JSON_VALUE(g.Priv, '$.password_lifetime'), '-1'),
                  @@GLOBAL.default_password_lifetime) = 0, NULL,
         CAST(JSON_VALUE(g.Priv, '$.password_last_changed') AS SIGNED) + 86400 *
           COALESCE(NULLIF(JSON_VALUE(g.Priv, '$.password_lifetime'), '-1'), @@GLOBAL.default_password_lifetime)
         - UNIX_TIMESTAMP()) AS expires_in
    FROM mysql.user u JOIN mysql.global_priv g ON g.Host = u.Host AND g.User = u.User
    WHERE u.User IN (%s)"""
# InnoDB gives the start of a transaction by the clock of the host, whatever the time zone of the server or session.
_LONG_TRANSACTIONS = """
    SELECT trx_mysql_thread_id AS thread, TIMESTAMPDIFF(SECOND, trx_started, {now}) AS age,
      trx_rows_modified AS modified, LEFT(COALESCE(trx_query, ''), 100) AS query
    FROM information_schema.INNODB_TRX WHERE trx_started < {now} - INTERVAL %s SECOND
    ORDER BY trx_started LIMIT 10""".format(now="CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')")
# No account needs a privilege for it.
_TIME_ZONE_TABLES = "SELECT CONVERT_TZ('2000-01-01 12:00:00', '+00:00', 'Europe/Paris') IS NOT NULL"
# The error of a server that shows nothing of a table.
_NOT_SHOWN = 1142
_MYSQL_BLOCKERS = """
    SELECT b.PROCESSLIST_ID AS blocker, b.PROCESSLIST_USER AS user, b.PROCESSLIST_HOST AS host, 'row lock' AS kind
    FROM performance_schema.data_lock_waits w
    JOIN performance_schema.threads b ON b.THREAD_ID = w.BLOCKING_THREAD_ID
    JOIN performance_schema.replication_applier_status_by_worker a ON a.THREAD_ID = w.REQUESTING_THREAD_ID
    UNION
    SELECT b.PROCESSLIST_ID, b.PROCESSLIST_USER, b.PROCESSLIST_HOST, 'table lock'
    FROM performance_schema.metadata_locks p
    JOIN performance_schema.replication_applier_status_by_worker a ON a.THREAD_ID = p.OWNER_THREAD_ID
    JOIN performance_schema.metadata_locks g ON g.OBJECT_TYPE = p.OBJECT_TYPE
      AND g.OBJECT_SCHEMA <=> p.OBJECT_SCHEMA AND g.OBJECT_NAME <=> p.OBJECT_NAME
      AND g.LOCK_STATUS = 'GRANTED' AND g.OWNER_THREAD_ID <> p.OWNER_THREAD_ID
    JOIN performance_schema.threads b ON b.THREAD_ID = g.OWNER_THREAD_ID
    WHERE p.LOCK_STATUS = 'PENDING'"""
# The tables of InnoDB are cached for a moment, and then name sessions that have ended; 0 is a prepared XA transaction.
_MARIADB_BLOCKERS = """
    SELECT b.trx_mysql_thread_id AS blocker, p.USER AS user, p.HOST AS host, 'row lock' AS kind
    FROM information_schema.INNODB_LOCK_WAITS w
    JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
    JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
    JOIN information_schema.PROCESSLIST q ON q.ID = r.trx_mysql_thread_id AND q.USER = 'system user'
    LEFT JOIN information_schema.PROCESSLIST p ON p.ID = b.trx_mysql_thread_id
    WHERE p.ID IS NOT NULL OR b.trx_mysql_thread_id = 0"""


def _grant(mariadb: bool, section: str, account: str) -> str:
    """The statement that opens a section to the account."""
    if mariadb:
        privilege = {
            "replica_status": "SLAVE MONITOR ON *.*",
            "binlog_status": "BINLOG MONITOR ON *.*",
            "oldest_binlog": "BINLOG MONITOR ON *.*",
            "replicas": "REPLICATION MASTER ADMIN ON *.*",
            "dump_threads": "PROCESS ON *.*",
        }
    else:
        privilege = {
            "replica_status": "REPLICATION CLIENT ON *.*",
            "binlog_status": "REPLICATION CLIENT ON *.*",
            "replicas": "REPLICATION SLAVE ON *.*",
            "dump_threads": "SELECT ON performance_schema.*",
        }
    general = {
        "replication_account": "SELECT ON mysql.*",
        "long_transactions": "PROCESS ON *.*",
        "blockers": "PROCESS ON *.*",
        # It shows definitions and no data.
        "tables": "REFERENCES ON *.*",
        "objects": "SELECT, TRIGGER, EVENT ON *.*",
        "heartbeat": "SELECT ON <the heartbeat table>",
    }
    return f"GRANT {privilege.get(section) or general.get(section) or 'SELECT ON performance_schema.*'} TO {account};"


def long_transactions(connection: Connection, seconds: int) -> list[Row]:
    """Transactions that have been open for longer than these seconds, the oldest first."""
    return connection.rows(_LONG_TRANSACTIONS, (seconds,))


class Collector:
    """Reads one server into a snapshot."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dialect = connection.dialect
        self.snapshot: Snapshot = {
            "version": self.dialect.text,
            "version_comment": "MariaDB" if self.dialect.mariadb else "MySQL",
            "name": connection.where,
            "address": "" if connection.options.unix_socket else connection.options.host,
            "denied": {},
        }

    def _read(self, section: str, action: Callable[[], Any]) -> None:
        try:
            self.snapshot[section] = action()
        except DatabaseError as error:
            if error.lost:
                # One statement may hang (SHOW ... STATUS while the relay log disk is full) on a server that answers.
                self.connection.reopen()
            self.snapshot["denied"][section] = {
                "errno": error.errno,
                "error": error.message,
                "grant": _grant(self.dialect.mariadb, section, self._account()) if error.denied else "",
            }

    def _account(self) -> str:
        try:
            user, _at, host = str(self.connection.value("SELECT CURRENT_USER()")).rpartition("@")
        except DatabaseError:
            return "the account"
        return f"'{user}'@'{host}'"

    def _rows(self, section: str, statement: str, arguments: tuple = ()) -> None:
        self._read(section, lambda: self.connection.rows(statement, arguments))

    def _named(self, section: str, scope: str, names: tuple) -> None:
        marks = ", ".join(["%s"] * len(names))
        statement = f"SHOW GLOBAL {scope} WHERE Variable_name IN ({marks})"
        self._read(
            section,
            lambda: {r["Variable_name"].lower(): r["Value"] for r in self.connection.rows(statement, names)},
        )

    def collect(self, *, detail: bool = True, max_transaction_age: int = 60, tables: bool = True) -> Snapshot:
        """Everything about the server. Its GTID position is read before a primary is queried."""
        self._named("variables", "VARIABLES", _VARIABLES)
        self._named("status", "STATUS", _STATUS)
        if self.dialect.mariadb:
            self._mariadb()
        else:
            self._mysql()
        self.snapshot["clock"] = self._clock()
        self._read("time_zone_tables", lambda: str(self.connection.value(_TIME_ZONE_TABLES)) == "1")
        self._read("certificate_left", self._certificate_left)
        if detail:
            self._read("long_transactions", lambda: long_transactions(self.connection, max_transaction_age))
        if detail and tables:
            self.tables()
            self._read("objects", self._objects)
        if self.connection.options.unix_socket:
            self._local()
        return self.snapshot

    def tables(self) -> None:
        """What tables there are, and how they are defined."""
        self._read("tables", self._tables)

    def _tables(self) -> list[Row]:
        if not sees_all_tables(self._privileges()):
            raise DatabaseError("The account is not shown every table.", _NOT_SHOWN)
        return read_tables(self.connection)

    def _objects(self) -> list[Row]:
        if not sees_all_objects(self._privileges()):
            raise DatabaseError("The account is not shown every trigger, routine, event and view.", _NOT_SHOWN)
        return read_objects(self.connection)

    def _privileges(self) -> set[str]:
        # On MariaDB these lines have passwords, and must not be stored.
        return privileges_everywhere(str(next(iter(row.values()))) for row in self.connection.rows("SHOW GRANTS"))

    def _certificate_left(self) -> float | None:
        """Seconds for which the certificate is valid that the server has loaded; None where it has none."""
        until = (self.snapshot.get("status") or {}).get("ssl_server_not_after")
        if not until and self.dialect.mariadb and self.connection.options.unix_socket:
            # MariaDB shows it only to a session over TLS.
            try:
                with Connection(replace(self.connection.options, socket_tls=True)) as encrypted:
                    until = encrypted.one("SHOW SESSION STATUS LIKE 'Ssl_server_not_after'").get("Value")
            except DatabaseError:
                return None
        return ssl.cert_time_to_seconds(until) - time.time() if until else None

    def essentials(self) -> Snapshot:
        """Role, fence and channels: little enough to be read several times a second."""
        self._named("variables", "VARIABLES", _VARIABLES)
        return self.channel_rows()

    def group_members(self) -> None:
        """Members of the replication group of a MySQL server."""
        if not self.dialect.mariadb:
            self._rows("group_members", _MEMBERS)

    def channel_rows(self) -> Snapshot:
        """Only what concerns the channels."""
        self.positions()
        self._channel_rows()
        return self.snapshot

    def _channel_rows(self) -> None:
        self._rows("replica_status", self.dialect["show_replica_status"])
        if self.dialect.mariadb or not (self.snapshot.get("replica_status") or self.snapshot["denied"]):
            return
        self._rows("connection_configuration", _MYSQL_CONFIGURATION)
        self._rows("connection_status", _MYSQL_CONNECTION_STATUS)
        self._rows("workers", _MYSQL_WORKERS)
        self._rows("filters", "SELECT * FROM performance_schema.replication_applier_filters")

    def _clock(self) -> float:
        """The server's clock less this host's, in seconds."""
        before = time.time()
        there = float(self.connection.value("SELECT UNIX_TIMESTAMP(NOW(6)) AS now"))
        return there - (before + time.time()) / 2

    def _mysql(self) -> None:
        self.positions()
        self._channel_rows()
        if self.snapshot.get("replica_status") or "replica_status" in self.snapshot["denied"]:
            if any(w.get("APPLYING_TRANSACTION") for w in self.snapshot.get("workers") or []):
                self._rows("blockers", _MYSQL_BLOCKERS)
            self._rows("global_filters", "SELECT * FROM performance_schema.replication_applier_global_filters")
        self.group_members()
        self._rows("dump_threads", _MYSQL_DUMP_THREADS)
        self._rows("replicas", self.dialect["show_replicas"])
        self._rows("binlog_status", self.dialect["show_binlog_status"])
        self._rows("persisted", _PERSISTED)
        self._boot_mysql()

    def _mariadb(self) -> None:
        self.positions()
        self._channel_rows()
        if self.snapshot.get("replica_status"):
            self._rows("blockers", _MARIADB_BLOCKERS)
        self._read("dump_threads", self._mariadb_dump_threads)
        self._rows("replicas", self.dialect["show_replicas"])
        self._rows("binlog_status", self.dialect["show_binlog_status"])
        self._read("oldest_binlog", self._oldest_binlog)
        self._rows("persisted", _MARIADB_ORIGIN)
        for row in self.snapshot.get("persisted") or []:
            if row.get("GLOBAL_VALUE_ORIGIN") in {"CONFIG", "COMMAND-LINE"}:
                self.snapshot["boot"] = {"read_only": str(row.get("GLOBAL_VALUE")).upper() not in {"OFF", "0"}}

    def _mariadb_dump_threads(self) -> list[Row]:
        if str((self.snapshot.get("variables") or {}).get("performance_schema")) == "ON":
            return self.connection.rows(_MYSQL_DUMP_THREADS)
        return self.connection.rows(
            "SELECT USER AS user, HOST AS host FROM information_schema.PROCESSLIST WHERE COMMAND LIKE %s",
            ("Binlog Dump%",),
        )

    def _oldest_binlog(self) -> Row:
        """The GTID list at the start of the oldest binary log: which transactions are gone from the logs."""
        logs = self.connection.rows("SHOW BINARY LOGS")
        if not logs:
            return {}
        name = logs[0]["Log_name"]
        events = self.connection.rows("SHOW BINLOG EVENTS IN %s LIMIT 3", (name,))
        found = next((e["Info"] for e in events if e.get("Event_type") == "Gtid_list"), "[]")
        return {"name": name, "files": len(logs), "gtids": str(found).strip("[]")}

    def positions(self) -> None:
        """GTID positions; called again to see whether an apparent difference persists."""
        if self.dialect.mariadb:
            row = self.connection.one(
                "SELECT @@GLOBAL.gtid_binlog_state AS state, @@GLOBAL.gtid_binlog_pos AS binlog,"
                " @@GLOBAL.gtid_slave_pos AS slave, @@GLOBAL.gtid_current_pos AS current"
            )
            self.snapshot.update(
                executed=row["state"], binlog_pos=row["binlog"], slave_pos=row["slave"], position=row["current"]
            )
            return
        # What is about to be committed is read first: it can only become executed meanwhile.
        row = self.connection.one(
            "SELECT @@GLOBAL.gtid_owned AS owned, @@GLOBAL.gtid_executed AS executed, @@GLOBAL.gtid_purged AS purged"
        )
        self.snapshot.update({key: str(value).replace("\n", "") for key, value in row.items()})

    def accounts(self, users: Iterable[str]) -> None:
        """The accounts that channels log in with, as they are on this server."""
        names = tuple(sorted({user for user in users if user}))
        if not names:
            return
        marks = f"({', '.join(['%s'] * len(names))})"
        statement = _MARIADB_ACCOUNT if self.dialect.mariadb else _MYSQL_ACCOUNT
        self._rows("replication_account", statement.replace("(%s)", marks), names)
        refusal = self.snapshot["denied"].get("replication_account") or {}
        if self.dialect.mariadb and refusal.get("grant"):
            try:
                rows = self.connection.rows(_MARIADB_ACCOUNT_WITHOUT_PASSWORD.replace("(%s)", marks), names)
            except DatabaseError:
                return
            del self.snapshot["denied"]["replication_account"]
            self.snapshot.update(replication_account=rows, replication_account_grant=refusal["grant"])

    def heartbeat(self, table: str, server_id: int | None) -> None:
        """Age of the newest heartbeat row, by this server's own UTC clock (the schema of pt-heartbeat)."""
        schema, _dot, name = table.partition(".")
        statement = (
            "SELECT server_id, TIMESTAMPDIFF(MICROSECOND, REPLACE(ts, 'T', ' '), UTC_TIMESTAMP(6)) / 1e6 AS age"
            f" FROM {quote(schema)}.{quote(name)}"
        )
        if server_id is not None:
            self._rows("heartbeat", statement + " WHERE server_id = %s", (server_id,))
        else:
            self._rows("heartbeat", statement + " ORDER BY ts DESC LIMIT 1")

    def _boot_mysql(self) -> None:
        for row in self.snapshot.get("persisted") or []:
            if row["VARIABLE_NAME"] != "super_read_only":
                continue
            if row.get("PERSISTED_VALUE") is not None:
                self.snapshot["boot"] = {"super_read_only": str(row["PERSISTED_VALUE"]).upper() in {"ON", "1"}}
            elif row.get("VARIABLE_SOURCE") not in {"DYNAMIC", "COMPILED", None}:
                value = self.snapshot.get("variables", {}).get("super_read_only")
                self.snapshot["boot"] = {"super_read_only": str(value).upper() == "ON"}
            elif row.get("VARIABLE_SOURCE") == "COMPILED":
                self.snapshot["boot"] = {"super_read_only": False}

    def _local(self) -> None:
        """What can be read only on the host itself: the option files and the free disk."""
        name = "read_only" if self.dialect.mariadb else "super_read_only"
        if (self.snapshot.get("boot") or {}).get(name) is None:
            value = _from_option_files(name, self.dialect.mariadb)
            if value is not None:
                self.snapshot["boot"] = {name: value}
        variables = self.snapshot.get("variables") or {}
        places = {
            "data": variables.get("datadir"),
            "binary log": _folder(variables.get("log_bin_basename")),
            "relay log": _folder(variables.get("relay_log_basename")),
        }
        disk = []
        for purpose, path in places.items():
            try:
                found = os.statvfs(path) if path else None
            except OSError:
                continue
            if found and found.f_blocks:
                free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
                disk.append({"purpose": purpose, "path": path, "free_bytes": free, "total_bytes": total})
        self.snapshot["disk"] = disk


def _folder(basename: str | None) -> str | None:
    return str(Path(basename).parent) if basename else None


def _from_option_files(name: str, mariadb: bool) -> bool | None:
    """The value the server's option files give at the next start; None if they cannot be read."""
    program = shutil.which("mariadb-print-defaults" if mariadb else "my_print_defaults") or shutil.which(
        "my_print_defaults"
    )
    if not program:
        return None
    groups = ["--mysqld"] if mariadb else ["mysqld", "server"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
            [program, *groups], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode:
        return None
    value = False
    for line in done.stdout.splitlines():
        option, _equals, text = line.strip().lstrip("-").replace("-", "_").partition("=")
        if option == name:
            value = text.upper() in {"", "ON", "1", "TRUE"}
        elif option == f"skip_{name}":
            value = False
    return value


def watch_receiver(collector: Collector, limit: float, interval: float = 0.25) -> dict[str, float]:
    """Watch each running receiver for a sign of life, where the server shows no time of the last message.

    That is always so on MariaDB, and on MySQL until the first message after a start. Returns the seconds
    without a sign per channel; a sign is a heartbeat counted or a position moved since the snapshot was taken.
    A connection that the server gives up meanwhile was silent all the time.
    """
    first = _pulses(collector, collector.snapshot)
    waiting = {name for name, pulse in first.items() if pulse is not None}
    quiet = dict.fromkeys(waiting, 0.0)
    began = time.monotonic()
    while waiting:
        now = _pulses(collector, None)
        spent = time.monotonic() - began
        for name in list(waiting):
            pulse = now.get(name)
            if pulse is None or spent >= limit:
                quiet[name] = max(spent, limit)
                waiting.discard(name)
            elif pulse != first[name]:
                waiting.discard(name)
        if waiting:
            time.sleep(interval)
    return quiet


def _pulses(collector: Collector, snapshot: Snapshot | None) -> dict[str, Any]:
    """What moves with every message, per channel; None where the receiver is not connected."""
    read, dialect = collector.connection.rows, collector.dialect
    status = snapshot["replica_status"] if snapshot else read(dialect["show_replica_status"])
    if dialect.mariadb:
        return {
            row["Connection_name"]: (row["Slave_received_heartbeats"], row["Gtid_IO_Pos"], row["Read_Master_Log_Pos"])
            if row["Slave_IO_Running"] == "Yes"
            else None
            for row in status
        }
    counts = (snapshot.get("connection_status") or []) if snapshot else read(_MYSQL_CONNECTION_STATUS)
    beats = {row["CHANNEL_NAME"]: row["COUNT_RECEIVED_HEARTBEATS"] for row in counts}
    return {
        row["Channel_Name"]: (beats.get(row["Channel_Name"]), row["Source_Log_File"], row["Read_Source_Log_Pos"])
        if row["Replica_IO_Running"] == "Yes"
        else None
        for row in status
    }


def gather(connection: Connection) -> Server:
    """The server with its role, channels and positions; DatabaseError where the account may not see them."""
    collector = Collector(connection)
    snapshot = collector.essentials()
    collector.group_members()
    refused = snapshot["denied"].get("variables") or snapshot["denied"].get("replica_status")
    if refused:
        raise DatabaseError(f"{refused['error']} {refused['grant']}".strip(), refused["errno"])
    return build(snapshot)
