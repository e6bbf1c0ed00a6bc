# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database server said about replication, in one shape for both dialects.

Input is a snapshot: a dict of rows with the server's own column names (see facts).
Nothing here opens a connection; NULL stays None and is never taken for 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict

from ..mysql.dialect import Dialect
from ..mysql.gtid import GtidSet, MariadbGtid, or_none
from .errors import masked

Row = Dict[str, Any]
Snapshot = Dict[str, Any]

ON, CONNECTING, OFF = "on", "connecting", "off"
_FILTER_COLUMNS = (
    "Replicate_Do_DB",
    "Replicate_Ignore_DB",
    "Replicate_Do_Table",
    "Replicate_Ignore_Table",
    "Replicate_Wild_Do_Table",
    "Replicate_Wild_Ignore_Table",
    "Replicate_Rewrite_DB",
    "Replicate_Do_Domain_Ids",
    "Replicate_Ignore_Domain_Ids",
    "Replicate_Ignore_Server_Ids",
)
_ATTEMPTS = re.compile(r"attempt (\d+)/(\d+)|maximum-retries: (\d+)")


@dataclass
class Channel:
    """What a server says of one of its sources, under the same names for both engines."""

    name: str
    source_host: str
    source_port: int | None
    source_user: str
    source_uuid: str
    source_server_id: int | None
    io_state: str
    io_errno: int
    io_error: str
    sql_state: str
    sql_errno: int
    sql_error: str
    worker_errors: list[tuple[int, str]]
    seconds_behind: float | None
    applying_age: float | None
    since_last_message: float | None
    heartbeat_interval: float | None
    retry_interval: int | None
    retry_count: int | None
    auto_position: bool
    using_gtid: str
    tls: bool
    tls_verified: bool
    tls_ca: str
    delay: int
    filters: list[str]
    received: str
    workers: int

    @property
    def running(self) -> bool:
        """Whether receiver and applier run."""
        return self.io_state == ON and self.sql_state == ON

    @property
    def broken(self) -> bool:
        """Whether receiver or applier reports an error."""
        return bool(self.io_errno or self.sql_errno or self.worker_errors)

    @property
    def identified(self) -> bool:
        """Whether it has connected once, so that the identity of its source is stored."""
        return bool(self.source_uuid or self.source_server_id)

    def leads_to(self, server: Server) -> bool:
        """Whether this server is the source."""
        if self.source_uuid:
            return self.source_uuid == server.uuid
        return bool(self.source_server_id) and self.source_server_id == server.server_id

    @property
    def retry_window(self) -> float | None:
        """Seconds the receiver keeps trying; None for without end."""
        if self.retry_interval is None or not self.retry_count:
            return None
        return self.retry_interval * self.retry_count

    @property
    def attempts(self) -> tuple[int | None, int | None]:
        """At which attempt to connect the receiver is, and how many it makes, as far as its error tells."""
        found = _ATTEMPTS.search(self.io_error)
        if not found:
            return None, None
        if found.group(3):
            return None, int(found.group(3))
        return int(found.group(1)), int(found.group(2))


@dataclass
class Server:
    """One server, normalised."""

    snapshot: Snapshot
    dialect: Dialect
    name: str
    variables: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)

    @property
    def mariadb(self) -> bool:
        """Whether this is MariaDB."""
        return self.dialect.mariadb

    @property
    def server_id(self) -> int | None:
        """Its server_id, if that could be read."""
        return as_int(self.variables.get("server_id"))

    @property
    def uuid(self) -> str:
        """Its server_uuid; empty for MariaDB."""
        return str(self.variables.get("server_uuid") or "").lower()

    @property
    def members(self) -> list[Row]:
        """The members of its replication group."""
        return self.snapshot.get("group_members") or []

    @property
    def own_member(self) -> Row:
        """Its own row among the members; empty if there is none."""
        return next((m for m in self.members if str(m.get("MEMBER_ID", "")).lower() == self.uuid), {})

    @property
    def in_group(self) -> bool:
        """Whether it takes part in a replication group."""
        return bool(self.own_member) and self.own_member.get("MEMBER_STATE") != "OFFLINE"

    @property
    def read_only(self) -> bool:
        """Whether ordinary accounts may not write."""
        # MariaDB 12 and later know NO_LOCK and other values besides ON.
        return is_on(self.variables.get("read_only")) or str(self.variables.get("read_only")).upper().startswith("NO_")

    @property
    def super_read_only(self) -> bool | None:
        """Whether administrators may not write either; None for MariaDB."""
        return None if self.mariadb else is_on(self.variables.get("super_read_only"))

    @property
    def writable(self) -> bool:
        """Whether ordinary accounts may write."""
        fenced = self.read_only or bool(self.super_read_only) or is_on(self.variables.get("offline_mode"))
        return not fenced

    @property
    def role(self) -> str:
        """Its role by what it does itself."""
        if self.in_group:
            return "group_primary" if self.own_member.get("MEMBER_ROLE") == "PRIMARY" else "group_secondary"
        if self.channels:
            return "replica"
        return "primary" if self.snapshot.get("dump_threads") or self.snapshot.get("replicas") else "standalone"

    @property
    def executed(self) -> str:
        """MySQL: everything applied. MariaDB: what its own binary log holds."""
        return str(self.snapshot.get("executed") or "")

    @property
    def position(self) -> str:
        """The position of this server: gtid_executed, or MariaDB's gtid_current_pos."""
        return str(self.snapshot.get("position") or "") if self.mariadb else self.executed

    @property
    def owned(self) -> str:
        """MySQL: what sessions are about to commit, such as what waits for a semi-synchronous acknowledgement."""
        # Each transaction is followed by the number of the session that owns it.
        return re.sub(r"#\d+", "", str(self.snapshot.get("owned") or ""))

    @property
    def purged(self) -> str:
        """What is no longer in its binary logs (MySQL)."""
        return str(self.snapshot.get("purged") or "")

    def denied(self, *sections: str) -> Row | None:
        """The first of these sections that could not be read."""
        refused = self.snapshot.get("denied") or {}
        return next((refused[name] for name in sections if name in refused), None)

    def setting(self, key: str) -> Any:
        """A variable by its key in the dialect table, or by its own name."""
        try:
            name = self.dialect.find(key)
        except KeyError:
            name = key
        return self.variables.get(name) if name else None

    def counter(self, key: str) -> Any:
        """A status value by its own name in the dialect; None if this server has none."""
        name = self.dialect.find(key)
        return self.status.get(name.lower()) if name else None

    @property
    def boot_read_only(self) -> bool | None:
        """Whether a restart brings it up read-only; None if that cannot be read from here."""
        name = "read_only" if self.mariadb else "super_read_only"
        found = self.snapshot.get("boot") or {}
        if found.get(name) is not None:
            return bool(found[name])
        return None


def is_on(value: Any) -> bool:
    """Whether a variable of the server is switched on."""
    return str(value).upper() in {"ON", "1", "YES", "TRUE"}


def as_int(value: Any) -> int | None:
    """The whole number that a value stands for; None if it stands for none."""
    try:
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        return None


def as_float(value: Any) -> float | None:
    """The number that a value stands for; None if it stands for none."""
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def build(snapshot: Snapshot, name: str = "") -> Server:
    """The server that a snapshot describes."""
    dialect = Dialect.of(str(snapshot.get("version") or ""), str(snapshot.get("version_comment") or ""))
    server = Server(
        snapshot=snapshot,
        dialect=dialect,
        name=name or str(snapshot.get("name") or ""),
        variables={k.lower(): v for k, v in (snapshot.get("variables") or {}).items()},
        status={k.lower(): v for k, v in (snapshot.get("status") or {}).items()},
    )
    make = _mariadb_channel if dialect.mariadb else _mysql_channel
    rows = snapshot.get("replica_status") or []
    server.channels = [
        make(server, row) for row in rows if not str(row.get("Channel_Name", "")).startswith("group_replication_")
    ]
    return server


def _thread_state(value: Any) -> str:
    text = str(value or "").lower()
    if text == "yes":
        return ON
    return CONNECTING if text in {"connecting", "preparing"} else OFF


def _filters(row: Row) -> list[str]:
    return [f"{name}={row[name]}" for name in _FILTER_COLUMNS if row.get(name)]


def _common(server: Server, row: Row) -> dict[str, Any]:
    d = server.dialect
    return {
        "name": str(row.get(d["channel_name"]) or ""),
        "source_host": str(row.get(d["source_host"]) or ""),
        "source_port": as_int(row.get(d["source_port"])),
        "source_user": str(row.get(d["source_user"]) or ""),
        "source_server_id": as_int(row.get(d["source_server_id"])),
        "io_state": _thread_state(row.get(d["io_running"])),
        "io_errno": as_int(row.get("Last_IO_Errno")) or 0,
        "io_error": masked(str(row.get("Last_IO_Error") or "")),
        "sql_state": _thread_state(row.get(d["sql_running"])),
        "sql_errno": as_int(row.get("Last_SQL_Errno")) or 0,
        "sql_error": masked(str(row.get("Last_SQL_Error") or "")),
        "seconds_behind": as_float(row.get(d["seconds_behind"])),
        "retry_interval": as_int(row.get("Connect_Retry")),
        "tls": is_on(row.get(d["source_ssl"])),
        "tls_verified": is_on(row.get(d["source_ssl_verify"])),
        "tls_ca": str(row.get(d["source_ssl_ca"]) or ""),
        "delay": as_int(row.get("SQL_Delay")) or 0,
        "filters": _filters(row),
    }


def _quiet_for(server: Server, channel: str) -> float | None:
    """Seconds without a message, measured by watching the receiver; None if it was not watched."""
    return as_float((server.snapshot.get("quiet_for") or {}).get(channel))


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _mysql_channel(server: Server, row: Row) -> Channel:
    name = str(row.get("Channel_Name") or "")

    def mine(section: str) -> list[Row]:
        return [r for r in server.snapshot.get(section) or [] if r.get("CHANNEL_NAME") == name]

    configuration = (mine("connection_configuration") or [{}])[0]
    receiver = (mine("connection_status") or [{}])[0]
    workers = mine("workers")
    applying = [w for w in workers if w.get("APPLYING_TRANSACTION")]
    ages = [age for age in (as_float(w.get("APPLYING_AGE")) for w in applying) if age is not None]
    filters = _filters(row)
    for extra in mine("filters") + (server.snapshot.get("global_filters") or []):
        text = f"{extra.get('FILTER_NAME')}={extra.get('FILTER_RULE')}"
        if extra.get("FILTER_RULE") and text.lower() not in {f.lower() for f in filters}:
            filters.append(text)
    common = _common(server, row)
    common["filters"] = filters
    return Channel(
        **common,
        source_uuid=str(row.get("Source_UUID") or "").lower(),
        worker_errors=[
            (int(w["LAST_ERROR_NUMBER"]), masked(str(w.get("LAST_ERROR_MESSAGE") or "")))
            for w in workers
            if as_int(w.get("LAST_ERROR_NUMBER"))
        ],
        applying_age=max(ages) if ages else None,
        since_last_message=_first(as_float(receiver.get("SINCE_LAST_MESSAGE")), _quiet_for(server, name)),
        heartbeat_interval=as_float(configuration.get("HEARTBEAT_INTERVAL")),
        retry_count=as_int(row.get("Source_Retry_Count")),
        auto_position=is_on(row.get("Auto_Position")),
        using_gtid="",
        received=str(receiver.get("RECEIVED_TRANSACTION_SET") or row.get("Retrieved_Gtid_Set") or ""),
        workers=len(workers),
    )


def _mariadb_channel(server: Server, row: Row) -> Channel:
    name = str(row.get("Connection_name") or "")
    using = str(row.get("Using_Gtid") or "No")
    return Channel(
        **_common(server, row),
        source_uuid="",
        worker_errors=[],
        applying_age=None,
        since_last_message=_quiet_for(server, name),
        heartbeat_interval=as_float(row.get("Slave_heartbeat_period")),
        # Visible from 12.0 on; before, it is an option of the server that no statement shows.
        retry_count=as_int(row.get("Master_Retry_Count") or row.get("Connects_Tried_Limit")),
        auto_position=using.lower() in {"slave_pos", "current_pos"},
        using_gtid=using,
        received=str(row.get("Gtid_IO_Pos") or ""),
        workers=as_int(server.setting("parallel_workers")) or 0,
    )


def describe(server: Server) -> dict[str, Any]:
    """The parts of the verdict that report rather than judge."""
    variables = server.variables
    return {
        "engine": {
            "flavor": server.dialect.flavor,
            "version": server.dialect.text,
            "version_tuple": list(server.dialect.version),
            "server_id": server.server_id,
            "server_uuid": server.uuid or None,
            "report_host": variables.get("report_host") or None,
        },
        "role": {
            "observed": server.role,
            "read_only": server.read_only,
            "super_read_only": server.super_read_only,
            "offline_mode": None if server.mariadb else is_on(variables.get("offline_mode")),
            "boot_read_only": server.boot_read_only,
        },
        "semi_sync": _semi_sync(server),
    }


def _semi_sync(server: Server) -> dict[str, Any]:
    source, replica = server.setting("semi_sync_source_enabled"), server.setting("semi_sync_replica_enabled")
    if server.mariadb:
        plugin = "builtin"
    else:
        plugin = "source" if source is not None else "replica" if replica is not None else "none"
    return {
        "plugin": plugin,
        "source_enabled": None if source is None else is_on(source),
        "source_status": None if source is None else is_on(server.counter("semi_sync_source_status")),
        "clients": as_int(server.counter("semi_sync_source_clients")),
        "replica_enabled": None if replica is None else is_on(replica),
        "replica_status": None if replica is None else is_on(server.counter("semi_sync_replica_status")),
        "timeout_ms": as_int(server.setting("semi_sync_source_timeout")),
        "yes_tx": as_int(server.counter("semi_sync_yes_tx")),
        "no_tx": as_int(server.counter("semi_sync_no_tx")),
    }


def unapplied(server: Server, channel: Channel) -> int | None:
    """Transactions received and not applied; None where there is nothing to count with."""
    if server.mariadb:
        return sum(
            MariadbGtid.parse(server.snapshot.get("slave_pos") or "")
            .behind(MariadbGtid.parse(channel.received))
            .values()
        )
    return (GtidSet.parse(channel.received) - GtidSet.parse(server.executed)).count


def not_received(server: Server, primary: Server) -> int | None:
    """Transactions of the primary that have not even arrived here."""
    if server.mariadb:
        here = ",".join(filter(None, [server.position, *(c.received for c in server.channels)]))
        return sum(MariadbGtid.parse(here).behind(MariadbGtid.parse(primary.position)).values())
    here = GtidSet.parse(",".join(filter(None, [server.executed, *(c.received for c in server.channels)])))
    return (GtidSet.parse(primary.executed) - here).count


def describe_channel(server: Server, channel: Channel) -> dict[str, Any]:
    """The part of the result on one channel."""
    return {
        "name": channel.name,
        "source": {
            "host": channel.source_host,
            "port": channel.source_port,
            "user": channel.source_user,
            "uuid": channel.source_uuid or None,
            "server_id": channel.source_server_id,
        },
        "io": {
            "state": channel.io_state,
            "errno": channel.io_errno,
            "error": channel.io_error,
            "since_last_message_s": channel.since_last_message,
            "retry_interval": channel.retry_interval,
            "retry_count": channel.retry_count,
            "retry_window_s": channel.retry_window,
            "heartbeat_interval": channel.heartbeat_interval,
            "tls": {"enabled": channel.tls, "verified": channel.tls_verified},
        },
        "applier": {
            "state": channel.sql_state,
            "workers": channel.workers,
            "errno": channel.sql_errno,
            "error": channel.sql_error,
            "delay": channel.delay,
            "filters": channel.filters,
        },
        "auto_position": channel.auto_position,
        "using_gtid": channel.using_gtid or None,
        "gtid": {
            "received": channel.received,
            "executed": server.snapshot.get("slave_pos") if server.mariadb else server.executed,
            "unapplied_count": or_none(unapplied, server, channel),
        },
    }
