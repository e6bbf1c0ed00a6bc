# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configures one replication channel: compares, plans and runs the statements."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from ..mysql.connection import Connection, DatabaseError, quote
from .facts import Collector
from .model import CONNECTING, OFF, ON, Channel, Server, build, unapplied

RECEIVER, APPLIER, BOTH = "receiver", "applier", "both"
# Errors after which the receiver may lack the right password.
_WRONG_PASSWORD = {1045, 1820, 1862}


class Setting(NamedTuple):
    """One option of the module, its clause in each dialect and the threads that must be stopped to change it."""

    option: str
    mysql: str
    mariadb: str
    threads: str = RECEIVER


SETTINGS = (
    Setting("source_host", "SOURCE_HOST", "MASTER_HOST"),
    Setting("source_port", "SOURCE_PORT", "MASTER_PORT"),
    Setting("source_user", "SOURCE_USER", "MASTER_USER"),
    Setting("source_ssl", "SOURCE_SSL", "MASTER_SSL"),
    Setting("source_ssl_ca", "SOURCE_SSL_CA", "MASTER_SSL_CA"),
    Setting("source_ssl_verify", "SOURCE_SSL_VERIFY_SERVER_CERT", "MASTER_SSL_VERIFY_SERVER_CERT"),
    Setting("get_source_public_key", "GET_SOURCE_PUBLIC_KEY", ""),
    Setting("connect_retry", "SOURCE_CONNECT_RETRY", "MASTER_CONNECT_RETRY"),
    Setting("retry_count", "SOURCE_RETRY_COUNT", ""),
    Setting("heartbeat_period", "SOURCE_HEARTBEAT_PERIOD", "MASTER_HEARTBEAT_PERIOD"),
    Setting("auto_position", "SOURCE_AUTO_POSITION", "MASTER_USE_GTID", BOTH),
    Setting("delay", "SOURCE_DELAY", "MASTER_DELAY", APPLIER),
)
FILTERS = {
    "do_db": "Replicate_Do_DB",
    "ignore_db": "Replicate_Ignore_DB",
    "do_table": "Replicate_Do_Table",
    "ignore_table": "Replicate_Ignore_Table",
    "wild_do_table": "Replicate_Wild_Do_Table",
    "wild_ignore_table": "Replicate_Wild_Ignore_Table",
}


class ChannelError(Exception):
    """The channel cannot be configured as wanted; the text says why."""


class Manager:
    """Configures one channel; with check_mode it plans and runs nothing."""

    def __init__(self, connection: Connection, name: str = "", check_mode: bool = False) -> None:
        self.connection, self.name, self.check_mode = connection, name, check_mode
        self.dialect = connection.dialect
        self.statements: list[str] = []
        self.notes: list[str] = []

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self) -> tuple[Server, Channel | None]:
        """The server, and the channel if there is one."""
        collector = Collector(self.connection)
        collector.channel_rows()
        refused = collector.snapshot["denied"].get("replica_status")
        if refused:
            raise ChannelError(f"{refused['error']} {refused['grant']}".strip())
        server = build(collector.snapshot)
        return server, next((c for c in server.channels if c.name == self.name), None)

    def current(self, server: Server, channel: Channel | None) -> dict[str, Any]:
        """The channel's settings under the names of the options."""
        if channel is None:
            return {}
        rows = server.snapshot.get("connection_configuration") or []
        row = next((r for r in rows if r.get("CHANNEL_NAME") == self.name), {})
        return {
            "source_host": channel.source_host,
            "source_port": channel.source_port,
            "source_user": channel.source_user,
            "source_ssl": channel.tls,
            "source_ssl_ca": channel.tls_ca,
            "source_ssl_verify": channel.tls_verified,
            "get_source_public_key": str(row.get("GET_PUBLIC_KEY", "")).upper() in {"YES", "1"},
            "connect_retry": channel.retry_interval,
            "retry_count": channel.retry_count,
            "heartbeat_period": channel.heartbeat_interval,
            "auto_position": channel.auto_position and channel.using_gtid.lower() != "current_pos",
            "delay": channel.delay,
        }

    def stored_password(self) -> str | None:
        """The password that the server stores for the channel; None where it cannot be read."""
        try:
            if not self.dialect.mariadb:
                row = self.connection.one(
                    "SELECT User_password AS p FROM mysql.slave_master_info WHERE Channel_name = %s", (self.name,)
                )
                return None if row.get("p") is None else str(row["p"])
            if not self.connection.options.unix_socket:
                return None
            suffix = f"-{self.name.lower()}" if self.name else ""
            folder = Path(str(self.connection.value("SELECT @@GLOBAL.datadir AS d")))
            # Lines: count, log file, position, host, user, password, ...
            return (folder / f"master{suffix}.info").read_text(encoding="utf-8", errors="replace").splitlines()[5]
        except (DatabaseError, OSError, IndexError):
            return None

    def differences(self, wanted: dict[str, Any], current: dict[str, Any]) -> list[Setting]:
        """The settings whose value is not the wanted one."""
        found = []
        for setting in SETTINGS:
            value = wanted.get(setting.option)
            if value is None or not self._clause(setting):
                continue
            have = current.get(setting.option)
            same = float(have) == float(value) if isinstance(value, float) and have is not None else have == value
            if not same:
                found.append(setting)
        return found

    def _clause(self, setting: Setting) -> str:
        if setting.option == "retry_count":
            return self.dialect.find("retry_count_clause") or ""
        return setting.mariadb if self.dialect.mariadb else setting.mysql

    def password_differs(self, password: str | None, channel: Channel | None, changing: bool) -> bool:
        """Whether the password has to be given to the channel, as far as that can be read."""
        if password is None:
            return False
        if channel is None:
            return True
        stored = self.stored_password()
        if stored is not None:
            return stored != password
        return changing or channel.io_errno in _WRONG_PASSWORD

    # --- writing ----------------------------------------------------------------------------------------------------

    def _run(self, statement: str, arguments: Sequence[Any] = (), secret: str = "") -> None:
        self.statements.append(_shown(statement, arguments, secret))
        if self.check_mode:
            return
        try:
            with self.connection.longer(60):
                self.connection.rows(statement, arguments)
        except DatabaseError as error:
            hint = ""
            if error.denied:
                privilege = "REPLICATION SLAVE ADMIN" if self.dialect.mariadb else "REPLICATION_SLAVE_ADMIN"
                if statement.startswith("RESET"):
                    privilege = "RELOAD"
                hint = f" GRANT {privilege} ON *.* TO the account."
            raise ChannelError(f"{self.statements[-1]} failed: {error}{hint}") from error

    def _thread(self, verb: str, thread: str = "") -> None:
        words = self.dialect["start_replica" if verb == "start" else "stop_replica"]
        if self.dialect.mariadb:
            self._run(f"{words} %s {thread}".rstrip(), (self.name,))
        else:
            self._run(f"{words} {thread} FOR CHANNEL %s".replace("  ", " "), (self.name,))

    def change(self, settings: Sequence[Setting], wanted: dict[str, Any], password: str | None, demote: bool) -> None:
        """Run the statement that gives the channel these settings."""
        clauses, values = [], []
        if self.dialect.mariadb or {s.threads for s in settings} & {RECEIVER, BOTH}:
            # The statement puts the heartbeat back to half the network timeout when it is not in it.
            beat = next(s for s in SETTINGS if s.option == "heartbeat_period")
            if wanted.get("heartbeat_period") is not None and beat not in settings:
                settings = [*settings, beat]
        for setting in settings:
            clause = self._clause(setting)
            if setting.option == "auto_position" and self.dialect.mariadb:
                clauses.append(f"{clause} = slave_pos" if wanted["auto_position"] else f"{clause} = no")
                continue
            clauses.append(f"{clause} = %s")
            value = wanted[setting.option]
            values.append(int(value) if isinstance(value, bool) else value)
        if password is not None:
            clauses.append(("MASTER" if self.dialect.mariadb else "SOURCE") + "_PASSWORD = %s")
            values.append(password)
        if demote and self.dialect.mariadb:
            clauses.append("MASTER_DEMOTE_TO_SLAVE = 1")
        head, body = self.dialect["change_source"], ", ".join(clauses)
        if self.dialect.mariadb:
            self._run(f"{head} %s TO {body}", (self.name, *values), password or "")
        else:
            self._run(f"{head} {body} FOR CHANNEL %s", (*values, self.name), password or "")

    def set_filters(self, filters: dict[str, list[str]]) -> None:
        """Give the channel these filters and no others."""
        if self.dialect.mariadb:
            prefix = f"{quote(self.name)}." if self.name else ""
            for name in FILTERS:
                self._run(f"SET GLOBAL {prefix}replicate_{name} = %s", (",".join(filters.get(name) or []),))
            return
        parts, values = [], []
        for name in FILTERS:
            items = filters.get(name) or []
            if name.startswith("wild"):
                parts.append(f"REPLICATE_{name.upper()} = ({', '.join(['%s'] * len(items))})")
                values += items
            else:
                quoted = [".".join(quote(p) for p in item.split(".", 1)) for item in items]
                parts.append(f"REPLICATE_{name.upper()} = ({', '.join(quoted)})")
        self._run(f"CHANGE REPLICATION FILTER {', '.join(parts)} FOR CHANNEL %s", (*values, self.name))

    @staticmethod
    def current_filters(channel: Channel | None) -> dict[str, list[str]]:
        """The filters that the channel has."""
        found: dict[str, list[str]] = {}
        texts = dict(f.split("=", 1) for f in (channel.filters if channel else []))
        for name, column in FILTERS.items():
            text = texts.get(column, "")
            found[name] = sorted(part.strip() for part in text.split(",") if part.strip())
        return found

    def configure(
        self, wanted: dict[str, Any], password: str | None, filters: dict[str, list[str]] | None, demote: bool
    ) -> dict[str, Any]:
        """Apply what differs; threads that were stopped for it are started again afterwards."""
        server, channel = self.read()
        before = self.current(server, channel)
        settings = self.differences(wanted, before)
        if channel is None and not wanted.get("source_host"):
            raise ChannelError("The channel does not exist yet, so source_host is needed to configure it.")
        new_password = self.password_differs(password, channel, bool(settings))
        have = self.current_filters(channel)
        new_filters = filters is not None and any(sorted(filters.get(name) or []) != have[name] for name in FILTERS)
        if wanted.get("retry_count") is not None and not self.dialect.find("retry_count_clause"):
            self.notes.append("This server has no retry count per channel; it is the server option master-retry-count.")
        if settings or new_password or new_filters:
            self._apply(channel, settings, wanted, password if new_password else None, demote,
                        filters if new_filters else None)  # fmt: skip
        after = {**before, **{s.option: wanted[s.option] for s in settings}}
        return {
            "before": {**before, **_flat(have), "source_password": "(unchanged)"} if channel else {},
            "after": {
                **after,
                **_flat(filters if new_filters and filters is not None else have),
                "source_password": "(changed)" if new_password and channel else "(unchanged)",
            },
            "changed": bool(settings or new_password or new_filters),
        }

    def _apply(
        self,
        channel: Channel | None,
        settings: Sequence[Setting],
        wanted: dict[str, Any],
        password: str | None,
        demote: bool,
        filters: dict[str, list[str]] | None,
    ) -> None:
        receiver_ran = channel is not None and channel.io_state != OFF
        applier_ran = channel is not None and channel.sql_state == ON
        threads = {s.threads for s in settings} | ({RECEIVER} if password is not None else set())
        # MariaDB changes nothing while one of the two runs.
        everything = self.dialect.mariadb and bool(threads)
        stop_receiver = receiver_ran and (everything or bool(threads & {RECEIVER, BOTH}) or
                                          filters is not None and self.dialect.mariadb)  # fmt: skip
        stop_applier = applier_ran and (everything or bool(threads & {APPLIER, BOTH}) or filters is not None)
        if stop_receiver:
            self._thread("stop", "IO_THREAD")
        if stop_applier:
            self._thread("stop", "SQL_THREAD")
        try:
            if threads:
                self.change(settings, wanted, password, demote and channel is None)
            if filters is not None:
                self.set_filters(filters)
        finally:
            # Also after a failure: what ran before must not stay stopped because of a wrong option.
            if stop_applier:
                self._thread("start", "SQL_THREAD")
            if stop_receiver:
                self._thread("start", "IO_THREAD")

    def start(self) -> bool:
        """Start what is stopped; an applier that stopped on an error is left as it is."""
        _server, channel = self.read()
        if channel is None:
            if self.check_mode:
                self._thread("start")
                return True
            raise ChannelError("There is no such channel to start; give source_host to configure it.")
        changed = self._start_applier(channel)
        if channel.io_state == OFF:
            self._thread("start", "IO_THREAD")
            changed = True
        return changed

    def stop(self) -> bool:
        """Stop both threads; True if one of them ran."""
        _server, channel = self.read()
        if channel is None or (channel.io_state == OFF and channel.sql_state == OFF):
            return False
        self._thread("stop")
        return True

    def stop_receiver(self) -> bool:
        """Stop the receiver alone; True if it ran."""
        _server, channel = self.read()
        if channel is None or channel.io_state == OFF:
            return False
        self._thread("stop", "IO_THREAD")
        return True

    def start_applier(self) -> bool:
        """Start an applier that is stopped without an error."""
        _server, channel = self.read()
        return channel is not None and self._start_applier(channel)

    def _start_applier(self, channel: Channel) -> bool:
        if channel.sql_state != OFF or channel.sql_errno or channel.worker_errors:
            return False
        self._thread("start", "SQL_THREAD")
        return True

    def remove(self, force: bool, patience: float = 10.0) -> bool:
        """Reset the channel, once everything it received is applied."""
        server, channel = self.read()
        if channel is None:
            return False
        receiving = channel.io_state in {ON, CONNECTING}
        if receiving:
            self._thread("stop", "IO_THREAD")
        if not force:
            left = self._left_to_apply(server, channel, patience)
            if left:
                if receiving:
                    self._thread("start", "IO_THREAD")
                raise ChannelError(
                    f"{left} received transaction(s) are not applied yet; resetting the channel would lose them. "
                    "Wait until they are applied (mysql_replication_verify wait_for=caught_up), or set force=true."
                )
        if channel.sql_state == ON:
            self._thread("stop", "SQL_THREAD")
        if self.dialect.mariadb:
            self._run("RESET SLAVE %s ALL", (self.name,))
        elif self.name:
            self._run(f"{self.dialect['reset_replica']} FOR CHANNEL %s", (self.name,))
        else:
            self._run(f"{self.dialect['reset_replica']} FOR CHANNEL ''")
        return True

    def _left_to_apply(self, server: Server, channel: Channel, patience: float) -> int:
        """Received transactions that are still not applied after some patience."""
        deadline = time.monotonic() + patience
        while True:
            left = unapplied(server, channel) or 0
            if not left or self.check_mode or channel.sql_state != ON or time.monotonic() > deadline:
                return left
            time.sleep(0.1)
            server, found = self.read()
            channel = found or channel


def _flat(filters: dict[str, list[str]]) -> dict[str, Any]:
    return {f"filter_{name}": list(values) for name, values in filters.items() if values}


def _shown(statement: str, arguments: Sequence[Any], secret: str) -> str:
    """The statement as an operator may read it."""
    shown = ["********" if secret and value == secret else value for value in arguments]
    return statement % tuple(repr(v) if isinstance(v, str) else v for v in shown) if arguments else statement
