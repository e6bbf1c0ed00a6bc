# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement: servers in, checks out. No connection, no clock, nothing but the given rows.

A rule says what it saw (Finding); its severity, or the caller's override, decides what that means.
What could not be read is ``unknown``, never a pass.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Iterator, Sequence

from ...mysql.gtid import GtidError, GtidSet, MariadbGtid, or_none
from ..errors import applier_advice, applier_trouble, receiver_advice
from ..history import History
from ..model import (
    CONNECTING,
    OFF,
    ON,
    Channel,
    Server,
    as_float,
    as_int,
    describe,
    describe_channel,
    is_on,
    not_received,
    unapplied,
)
from .data import unlike_tables
from .registry import (
    CRITICAL,
    FAIL,
    INFO,
    PASS,
    RULES,
    SKIP,
    UNKNOWN,
    WARNING,
    Context,
    Finding,
    Rule,
    failed,
    passed,
    refused,
    rule,
    span,
    unknown,
)
from .settings import certificate_limits

# Their modules register the other rules when they are imported.
FURTHER = (certificate_limits, unlike_tables)

# Where the caller's own knowledge of the option file is missing, this is what the server's default is.
_MARIADB_RETRY_COUNT = 100000


def _label(channel: Channel) -> str:
    return f"The channel {channel.name!r}" if channel.name else "The replication channel"


# --- server ---------------------------------------------------------------------------------------------------------


@rule("version_supported", WARNING, "The server's version is one these rules are written for")
def _version(ctx: Context) -> Finding:
    here = f"{ctx.d.flavor} {ctx.d.text}"
    if ctx.d.supported:
        return passed(here, None, f"{here} is a supported version.")
    hint = "The rules were applied as far as the server answers. Supported: MySQL 8.0.23 to 9.x, MariaDB 10.11 and 11."
    return failed(
        here,
        "MySQL 8.0.23 to 9.x, MariaDB 10.11 to 11.x",
        f"{here} is of no version that these rules are written for.",
        hint,
    )


@rule("role", CRITICAL, "The server has the role it is meant to have")
def _role(ctx: Context) -> Finding | None:
    observed, wanted = ctx.local.role, ctx.policy["role"]
    denied = refused(ctx.local, "replica_status")
    if denied:
        return denied
    if wanted == "auto":
        return passed(observed, "auto", f"The server is a {observed.replace('_', ' ')}.")
    if wanted == "replica" and observed != "replica":
        hint = f"Configure its channel ({ctx.d['change_source']} ...), or correct what the inventory says of its role."
        return failed(observed, wanted, "No replication channel is configured here.", hint, heals=False)
    if wanted == "primary" and observed == "replica":
        source = f"{ctx.local.channels[0].source_host}:{ctx.local.channels[0].source_port}"
        hint = "If it was promoted, its old channel must be reset; if not, another server is the primary."
        return failed(f"replica of {source}", wanted, f"The server still follows {source}.", hint, heals=False)
    if wanted == "group" and not observed.startswith("group"):
        hint = "START GROUP_REPLICATION, or correct what the inventory says of its role."
        return failed(observed, wanted, "The server is not a member of a replication group.", hint)
    return passed(observed, wanted, f"The server is a {observed.replace('_', ' ')}.")


@rule("writable", CRITICAL, "The primary accepts writes")
def _writable(ctx: Context) -> Finding | None:
    server = ctx.local
    if ctx.role not in {"primary", "standalone"} and server.role != "group_primary":
        return None
    denied = refused(server, "variables")
    if denied:
        return denied
    seen = {name: server.variables.get(name) for name in ("read_only", "super_read_only", "offline_mode")}
    seen = {name: value for name, value in seen.items() if value is not None}
    if server.writable:
        return passed(seen, "OFF", "The server accepts writes.")
    hint = (
        "SET GLOBAL super_read_only=OFF; SET GLOBAL read_only=OFF"
        if not server.mariadb
        else ("SET GLOBAL read_only=OFF")
    )
    hint += ", once it is certain that no other server is the primary."
    if ctx.policy["role"] == "auto":
        return failed(seen, "OFF", "The server follows nobody and refuses writes.", hint, cap=WARNING)
    return failed(seen, "OFF", "The primary refuses writes.", hint)


@rule("read_only", CRITICAL, "A replica refuses writes of ordinary accounts")
def _read_only(ctx: Context) -> Finding | None:
    if not ctx.policy["require_read_only"] or not ctx.replica and ctx.local.role != "group_secondary":
        return None
    value = ctx.local.variables.get("read_only")
    if value is None:
        return refused(ctx.local, "variables") or unknown("The server does not say whether it is read-only.")
    if ctx.local.read_only:
        return passed(value, ON.upper(), "The replica refuses writes.")
    hint = "SET GLOBAL read_only=ON" + ("" if ctx.local.mariadb else " (or, better, super_read_only=ON)")
    message = "The replica accepts writes, so it can drift from its source at any moment."
    return failed(value, "ON", message, hint + ".", heals=False)


@rule("super_read_only", CRITICAL, "A MySQL replica refuses writes of administrators, too")
def _super_read_only(ctx: Context) -> Finding | None:
    if not ctx.policy["require_super_read_only"] or ctx.local.mariadb:
        return None
    if not ctx.replica and ctx.local.role != "group_secondary":
        return None
    value = ctx.local.variables.get("super_read_only")
    if value is None:
        return refused(ctx.local, "variables") or unknown("The server does not say whether it is super_read_only.")
    if is_on(value):
        return passed(value, "ON", "The replica refuses writes of administrators as well.")
    hint = "SET PERSIST super_read_only=ON."
    return failed(value, "ON", "An administrator's session can write to this replica.", hint, heals=False)


@rule("boot_read_only", WARNING, "The replica is read-only after a restart")
def _boot_read_only(ctx: Context) -> Finding | None:
    if not ctx.policy["require_boot_read_only"] or not ctx.replica:
        return None
    told = ctx.policy["boot_read_only"]
    value = ctx.local.boot_read_only if told is None else bool(told)
    name = "read_only" if ctx.local.mariadb else "super_read_only"
    if value:
        return passed(True, True, f"A restart keeps {name}.")
    remedy = (
        "read_only=ON in the option file"
        if ctx.local.mariadb
        else ("SET PERSIST super_read_only=ON, or super_read_only=ON in the option file")
    )
    if value is None:
        denied = refused(ctx.local, "persisted")
        return denied or failed(
            None, True, f"{name} was set at run time; nothing shows that it survives a restart.",
            f"{remedy}; where the option file says so already, tell the module with boot_read_only=true.",
        )  # fmt: skip
    return failed(False, True, f"After a restart this replica accepts writes: {name} is not kept.", remedy + ".")


@rule("gtid_mode", CRITICAL, "GTIDs are on and enforced")
def _gtid_mode(ctx: Context) -> Finding | None:
    if not ctx.policy["require_gtid"]:
        return None
    if ctx.local.mariadb:
        strict = ctx.local.variables.get("gtid_strict_mode")
        if strict is None:
            return refused(ctx.local, "variables")
        if is_on(strict):
            return passed(strict, "ON", "gtid_strict_mode is ON.")
        hint = "SET GLOBAL gtid_strict_mode=ON, and in the option file."
        message = "gtid_strict_mode is OFF: a write here would go unnoticed and break a later switchover."
        return failed(strict, "ON", message, hint, cap=WARNING)
    seen = {name: ctx.local.variables.get(name) for name in ("gtid_mode", "enforce_gtid_consistency")}
    if None in seen.values():
        return refused(ctx.local, "variables") or unknown("The server does not say whether GTIDs are on.")
    if set(seen.values()) == {"ON"}:
        return passed(seen, "ON", "GTIDs are on and enforced.")
    hint = "Set enforce_gtid_consistency=ON and gtid_mode=ON (step by step on a running server)."
    return failed(seen, "ON", "GTIDs are not fully on, so positions cannot be compared.", hint, heals=False)


@rule("binlog", CRITICAL, "The binary log is complete: on, row format, full images, replicated writes included")
def _binlog(ctx: Context) -> Finding | None:
    server = ctx.local
    if server.role == "standalone" and ctx.policy["role"] == "auto":
        return None
    seen = {
        "log_bin": server.variables.get("log_bin"),
        "binlog_row_image": server.variables.get("binlog_row_image"),
    }
    wanted = {"log_bin": "ON", "binlog_row_image": "FULL", "binlog_format": "ROW"}
    if ctx.replica:
        # That of the server that is written to has a rule of its own.
        seen["binlog_format"] = server.variables.get("binlog_format")
        seen["log_replica_updates"], wanted["log_replica_updates"] = server.setting("log_replica_updates"), "ON"
    if seen["log_bin"] is None:
        return refused(server, "variables")
    # MySQL 9 has only one format left and may stop showing the variable.
    wrong = {k: v for k, v in seen.items() if v is not None and str(v).upper() != wanted[k]}
    if not wrong:
        return passed(seen, wanted, "The binary log is on and complete.")
    text = ", ".join(f"{k}={v}" for k, v in wrong.items())
    hint = "Set " + ", ".join(f"{k}={wanted[k]}" for k in wrong) + " in the option file."
    # Without row format replication still runs; without a log or with partial images nothing can follow or verify.
    cap = WARNING if set(wrong) <= {"binlog_format", "binlog_row_image"} else None
    return failed(
        wrong, {k: wanted[k] for k in wrong}, f"The binary log is not as it should be: {text}.", hint, cap=cap
    )


@rule("retention", WARNING, "Binary logs are kept long enough for a replica to come back")
def _retention(ctx: Context) -> Finding | None:
    server = ctx.local
    if server.role == "standalone" and ctx.policy["role"] == "auto":
        return None
    value, least = as_int(as_float(server.setting("binlog_expire"))), ctx.policy["min_binlog_retention"]
    if value is None:
        return refused(server, "variables") or unknown("The server does not say how long binary logs are kept.")
    if value == 0:
        hint = "Set binlog_expire_logs_seconds, or watch the disk."
        return failed(0, f">= {least}", "Binary logs are never purged and will fill the disk.", hint, cap=INFO)
    if value >= least:
        return passed(value, f">= {least}", f"Binary logs are kept for {span(value)}.")
    message = f"Binary logs are kept for only {span(value)}; a replica away for longer must be rebuilt."
    return failed(value, f">= {least}", message, f"Set binlog_expire_logs_seconds to {least} or more.")


@rule("durability", WARNING, "A crash loses no committed transaction")
def _durability(ctx: Context) -> Finding | None:
    if not ctx.policy["require_durable"]:
        return None
    names = ("sync_binlog", "innodb_flush_log_at_trx_commit")
    seen = {name: ctx.local.variables.get(name) for name in names}
    if None in seen.values():
        return refused(ctx.local, "variables")
    if all(str(value) == "1" for value in seen.values()):
        return passed(seen, 1, "Every commit reaches the disk.")
    text = ", ".join(f"{k}={v}" for k, v in seen.items() if str(v) != "1")
    message = f"A crash can lose committed transactions and make replicas diverge: {text}."
    return failed(seen, 1, message, "Set sync_binlog=1 and innodb_flush_log_at_trx_commit=1.")


@rule("parallel", INFO, "The applier works in parallel and keeps the commit order")
def _parallel(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    workers, order = as_int(ctx.local.setting("parallel_workers")), None
    if not ctx.local.mariadb:
        order = ctx.local.setting("preserve_commit_order")
    seen = {"workers": workers, "preserve_commit_order": order}
    if workers is None:
        return refused(ctx.local, "variables")
    if workers > 1 and (ctx.local.mariadb or is_on(order)):
        return passed(seen, None, f"{workers} workers apply in parallel.")
    if not ctx.local.mariadb and workers > 1:
        message = "Workers commit out of order: a reader here can see a state the source never had."
        return failed(seen, "preserve_commit_order=ON", message, "Set replica_preserve_commit_order=ON.")
    name = "slave_parallel_threads" if ctx.local.mariadb else "replica_parallel_workers"
    return failed(seen, "> 1", "One thread applies everything; a busy source can outrun it.", f"Set {name}=4.")


@rule("disk_free", CRITICAL, "There is room for data, binary logs and relay logs")
def _disk_free(ctx: Context) -> Finding | None:
    disks = ctx.local.snapshot.get("disk")
    if not disks:
        return None
    least = float(ctx.policy["min_free_disk_percent"])
    seen = {d["path"]: round(100.0 * d["free_bytes"] / d["total_bytes"], 1) for d in disks}
    low = {path: percent for path, percent in seen.items() if percent < least}
    if not low:
        return passed(seen, f">= {least:g} %", "There is free disk space.")
    text = ", ".join(f"{path} has {percent:g} % left" for path, percent in low.items())
    cap = None if min(low.values()) < least / 2 else WARNING
    hint = "Free space or enlarge the file system: with a full disk the receiver waits without reporting an error."
    return failed(low, f">= {least:g} %", f"The disk runs full: {text}.", hint, cap=cap)


@rule("semi_sync", WARNING, "Semi-synchronous replication is active where it is wanted")
def _semi_sync(ctx: Context) -> Finding | None:
    seen = describe(ctx.local)["semi_sync"]
    wanted = ctx.policy["require_semi_sync"]
    as_source = ctx.role in {"primary", "standalone"}
    enabled = seen["source_enabled"] if as_source else seen["replica_enabled"]
    status = seen["source_status"] if as_source else seen["replica_status"]
    severity_cap = None if wanted else WARNING
    if not enabled:
        if not wanted:
            return None
        hint = "Install the plugin and switch rpl_semi_sync_*_enabled on."
        return failed(seen, "enabled", "Semi-synchronous replication is required but off.", hint)
    if as_source:
        wait_for = as_int(ctx.local.setting("semi_sync_source_wait_for")) or 1
        if not status or (seen["clients"] or 0) < wait_for:
            message = (
                f"Semi-synchronous replication is switched on but has silently degraded to asynchronous "
                f"({seen['clients']} of {wait_for} acknowledging replicas)."
            )
            hint = "Commits are no longer confirmed by a replica: bring the replica back."
            return failed(seen, "active", message, hint, cap=severity_cap)
        return passed(seen, "active", f"{seen['clients']} replicas acknowledge every commit.")
    if not status and all(c.io_state == ON for c in ctx.local.channels):
        hint = "Restart the receiver (STOP/START ... IO_THREAD) so that it registers as semi-synchronous."
        return failed(seen, "active", "Semi-sync is switched on here, but the receiver does not use it.", hint)
    return passed(seen, "active", "The receiver acknowledges semi-synchronously.") if status else None


@rule("long_transactions", WARNING, "No transaction stays open for long")
def _long_transactions(ctx: Context) -> Finding | None:
    rows = ctx.local.snapshot.get("long_transactions")
    if rows is None:
        return refused(ctx.local, "long_transactions")
    if not rows:
        return passed(0, 0, "No long transaction is open.")
    first = rows[0]
    message = (
        f"{len(rows)} transaction(s) are open for long, the oldest (session {first['thread']}) for {first['age']} s."
    )
    hint = f"Look at it (SHOW PROCESSLIST); end it with KILL {first['thread']} if nobody needs it."
    return failed(rows, 0, message, hint)


# Seconds from which on a wait of the applier is more than everyday's.
_HELD_UP = 1.0


@rule("applier_blocked", CRITICAL, "No session holds up the applier")
def _applier_blocked(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    rows = ctx.local.snapshot.get("blockers")
    if rows is None:
        # lag_seconds is the judge; not being told the culprit is no alarm of its own.
        denied = refused(ctx.local, "blockers")
        return denied._replace(cap=WARNING) if denied else None
    if not rows:
        return passed(0, 0, "No session holds up the applier.")
    first = rows[0]
    stuck = max((as_float(w.get("APPLYING_FOR")) or 0 for w in ctx.local.snapshot.get("workers") or []), default=0)
    longest = max([stuck] + [c.seconds_behind or 0 for c in ctx.local.channels])
    # Whoever reads a table or a list of tables, as this module does, may hold a lock for an instant.
    if longest < _HELD_UP:
        return passed(0, 0, "No session has held up the applier for as long as a second.")
    message = (
        f"The applier waits for a {first['kind']} held by session {first['blocker']} "
        f"({first.get('user')}@{first.get('host')})."
    )
    cap = None if longest > ctx.policy["max_lag"] else WARNING
    return failed(rows, 0, message, f"End that session if nobody needs it: KILL {first['blocker']};", cap=cap)


@rule("server_id_unique", CRITICAL, "server_id and server_uuid are unique among all servers seen")
def _server_id_unique(ctx: Context) -> Finding | None:
    seen: list[tuple[str, int | None, str]] = [("this server", ctx.local.server_id, ctx.local.uuid)]
    if ctx.primary:
        seen.append(("the primary", ctx.primary.server_id, ctx.primary.uuid))
    for row in ctx.local.snapshot.get("replicas") or []:
        number, uuid = row.get("Server_Id", row.get("Server_id")), str(row.get("Replica_UUID") or "").lower()
        seen.append((f"the replica {row.get('Host') or number}", as_int(number), uuid))
    clash = duplicates(seen)
    if clash:
        return failed(clash, "unique", clash[0], _UNIQUE_HINT, heals=False)
    if ctx.local.server_id == 0:
        return failed(0, "> 0", "server_id is 0, so nothing can replicate with this server.", _UNIQUE_HINT)
    return passed(len(seen), "unique", f"The ids of {len(seen)} server(s) are unique.")


_UNIQUE_HINT = (
    "Give each server its own server_id in the option file; for server_uuid stop the server, delete auto.cnf in its "
    "data directory and start it (cloned machines carry the same one)."
)


def duplicates(seen: Sequence[tuple[str, int | None, str]]) -> list[str]:
    """Sentences on the ids that occur twice."""
    found = []
    for position, (kind, pick) in enumerate((("server_id", 1), ("server_uuid", 2))):
        owners: dict[Any, str] = {}
        for entry in seen:
            value = entry[pick]
            if not value:
                continue
            if value in owners:
                found.append(f"{owners[value]} and {entry[0]} have the same {kind} {value}.".capitalize())
            owners.setdefault(value, entry[0])
        del position
    return found


# --- channels -------------------------------------------------------------------------------------------------------


@rule("channels_unexpected", CRITICAL, "The replica follows one source only")
def _channels(ctx: Context) -> Finding | None:
    if not ctx.replica or len(ctx.local.channels) < 2:
        return None
    names = [f"{c.name or '(default)'} from {c.source_host}:{c.source_port}" for c in ctx.local.channels]
    if ctx.policy["allow_multi_source"]:
        return passed(names, None, f"{len(names)} channels are configured, as allowed.")
    message = f"{len(names)} channels are configured: {'; '.join(names)}."
    return failed(names, 1, message, "Reset the one that does not belong here, or set allow_multi_source.", heals=False)


@rule("channel", CRITICAL, "The channel that is to be judged exists")
def _channel(ctx: Context) -> Finding | None:
    wanted = str(ctx.policy["channel"])
    if wanted == "*" or ctx.role == "primary" or refused(ctx.local, "replica_status"):
        return None
    names = [c.name or "(default)" for c in ctx.local.channels]
    if ctx.judged_channels:
        return passed(names, wanted or "(default)", f"The channel {wanted or '(default)'} exists.")
    message = f"There is no channel {wanted or '(default)'} here; there is {', '.join(names) or 'none at all'}."
    return failed(names, wanted or "(default)", message, "Correct its name, or configure it.", heals=False)


@rule("io_thread", CRITICAL, "The receiver is connected to its source", per_channel=True)
def _io_thread(ctx: Context, channel: Channel) -> Finding:
    source = f"{channel.source_host}:{channel.source_port}"
    if channel.io_state == ON:
        return passed("on", "on", f"{_label(channel)} receives from {source}.")
    advice = receiver_advice(channel.io_errno, channel.io_error)
    tried, limit = channel.attempts
    start = f"{ctx.d['start_replica']} IO_THREAD"
    if channel.io_state == CONNECTING:
        if not channel.io_errno:
            message = f"The receiver is connecting to {source}."
            return failed("connecting", "on", message, "Wait; it is normal for a moment after a start.", cap=WARNING)
        progress = f", attempt {tried} of {limit}" if tried else ""
        message = f"The receiver cannot connect to {source}: {_meaning(advice, channel.io_error)} "
        message += f"(error {channel.io_errno}{progress})."
        return failed("connecting", "on", message, _remedy(advice, channel.io_error), heals=_heals(advice))
    if not channel.io_errno:
        message = f"The receiver is stopped, without an error: somebody stopped it, or it was never started ({source})."
        return failed("off", "on", message, f"{start};", heals=False)
    exhausted = tried is not None and limit is not None and tried >= limit
    message = (
        f"The receiver has stopped: {_meaning(advice, channel.io_error)} (error {channel.io_errno}, source {source})."
    )
    hint = _remedy(advice, channel.io_error)
    if exhausted or (channel.io_errno in {2002, 2003, 2013} and channel.io_state == OFF):
        attempts = f" after {tried} of {limit} attempts" if tried else ""
        message = (
            f"The receiver has given up{attempts}: {_meaning(advice, channel.io_error)} "
            f"(error {channel.io_errno}, source {source}); it will never try again by itself."
        )
        hint = f"Repair the path to {source}, raise the retry count, then {start};"
    return failed("off", "on", message, hint, heals=False)


def _meaning(advice: Any, text: str) -> str:
    return advice.meaning if advice else (text or "no reason given").rstrip(".")


def _remedy(advice: Any, text: str) -> str:
    return advice.remedy if advice else f"The server says: {text}"


def _heals(advice: Any) -> bool:
    return advice.heals if advice else True


@rule("sql_thread", CRITICAL, "The applier runs", per_channel=True)
def _sql_thread(ctx: Context, channel: Channel) -> Finding:
    errors = channel.worker_errors or ([(channel.sql_errno, channel.sql_error)] if channel.sql_errno else [])
    start = ctx.d["start_replica"] + " SQL_THREAD;"
    if channel.sql_state == ON and not errors:
        return passed("on", "on", f"{_label(channel)} applies.")
    if not errors:
        message = "The applier is stopped, without an error: somebody stopped it, or it was never started."
        return failed("off", "on", message, start, heals=False)
    trouble = applier_trouble(*errors[0])
    advice = applier_advice(trouble.errno)
    place = f" at table {trouble.table}" if trouble.table else ""
    detail = f": {trouble.key}" if trouble.key else ""
    at = f", transaction {trouble.gtid}" if trouble.gtid else ""
    meaning = f": {advice.meaning}" if advice else "" if detail else f": {trouble.text.rstrip('.')}"
    message = f"The applier has stopped{place}{detail} (error {trouble.errno}{at}){meaning}."
    observed = {"errno": trouble.errno, "table": trouble.table, "detail": trouble.key, "gtid": trouble.gtid}
    hint = advice.remedy if advice else f"Remove the cause on this server, then {start}"
    return failed(observed, "on", message, hint, heals=channel.sql_state == ON)


@rule("source_identity", CRITICAL, "The replica follows the source it is meant to follow", per_channel=True)
def _source_identity(ctx: Context, channel: Channel) -> Finding | None:
    p = ctx.policy
    wanted: dict[str, Any] = {
        "host": p["expected_source_host"],
        "port": p["expected_source_port"],
        "uuid": (p["expected_source_uuid"] or "").lower() or None,
        "server_id": p["expected_source_server_id"],
    }
    if ctx.primary and not p["allow_multi_source"]:
        # An unconnected channel does not know its source's identity yet.
        if ctx.local.mariadb:
            wanted["server_id"] = wanted["server_id"] or (ctx.primary.server_id if channel.source_server_id else None)
        else:
            wanted["uuid"] = wanted["uuid"] or (ctx.primary.uuid if channel.source_uuid else None)
    seen = {
        "host": channel.source_host,
        "port": channel.source_port,
        "uuid": channel.source_uuid,
        "server_id": channel.source_server_id,
    }
    wanted = {key: value for key, value in wanted.items() if value is not None}
    if not wanted:
        return None
    wrong = {key: value for key, value in wanted.items() if str(seen[key]) != str(value)}
    if not wrong:
        return passed(seen, wanted, f"The source is {channel.source_host}:{channel.source_port}, as expected.")
    text = ", ".join(f"{k} is {seen[k] or 'not known'} instead of {v}" for k, v in wrong.items())
    hint = f"Point the channel at the right source ({ctx.d['change_source']} ...)."
    if not {"host", "port"} & set(wrong):
        hint = f"Another server stands at this address than the one that was followed. {_KEEP_DATA}"
    message = f"The replica follows another source than expected: {text}."
    return failed(seen, wanted, message, hint, heals=False)


def silence_limit(policy: dict[str, Any], channel: Channel) -> float:
    given = policy["max_source_silence"]
    return float(given) if given else 2.5 * (channel.heartbeat_interval or 0) + 2


@rule("source_silent", CRITICAL, "The source has said something lately", per_channel=True)
def _source_silent(ctx: Context, channel: Channel) -> Finding | None:
    if channel.io_state != ON:
        return None
    denied = refused(ctx.local, "connection_status")
    if denied:
        return denied
    limit, quiet = silence_limit(ctx.policy, channel), channel.since_last_message
    if quiet is None:
        if not channel.heartbeat_interval:
            hint = "Set a heartbeat period of a few seconds on the channel."
            return failed(None, f"<= {limit:g} s", "The channel has no heartbeat, so silence cannot be seen.", hint,
                          cap=WARNING)  # fmt: skip
        return unknown("Nothing was received yet since the receiver started.", "Ask again in a few seconds.")
    if quiet <= limit:
        return passed(round(quiet, 3), f"<= {limit:g} s", f"The source was last heard {quiet:.1f} s ago.")
    message = (
        f"Nothing has come from {channel.source_host}:{channel.source_port} for {quiet:.0f} s, although both threads "
        f"run and the server reports no delay: the source is frozen or the network is cut."
    )
    hint = "Look at the source itself (process state, load, disk) and the path to it; heartbeats should arrive."
    return failed(round(quiet, 3), f"<= {limit:g} s", message, hint)


# Seconds by which the clocks of two servers may differ.
_CLOCK_TOLERANCE = 1.0
_AHEAD = "heartbeat in the future"


def lag_seconds(ctx: Context, channel: Channel) -> tuple[float | None, str]:
    """Time lag less the wanted delay, and where the figure is from."""
    beats = ctx.local.snapshot.get("heartbeat")
    if beats:
        ages = [as_float(b.get("age")) for b in beats]
        if ages and ages[0] is not None:
            # A stamp in the future says nothing about the past.
            if ages[0] < -_CLOCK_TOLERANCE:
                return None, _AHEAD
            return max(0.0, ages[0] - channel.delay), "heartbeat"
    if not channel.running:
        return None, "none"
    if channel.applying_age is not None and channel.applying_age >= -_CLOCK_TOLERANCE:
        return max(0.0, channel.applying_age - channel.delay), "commit_timestamp"
    if channel.seconds_behind is None:
        return None, "none"
    if not ctx.local.mariadb and not unapplied(ctx.local, channel):
        return 0.0, "commit_timestamp"
    return max(0.0, channel.seconds_behind - channel.delay), "seconds_behind"


@rule("lag_seconds", CRITICAL, "The replica is not behind in time", per_channel=True)
def _lag_seconds(ctx: Context, channel: Channel) -> Finding | None:
    lag, source = lag_seconds(ctx, channel)
    most, warn = float(ctx.policy["max_lag"]), float(ctx.policy["warn_lag"])
    if lag is None:
        if source == _AHEAD:
            ahead = -(as_float(ctx.local.snapshot["heartbeat"][0].get("age")) or 0)
            hint = "Its writer has to stamp UTC (pt-heartbeat --utc), by a clock that is right."
            return unknown(f"The newest heartbeat is {ahead:.0f} s in the future, so it tells no lag.", hint)
        if not channel.running:
            # io_thread and sql_thread say it already; a second voice would only hide which one it is.
            return None
        message = "The server cannot say how far behind it is (NULL), although both threads run."
        return failed(None, f"<= {most:g} s", message, "Look at the error log of the replica.")
    lag = round(lag, 3)
    if lag <= warn:
        return passed(lag, f"<= {warn:g} s", f"The replica is {lag:g} s behind (by {source}).")
    message = f"The replica is {lag:g} s behind its source (by {source})."
    hint = "See what the applier does (SHOW PROCESSLIST): a long statement, a lock, a slow disk, too few workers."
    return failed(lag, f"<= {most:g} s", message, hint, cap=None if lag > most else WARNING)


@rule("apply_backlog", CRITICAL, "What was received is applied", per_channel=True)
def _apply_backlog(ctx: Context, channel: Channel) -> Finding | None:
    limit = ctx.policy["max_lag_transactions"]
    denied = refused(ctx.local, "connection_status")
    if denied:
        return denied._replace(cap=WARNING)
    count = unapplied(ctx.local, channel)
    if count is None or count <= limit:
        return passed(count, limit, f"{count} received transaction(s) wait to be applied.")
    if ctx.policy["expected_delay"]:
        return passed(count, None, f"{count} received transaction(s) wait to be applied; a delay is wanted.")
    message = f"{count} received transactions wait to be applied, more than {limit}."
    hint = "The applier cannot keep up or stands still."
    return failed(count, f"<= {limit}", message, hint, cap=_backlog_cap(count, limit))


# So many times the limit of transactions is no longer a warning.
_FAR_BEHIND = 10


def _backlog_cap(count: int, limit: int) -> str | None:
    return None if count > _FAR_BEHIND * limit else WARNING


@rule("auto_position", CRITICAL, "The channel finds its position by GTID", per_channel=True)
def _auto_position(ctx: Context, channel: Channel) -> Finding | None:
    if not ctx.policy["require_auto_position"]:
        return None
    seen = channel.using_gtid if ctx.local.mariadb else channel.auto_position
    if channel.auto_position:
        if channel.using_gtid.lower() == "current_pos":
            message = "The channel uses Current_Pos, which breaks after a local write."
            return failed(seen, "Slave_Pos", message, "CHANGE MASTER TO MASTER_USE_GTID=slave_pos.", cap=WARNING)
        return passed(seen, True, "The channel finds its position by GTID.")
    option = "MASTER_USE_GTID=slave_pos" if ctx.local.mariadb else "SOURCE_AUTO_POSITION=1"
    message = "The channel uses file and position: it cannot follow a new primary by itself."
    return failed(seen, True, message, f"{ctx.d['change_source']} {option}.", heals=False)


@rule("tls", CRITICAL, "The channel is configured to use TLS", per_channel=True)
def _tls(ctx: Context, channel: Channel) -> Finding | None:
    if not ctx.policy["require_tls"]:
        return None
    if channel.tls:
        return passed(True, True, "The channel is configured to use TLS.")
    option = "MASTER_SSL=1" if ctx.local.mariadb else "SOURCE_SSL=1"
    message = "The channel is in plain text: data and password cross the network readable."
    return failed(False, True, message, f"{ctx.d['change_source']} {option} (receiver stopped).", heals=False)


@rule("tls_verify", WARNING, "The channel verifies the certificate of its source", per_channel=True)
def _tls_verify(ctx: Context, channel: Channel) -> Finding | None:
    if not ctx.policy["require_tls"] or not channel.tls:
        return None
    if channel.tls_verified:
        return passed(True, True, "The source's certificate is verified.")
    prefix = "MASTER" if ctx.local.mariadb else "SOURCE"
    hint = f"{ctx.d['change_source']} {prefix}_SSL_CA='...', {prefix}_SSL_VERIFY_SERVER_CERT=1."
    message = "The source's certificate is not verified, so anybody in the path can take its place."
    return failed(False, True, message, hint, cap=None if ctx.policy["require_tls_verify"] else INFO)


# What a backup program (mysqlbinlog) on the primary's own host uses never crosses a network.
_WITHIN_THE_HOST = {"Socket", "Named Pipe", "Shared Memory"}


@rule("tls_in_use", CRITICAL, "The primary sees the replica's connection encrypted")
def _tls_in_use(ctx: Context) -> Finding | None:
    if not ctx.policy["require_tls"]:
        return None
    server = ctx.primary or (ctx.local if ctx.role == "primary" else None)
    if server is None:
        return None
    rows = server.snapshot.get("dump_threads")
    if rows is None:
        return refused(server, "dump_threads")
    rows = [r for r in rows if r.get("connection_type") is not None]
    if not rows:
        return None
    rows = [r for r in rows if r["connection_type"] not in _WITHIN_THE_HOST]
    plain = [f"{r.get('user')}@{r.get('host')}" for r in rows if r["connection_type"] != "SSL/TLS"]
    if not plain:
        return passed([r["connection_type"] for r in rows], "SSL/TLS", f"{len(rows)} dump thread(s) use TLS.")
    message = f"The primary sends its binary log in plain text to {', '.join(plain)}."
    hint = "Switch TLS on for that channel, and require it of the account: ALTER USER ... REQUIRE SSL."
    return failed([r["connection_type"] for r in rows], "SSL/TLS", message, hint, heals=False)


@rule("retry_window", WARNING, "The receiver keeps trying long enough", per_channel=True)
def _retry_window(ctx: Context, channel: Channel) -> Finding | None:
    least = ctx.policy["min_retry_window"]
    count, interval = channel.retry_count, channel.retry_interval
    if interval is None:
        return refused(ctx.local, "replica_status")
    if count is None and ctx.local.mariadb:
        count = channel.attempts[1] or _MARIADB_RETRY_COUNT
    if not count:
        return passed("unlimited", f">= {least} s", "The receiver never gives up.")
    window = count * interval
    if window >= least:
        return passed(window, f">= {least} s", f"The receiver keeps trying for {span(window)}.")
    tries = f"{count} attempts every {interval} s"
    message = f"After {span(window)} without its source ({tries}) the receiver gives up for good."
    option = (
        "master-retry-count=100000 in the option file"
        if ctx.local.mariadb
        else ("CHANGE REPLICATION SOURCE TO SOURCE_RETRY_COUNT=86400")
    )
    return failed(window, f">= {least} s", message, f"{option}.")


@rule("heartbeat_interval", INFO, "Heartbeats come at least twice within the network timeout", per_channel=True)
def _heartbeat(ctx: Context, channel: Channel) -> Finding | None:
    beat, timeout = channel.heartbeat_interval, as_float(ctx.local.setting("replica_net_timeout"))
    if beat is None or timeout is None:
        return refused(ctx.local, "connection_configuration", "variables")
    if 0 < beat <= timeout / 2:
        return passed(beat, f"<= {timeout / 2:g} s", f"A heartbeat is due every {beat:g} s.")
    message = f"The heartbeat period is {beat:g} s while the receiver times out after {timeout:g} s."
    prefix = "MASTER" if ctx.local.mariadb else "SOURCE"
    return failed(beat, f"<= {timeout / 2:g} s", message, f"{prefix}_HEARTBEAT_PERIOD=2.")


@rule("filters", CRITICAL, "Nothing is filtered out", per_channel=True)
def _filters(ctx: Context, channel: Channel) -> Finding | None:
    found = list(channel.filters)
    if ctx.primary:
        found += _binlog_filters(ctx.primary, "on the primary: ")
    if found:
        if ctx.policy["allow_filters"]:
            return passed(found, None, "Filters are set, as allowed.")
        message = f"Part of the data never arrives here; filters are set: {'; '.join(found)}."
        hint = "Remove the filters and rebuild the replica, or set allow_filters if this is meant."
        return failed(found, [], message, hint, heals=False)
    return refused(ctx.local, "filters", "global_filters") or passed([], [], "No filter is set.")


@rule("binlog_filters", CRITICAL, "The primary writes everything to its binary log")
def _own_binlog_filters(ctx: Context) -> Finding | None:
    if ctx.replica:
        return None
    found = _binlog_filters(ctx.local, "")
    if not found:
        return refused(ctx.local, "binlog_status") or passed([], [], "Everything is written to the binary log.")
    if ctx.policy["allow_filters"]:
        return passed(found, None, "Filters are set, as allowed.")
    message = f"Part of the data is kept out of the binary log: {'; '.join(found)}."
    return failed(
        found, [], message, "Remove binlog-do-db and binlog-ignore-db, then rebuild the replicas.", heals=False
    )


def _binlog_filters(server: Server, prefix: str) -> list[str]:
    row = (server.snapshot.get("binlog_status") or [{}])[0]
    return [f"{prefix}{name}={row[name]}" for name in ("Binlog_Do_DB", "Binlog_Ignore_DB") if row.get(name)]


@rule("delay", WARNING, "The replica is delayed as wanted", per_channel=True)
def _delay(ctx: Context, channel: Channel) -> Finding:
    wanted = int(ctx.policy["expected_delay"] or 0)
    if channel.delay == wanted:
        return passed(channel.delay, wanted, f"The configured delay is {channel.delay} s.")
    prefix = "MASTER" if ctx.local.mariadb else "SOURCE"
    message = f"The replica holds transactions back for {channel.delay} s on purpose; {wanted} s are wanted."
    return failed(channel.delay, wanted, message, f"{ctx.d['change_source']} {prefix}_DELAY={wanted}.", heals=False)


# --- against the primary --------------------------------------------------------------------------------------------


@rule("primary_reachable", CRITICAL, "The primary answers")
def _primary_reachable(ctx: Context) -> Finding | None:
    if ctx.primary_error:
        return failed(False, True, ctx.primary_error, "Without the primary, what was compared with it is not judged.")
    return passed(True, True, "The primary answers.") if ctx.primary else None


@rule("lag_gtid", CRITICAL, "Few transactions of the primary are missing")
def _lag_gtid(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    found = missing(ctx)
    if found is None:
        return None
    text, count = found
    limit = ctx.policy["max_lag_transactions"]
    if ctx.policy["expected_delay"] and ctx.primary:
        # What is held back on purpose has arrived all the same.
        absent = not_received(ctx.local, ctx.primary) or 0
        if absent <= limit:
            return passed(absent, limit, f"{absent} transaction(s) of the primary have not arrived here yet.")
        message = f"{absent} transactions of the primary have not arrived here, more than {limit}."
        return failed(absent, f"<= {limit}", message, _ARRIVE, cap=_backlog_cap(absent, limit))
    if count <= limit:
        return passed(count, limit, f"{count} transaction(s) of the primary are not applied here yet.")
    message = f"{count} transactions of the primary are missing here, more than {limit}."
    return failed(text, f"<= {limit}", message, _ARRIVE, cap=_backlog_cap(count, limit))


_ARRIVE = (
    "See io_thread, sql_thread and apply_backlog for the reason; where these are right, the receiver is slower than "
    "the source (network, disk of the relay log)."
)


def missing(ctx: Context) -> tuple[str, int] | None:
    """What the primary has and this server has not: as text and as a number."""
    if ctx.local.mariadb:
        target = ctx.primary.snapshot.get("position") if ctx.primary else ctx.primary_gtid
        if not ctx.primary and not ctx.primary_gtid:
            return None
        gaps = MariadbGtid.parse(ctx.local.position).behind(MariadbGtid.parse(target or ""))
        return ", ".join(f"domain {d}: {n}" for d, n in sorted(gaps.items())), sum(gaps.values())
    if not ctx.primary and not ctx.primary_gtid:
        return None
    target = ctx.primary.executed if ctx.primary else ctx.primary_gtid
    gap = GtidSet.parse(target) - GtidSet.parse(ctx.local.executed)
    return str(gap), gap.count


def errant_now(ctx: Context) -> Any:
    """Transactions that are here and, by the rows at hand, not on the primary.

    Call it with a primary that was read *after* the local server; confirm with a later reading, because a
    semi-synchronous primary commits only after its replica may have applied.
    """
    if not ctx.replica or not (ctx.primary or ctx.primary_gtid):
        return None
    if ctx.local.mariadb:
        return _errant_of_mariadb(ctx, ctx.primary) if ctx.primary else None
    ignored = [str(u) for u in ctx.policy["ignore_errant_uuids"]]
    # What other sources sent is not errant, nor is what the own source committed since an older value was read.
    elsewhere = ctx.other_channels if ctx.primary else ctx.local.channels
    ignored += [c.source_uuid for c in elsewhere if c.source_uuid]
    there = GtidSet.parse(ctx.primary.executed if ctx.primary else ctx.primary_gtid)
    for channel in elsewhere:
        there = there | GtidSet.parse(channel.received)
    if ctx.primary:
        there = there | GtidSet.parse(ctx.primary.owned)
    return (GtidSet.parse(ctx.local.executed) - there).without_uuids(ignored)


def _errant_of_mariadb(ctx: Context, primary: Server) -> MariadbGtid:
    here, own = MariadbGtid.parse(ctx.local.executed), ctx.local.server_id or 0
    there = MariadbGtid.parse(primary.executed)
    position = MariadbGtid.parse(str(primary.snapshot.get("position") or ""))
    others = {c.source_server_id for c in ctx.other_channels}
    if others:
        known = {*there.domains, *position.domains}
        # A domain that the primary does not know came from another source, unless it was written here.
        here = here.without(lambda domain, server: server != own and (server in others or domain not in known))
    return here.foreign_to(there, position, own)


@rule("errant", CRITICAL, "No transaction exists here that the primary does not have")
def _errant(ctx: Context) -> Finding | None:
    if ctx.policy["allow_errant"] or not ctx.replica:
        return None
    found = ctx.errant if ctx.errant is not None else errant_now(ctx)
    if found is None:
        return None
    if not found:
        return passed("", "", "No errant transaction.")
    foreign = _primary_lost(ctx)
    if foreign:
        message = f"The primary lacks transactions that this server has and did not write itself: {foreign}."
        return failed(str(found), "", message, _KEEP_DATA, heals=False)
    message = f"Somebody wrote on this replica: {found} does not exist on the primary."
    if len(ctx.local.channels) > 1 and not ctx.local.mariadb:
        message += " What came over another channel before the last restart is listed, too: see ignore_errant_uuids."
    hint = (
        "Find out what it was (mysqlbinlog), make the server read-only, then rebuild it; promoted as it is, it would "
        "spread or break on that transaction."
    )
    return failed(str(found), "", message, hint, heals=False)


_KEEP_DATA = (
    "Do not rebuild this server before it is known which of the two has the data: the primary may be a new or restored "
    "server, or have lost them in a failover. Compare the two, and make the one with the data the primary."
)


def _primary_lost(ctx: Context) -> str:
    """Transactions here that somebody else has written and the primary lacks; all, if the two have none in common."""
    if not ctx.primary:
        return ""
    here, there = History.of(ctx.local), History.of(ctx.primary)
    return there.lacks(here, but=[here.identity] if there.shares(here) else [])


def unrecoverable(ctx: Context) -> Any | None:
    """What is missing here and already purged on the primary."""
    if not ctx.primary or not ctx.replica:
        return None
    if ctx.local.mariadb:
        oldest = ctx.primary.snapshot.get("oldest_binlog")
        if oldest is None:
            return None
        return MariadbGtid.parse(ctx.local.position).behind(MariadbGtid.parse(oldest.get("gtids") or ""))
    have = GtidSet.parse(ctx.local.executed)
    for channel in ctx.local.channels:
        have = have | GtidSet.parse(channel.received)
    return GtidSet.parse(ctx.primary.purged) - have


def _lost_text(lost: Any) -> str:
    return str(lost) if isinstance(lost, GtidSet) else ", ".join(f"domain {d}: {n}" for d, n in lost.items())


@rule("purge_horizon", CRITICAL, "The primary still has every binary log this replica needs")
def _purge_horizon(ctx: Context) -> Finding | None:
    if not ctx.primary or not ctx.replica:
        return None
    lost = unrecoverable(ctx)
    if lost is None:
        return refused(ctx.primary, "oldest_binlog")
    if not lost:
        return passed("", "", "Everything this replica still needs is in the primary's binary logs.")
    text = _lost_text(lost)
    message = f"The primary has purged transactions that never arrived here: {text}."
    hint = "This replica cannot catch up any more (error 1236 or 13114 on its next connection): rebuild it."
    return failed(text, "", message, hint, heals=False)


@rule("clock", WARNING, "The clocks of replica and primary agree")
def _clock(ctx: Context) -> Finding | None:
    if not ctx.primary:
        return None
    here, there = as_float(ctx.local.snapshot.get("clock")), as_float(ctx.primary.snapshot.get("clock"))
    if here is None or there is None:
        return None
    apart = round(abs(here - there), 3)
    if apart <= _CLOCK_TOLERANCE:
        return passed(apart, "<= 1 s", f"The clocks are {apart:g} s apart.")
    message = f"The clocks of the two servers are {apart:g} s apart, so every lag in seconds is wrong by that much."
    return failed(apart, "<= 1 s", message, "Synchronise both (chrony, systemd-timesyncd).")


@rule("repl_account", CRITICAL, "The replication account on the primary works and will keep working")
def _repl_account(ctx: Context) -> Finding | None:
    if ctx.primary and ctx.replica:
        users = [c.source_user for c in ctx.own_channels if c.source_user]
        clients = [(user, _addresses(ctx.local, ctx.primary, user)) for user in users]
        return _account_finding(ctx.primary, clients, "primary")
    if ctx.role == "primary":
        return _account_finding(ctx.local, [(user, [host]) for user, host in attached_accounts(ctx.local)], "primary")
    return None


@rule("repl_account_here", WARNING, "The replication account exists here, so that this server can be promoted")
def _repl_account_here(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    users = [c.source_user for c in ctx.own_channels if c.source_user]
    addresses = _addresses(ctx.primary, ctx.local, "") if ctx.primary else []
    return _account_finding(ctx.local, [(user, addresses) for user in users], "replica")


def attached_accounts(server: Server) -> list[tuple[str, str]]:
    """With which accounts, and from where, others read the binary log of this server."""
    rows = [r for r in server.snapshot.get("dump_threads") or [] if r.get("connection_type") not in _WITHIN_THE_HOST]
    return sorted({(str(r.get("user")), _without_port(str(r.get("host") or ""))) for r in rows if r.get("user")})


def accounts_of_interest(server: Server) -> list[str]:
    """The accounts by which it follows; of a server that follows nobody, those by which others follow it."""
    return [c.source_user for c in server.channels] or [user for user, _host in attached_accounts(server)]


def _without_port(host: str) -> str:
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host


def _addresses(client: Server, source: Server, user: str) -> list[str]:
    """Addresses by which a server may be known to its source, the surest first."""
    known = [str(client.variables.get("report_host") or ""), str(client.snapshot.get("address") or "")]
    seen = {host for name, host in attached_accounts(source) if name == user}
    return [each for each in known if each] + (list(seen) if len(seen) == 1 else [])


def _account_finding(server: Server, clients: Sequence[tuple[str, Sequence[str]]], where: str) -> Finding | None:
    rows = server.snapshot.get("replication_account")
    if rows is None:
        denied = refused(server, "replication_account")
        # Reading account tables is more than the least-privilege account may: not knowing is no alarm.
        return denied._replace(cap=WARNING) if denied else None
    findings = []
    for name, addresses in clients:
        findings.append(_one_account(name, account_used([r for r in rows if r.get("user") == name], addresses), where))
    worst = max(findings, key=_gravity, default=None)
    if worst and worst.status == PASS and any("locked" not in r for r in rows):
        grant = server.snapshot.get("replication_account_grant") or ""
        message = (
            f"{worst.message} Whether it is locked, or expires soon, is seen by the verdict on the primary itself."
        )
        return failed(worst.observed, None, message, f"To see it from here, run there: {grant}", cap=INFO)
    return worst


def _gravity(finding: Finding) -> int:
    return (finding.status == FAIL) + (finding.status == FAIL and finding.cap is None)


def _one_account(name: str, rows: list[dict[str, Any]], where: str) -> Finding:
    usable = [r for r in rows if r.get("may_replicate") == "Y"]
    if not usable:
        problem = "has no REPLICATION SLAVE privilege" if rows else "does not exist"
        message = f"The replication account {name!r} {problem} on the {where}."
        return failed(problem, "REPLICATION SLAVE", message, "Create or grant it there.", heals=False)
    usable = [r for r in usable if r.get("locked") != "Y"]
    if not usable:
        message = f"The replication account {name!r} is locked on the {where}."
        return failed("locked", "open", message, "ALTER USER ... ACCOUNT UNLOCK.", heals=False)
    left = [(as_int(as_float(r.get("expires_in"))), r) for r in usable if r.get("expired") != "Y"]
    valid = [(seconds, r) for seconds, r in left if seconds is None or seconds > 0]
    if not valid:
        message = f"The password of the replication account {name!r} has expired on the {where}."
        hint = "ALTER USER ... IDENTIFIED BY '...' PASSWORD EXPIRE NEVER, then the same password on the channel."
        return failed("expired", "valid", message, hint, heals=False)
    soon = [seconds for seconds, _row in valid if seconds is not None and seconds < 14 * 86400]
    if len(soon) == len(valid):
        message = f"The password of the replication account {name!r} expires in {span(max(soon))} on the {where}."
        return failed(max(soon), ">= 14 days", message, "ALTER USER ... PASSWORD EXPIRE NEVER.", cap=WARNING)
    hosts = [r.get("host") for _seconds, r in valid]
    return passed(hosts, None, f"The replication account {name!r} is usable on the {where}.")


def account_used(rows: list[dict[str, Any]], addresses: Sequence[str]) -> list[dict[str, Any]]:
    """The one account that the server picks for a client at the first address it knows; all where that is not known."""
    for address in addresses:
        matching = [r for r in rows if _matches(str(r.get("host") or "%"), address)]
        if matching:
            return [min(matching, key=lambda r: _breadth(str(r.get("host") or "%")))]
    return rows


def _matches(pattern: str, address: str) -> bool:
    if "/" in pattern:
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    expression = re.escape(pattern.lower()).replace("%", ".*").replace("_", ".")
    return re.fullmatch(expression, address.lower()) is not None


def _breadth(pattern: str) -> tuple[int, int]:
    """How the server sorts accounts of one name: a literal host first, then networks, then patterns by their start."""
    if "/" in pattern:
        return 1, 0
    start = re.split("[%_]", pattern, maxsplit=1)[0]
    return (0, 0) if start == pattern else (2, -len(start))


@rule("version_order", WARNING, "The replica is not older than its source")
def _version_order(ctx: Context) -> Finding | None:
    if not ctx.primary or not ctx.replica:
        return None
    here, there = ctx.local.dialect, ctx.primary.dialect
    if here.flavor != there.flavor:
        message = f"A {here.flavor} server follows a {there.flavor} server; their GTIDs do not mix."
        return failed(here.text, there.text, message, "Use one engine in a replication set.", heals=False)
    if here.version[:2] >= there.version[:2]:
        return passed(here.text, f">= {there.text}", "The replica's version can follow the primary's.")
    message = f"The replica ({here.text}) is older than its source ({there.text}), which is not supported."
    return failed(here.text, f">= {there.text}", message, "Upgrade replicas before the primary.")


@rule("replicas_attached", CRITICAL, "The expected replicas are attached to the primary")
def _replicas_attached(ctx: Context) -> Finding | None:
    wanted = ctx.policy["expected_replicas"]
    if not wanted or ctx.replica:
        return None
    rows = ctx.local.snapshot.get("replicas")
    if rows is None:
        return refused(ctx.local, "replicas")
    seen = set()
    for row in rows:
        seen |= {str(row.get(k) or "").lower() for k in ("Server_Id", "Server_id", "Replica_UUID", "Host")}
    absent = [w for w in wanted if str(w).lower() not in seen]
    if not absent:
        return passed(sorted(seen - {""}), list(wanted), f"{len(wanted)} expected replica(s) are attached.")
    message = f"Not attached to this primary: {', '.join(map(str, absent))}."
    return failed(sorted(seen - {""}), list(wanted), message, "Verify those replicas; their own verdict says why.")


# --- group replication ----------------------------------------------------------------------------------------------


@rule("group_member", CRITICAL, "This server is an online member of its group")
def _group_member(ctx: Context) -> Finding | None:
    if ctx.role != "group":
        return None
    state = ctx.local.own_member.get("MEMBER_STATE")
    if not state:
        return refused(ctx.local, "group_members")
    if state == "ONLINE":
        return passed(state, "ONLINE", f"The member is online as {ctx.local.own_member.get('MEMBER_ROLE')}.")
    hint = {
        "RECOVERING": "It fetches what it missed; look at the group_replication_recovery channel if this lasts.",
        "ERROR": "It left the group after an error: read its error log, then START GROUP_REPLICATION.",
        "UNREACHABLE": "The network between the members is cut.",
    }.get(str(state), "START GROUP_REPLICATION.")
    message = f"The member is {state}, not ONLINE."
    return failed(
        state, "ONLINE", message, hint, cap=WARNING if state == "RECOVERING" else None, heals=state != "ERROR"
    )


@rule("group_quorum", CRITICAL, "The group has a majority and one primary")
def _group_quorum(ctx: Context) -> Finding | None:
    members = [m for m in ctx.local.members if m.get("MEMBER_ID")]
    if ctx.role != "group" or not members:
        return None
    online = [m for m in members if m.get("MEMBER_STATE") in {"ONLINE", "RECOVERING"}]
    primaries = [m for m in online if m.get("MEMBER_ROLE") == "PRIMARY"]
    seen = {f"{m.get('MEMBER_HOST')}:{m.get('MEMBER_PORT')}": m.get("MEMBER_STATE") for m in members}
    if 2 * len(online) <= len(members):
        message = f"The group has lost its majority ({len(online)} of {len(members)} members): every write hangs."
        hint = "Bring members back; only if they are gone for good: group_replication_force_members."
        return failed(seen, "majority", message, hint, heals=False)
    single = ctx.local.variables.get("group_replication_single_primary_mode")
    if is_on(single) and len(primaries) != 1:
        message = f"The group has {len(primaries)} primaries instead of one."
        return failed(seen, "one primary", message, "An election may be under way; look again in a few seconds.")
    least = int(ctx.policy["min_group_members"])
    if len(members) < least:
        message = f"The group has {len(members)} member(s); one more loss takes its majority."
        return failed(seen, f">= {least} members", message, "Bring the missing members back.", cap=WARNING)
    unreachable = [name for name, state in seen.items() if state == "UNREACHABLE"]
    if unreachable:
        message = f"Not reachable from here: {', '.join(unreachable)}."
        return failed(seen, "all online", message, "Look at these members and the network.", cap=WARNING)
    return passed(seen, "majority", f"{len(online)} of {len(members)} members are there, with one primary.")


# --- proof ----------------------------------------------------------------------------------------------------------


@rule("probe", CRITICAL, "A row written on the primary arrives here")
def _probe(ctx: Context) -> Finding | None:
    if ctx.probe is None:
        return None
    limit = float(ctx.policy["max_lag"])
    if ctx.probe.get("ok"):
        latency = ctx.probe.get("latency_ms")
        return passed(latency, f"<= {limit * 1000:g} ms", f"A row written on the primary arrived in {latency} ms.")
    hint = "Replication does not carry data right now, whatever the status rows say."
    return failed(None, f"<= {limit * 1000:g} ms", str(ctx.probe.get("error")), hint)


@rule("compare", CRITICAL, "The data here equals the data of the primary")
def _compare(ctx: Context) -> Finding | None:
    if ctx.compare is None:
        return None
    result = ctx.compare
    if result.get("error"):
        return unknown(str(result["error"]), "Nothing is said about the data that was not compared.")
    different = result.get("different") or []
    if not different:
        message = f"{result.get('tables', 0)} table(s), {result.get('rows', 0)} row(s) are equal."
        if result.get("complete", True) and not result.get("inconclusive"):
            return passed(result.get("tables"), "equal", message)
        if result.get("inconclusive"):
            message += f" {len(result['inconclusive'])} range(s) changed too fast to be compared."
            return unknown(message, "Compare again at a quieter time.")
        return unknown(f"{message} Not everything was compared.", "Raise compare_timeout; see compare.skipped.")
    shown = "; ".join(f"{d['table']} {d['range']}" for d in different[:5])
    message = f"{len(different)} range(s) of rows differ from the primary: {shown}."
    hint = "Repair the rows or rebuild the replica; find the writer first (rules errant and read_only)."
    return failed(different, "equal", message, hint, heals=False)


# --- verdict --------------------------------------------------------------------------------------------------------

_STATUS = {CRITICAL: FAIL, WARNING: "warn", INFO: "info"}
_ORDER = {INFO: 0, WARNING: 1, CRITICAL: 2}
SEVERITIES = {r.id: r.severity for r in RULES}


@dataclass
class Verdict:
    checks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        statuses = {c["status"] for c in self.checks}
        blind = any(map(_blind, self.checks))
        if FAIL in statuses:
            return CRITICAL
        if blind:
            return UNKNOWN
        return WARNING if "warn" in statuses else "ok"

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is not ok, the worst first."""
        return list(dict.fromkeys(c["id"] for c in self._against))

    @property
    def not_judged(self) -> list[str]:
        """What could not be read, whether that decides or not."""
        return list(dict.fromkeys(c["id"] for c in self.checks if c["status"] == UNKNOWN))

    @property
    def _against(self) -> list[dict[str, Any]]:
        return sorted((c for c in self.checks if c["status"] in {FAIL, "warn"} or _blind(c)), key=_rank)

    @property
    def hopeless(self) -> list[dict[str, Any]]:
        return [c for c in self.checks if c["status"] == FAIL and not c["can_heal"]]

    def summary(self, name: str) -> str:
        """One paragraph: which server, what is wrong, what to do; the worst first."""
        open_checks = self._against
        if self.verdict == "ok":
            return (
                f"ok: replication of {name} is right ({sum(c['status'] == PASS for c in self.checks)} checks passed)."
            )
        parts = []
        for check in open_checks[:3]:
            hint = f" {check['hint']}" if check["hint"] else ""
            parts.append(f"[{check['id']}] {check['message']}{hint}")
        more = len(open_checks) - len(parts)
        tail = f" And {more} more: {', '.join(c['id'] for c in open_checks[3:])}." if more > 0 else ""
        return f"{self.verdict}: {name}: {' '.join(parts)}{tail}"


def _blind(check: dict[str, Any]) -> bool:
    """Whether a rule that decides could not be judged."""
    return check["status"] == UNKNOWN and check["severity"] == CRITICAL


def _rank(check: dict[str, Any]) -> tuple[int, int]:
    return ({FAIL: 0, UNKNOWN: 1, "warn": 2}.get(check["status"], 3), -_ORDER.get(check["severity"], 0))


def _findings(ctx: Context) -> Iterator[tuple[Rule, Finding | None, str | None]]:
    for entry in RULES:
        if ctx.policy["checks"].get(entry.id) == SKIP:
            continue
        if not entry.per_channel:
            yield entry, _guarded(entry, ctx), None
            continue
        for channel in ctx.working_channels:
            yield entry, _guarded(entry, ctx, channel), channel.name


def _guarded(entry: Rule, *arguments: Any) -> Finding | None:
    try:
        return entry.function(*arguments)
    except GtidError as error:
        return unknown(str(error), "The server gave a GTID that cannot be read.")


def check_from(
    identifier: str, severity: str, finding: Finding, policy: dict[str, Any], **place: Any
) -> dict[str, Any]:
    """The check of a finding: the caller's severity, else the rule's own, else the lower one of the finding."""
    told = policy["checks"].get(identifier)
    severity = told or severity
    if finding.cap and not told and _ORDER[finding.cap] < _ORDER[severity]:
        severity = finding.cap
    return {
        "id": identifier,
        **place,
        "status": _STATUS[severity] if finding.status == FAIL else finding.status,
        "severity": severity,
        "observed": finding.observed,
        "expected": finding.expected,
        "message": finding.message,
        "hint": finding.hint,
        "can_heal": finding.heals,
    }


def judge(ctx: Context) -> Verdict:
    verdict = Verdict()
    for entry, finding, channel in _findings(ctx):
        if finding is not None:
            place = {} if channel is None else {"channel": channel}
            verdict.checks.append(check_from(entry.id, entry.severity, finding, ctx.policy, **place))
    return verdict


_BLOCKS_PROMOTION = {
    "sql_thread", "errant", "filters", "binlog", "gtid_mode", "repl_account_here", "version_order", "delay",
    "lag_seconds", "lag_gtid", "apply_backlog", "purge_horizon", "compare", "disk_free", "table_definitions",
    "engines", "definers", "settings_alike", "certificate",
}  # fmt: skip
# These are against it even as a warning.
_BLOCKS_AS_WARNING = {"repl_account_here", "version_order", "delay", "lag_gtid", "apply_backlog"}


def promotion(ctx: Context, verdict: Verdict) -> dict[str, Any]:
    """Whether this replica could take over, by the checks that matter for that."""
    if not ctx.replica:
        return {"promotable": False, "blockers": [f"it is a {ctx.local.role.replace('_', ' ')}"], "warnings": []}
    relevant = [c for c in verdict.checks if c["id"] in _BLOCKS_PROMOTION]
    blockers = {
        c["id"] for c in relevant if c["status"] == FAIL or c["status"] == "warn" and c["id"] in _BLOCKS_AS_WARNING
    }
    warnings = {c["id"] for c in relevant if c["status"] in {"warn", UNKNOWN}}
    # A wanted delay is no fault, but what it holds back would be lost all the same.
    blockers |= _lacking(ctx)
    if or_none(missing, ctx) is None:
        # Nobody knows what the primary has.
        warnings.add("lag_gtid")
    return {"promotable": not blockers, "blockers": sorted(blockers), "warnings": sorted(warnings - blockers)}


def _lacking(ctx: Context) -> set[str]:
    """Rules by which more is missing here than a moment's work."""
    limit = int(ctx.policy["max_lag_transactions"])
    gap = or_none(missing, ctx)
    found = {"lag_gtid"} if gap and gap[1] > limit else set()
    backlogs = [or_none(unapplied, ctx.local, channel) or 0 for channel in ctx.own_channels]
    return found | ({"apply_backlog"} if any(count > limit for count in backlogs) else set())


@rule("promotable", CRITICAL, "This replica could take over as primary")
def _promotable(ctx: Context) -> Finding | None:
    if not ctx.policy["require_promotable"] or not ctx.replica:
        return None
    others = Context(**{**ctx.__dict__, "policy": {**ctx.policy, "require_promotable": False}})
    found = promotion(others, judge(others))
    if found["promotable"]:
        return passed(True, True, "The replica could take over.")
    message = f"This replica could not take over as primary because of: {', '.join(found['blockers'])}."
    return failed(found["blockers"], [], message, "Resolve these checks; each says how.", heals=False)


SEVERITIES["promotable"] = CRITICAL


def report(ctx: Context, verdict: Verdict) -> dict[str, Any]:
    """Everything a caller gets back, except waiting and probing."""
    local = ctx.local
    result: dict[str, Any] = {
        "verdict": verdict.verdict,
        "coverage": coverage(ctx, verdict),
        "reasons": verdict.reasons,
        "not_judged": verdict.not_judged,
        "summary": verdict.summary(local.name),
        "checks": verdict.checks,
        **describe(local),
        "channels": [_with_lag(ctx, channel) for channel in local.channels],
        "primary": None,
        "gtid": _gtid_report(ctx),
        "promotion": promotion(ctx, verdict),
    }
    result["role"]["expected"] = ctx.policy["role"]
    if ctx.primary or ctx.primary_error:
        primary = ctx.primary
        result["primary"] = {
            "reachable": primary is not None,
            "gtid": primary.position if primary else None,
            "purged": primary.purged if primary else None,
            "dump_threads": [
                {"user": r.get("user"), "host": r.get("host"), "tls": _tls_of(r)}
                for r in (primary.snapshot.get("dump_threads") or [] if primary else [])
            ],
        }
    return result


def _tls_of(row: dict[str, Any]) -> bool | None:
    kind = row.get("connection_type")
    return None if kind is None else kind == "SSL/TLS"


def _with_lag(ctx: Context, channel: Channel) -> dict[str, Any]:
    seconds, source = or_none(lag_seconds, ctx, channel) or (None, "none")
    return {
        **describe_channel(ctx.local, channel),
        "lag": {
            "seconds": seconds,
            "source": source,
            "seconds_behind_raw": channel.seconds_behind,
            "applying_age_s": channel.applying_age,
        },
    }


def _gtid_report(ctx: Context) -> dict[str, Any]:
    # What cannot be read, for example because the primary is of the other engine, the rules have said.
    gap = or_none(missing, ctx) if ctx.replica else None
    found = ctx.errant if ctx.errant is not None else or_none(errant_now, ctx)
    lost = or_none(unrecoverable, ctx)
    return {
        "executed": ctx.local.position,
        "missing": gap[0] if gap else None,
        "missing_count": gap[1] if gap else None,
        "errant": None if found is None else str(found),
        "errant_count": None if found is None else found.count,
        "unrecoverable": None if lost is None else _lost_text(lost),
    }


def coverage(ctx: Context, verdict: Verdict) -> str:
    """Full only where nothing was left unread and a replica was compared with its primary."""
    if any(c["status"] == UNKNOWN for c in verdict.checks):
        return "partial"
    return "full" if not ctx.replica or ctx.primary else "partial"
