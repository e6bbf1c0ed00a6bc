# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one server: its version, role and write protection, its logs, disk, sessions and ids."""

from __future__ import annotations

from typing import Any, Sequence

from ..context import Context
from ..model import ON, as_float, as_int, describe, is_on
from .registry import CRITICAL, FAIL, INFO, WARNING, Finding, Rule, failed, into, passed, refused, span, unknown

RULES: list[Rule] = []
rule = into(RULES)


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
    observed = {name: server.variables.get(name) for name in ("read_only", "super_read_only", "offline_mode")}
    observed = {name: value for name, value in observed.items() if value is not None}
    if server.writable:
        return passed(observed, "OFF", "The server accepts writes.")
    hint = (
        "SET GLOBAL super_read_only=OFF; SET GLOBAL read_only=OFF"
        if not server.mariadb
        else ("SET GLOBAL read_only=OFF")
    )
    hint += ", once it is certain that no other server is the primary."
    if ctx.policy["role"] == "auto":
        return failed(observed, "OFF", "The server follows nobody and refuses writes.", hint, cap=WARNING)
    return failed(observed, "OFF", "The primary refuses writes.", hint)


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
    given = ctx.policy["boot_read_only"]
    value = ctx.local.boot_read_only if given is None else bool(given)
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
            f"{remedy}; where the option file says so already, set boot_read_only=true for the module.",
        )  # fmt: skip
    return failed(False, True, f"After a restart this replica accepts writes: {name} is not persistent.", remedy + ".")


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
    observed = {name: ctx.local.variables.get(name) for name in ("gtid_mode", "enforce_gtid_consistency")}
    if None in observed.values():
        return refused(ctx.local, "variables") or unknown("The server does not say whether GTIDs are on.")
    if set(observed.values()) == {"ON"}:
        return passed(observed, "ON", "GTIDs are on and enforced.")
    hint = "Set enforce_gtid_consistency=ON and gtid_mode=ON (step by step on a running server)."
    return failed(observed, "ON", "GTIDs are not fully on, so positions cannot be compared.", hint, heals=False)


@rule("binlog", CRITICAL, "The binary log is complete: on, row format, full images, replicated writes included")
def _binlog(ctx: Context) -> Finding | None:
    server = ctx.local
    if server.role == "standalone" and ctx.policy["role"] == "auto":
        return None
    observed = {
        "log_bin": server.variables.get("log_bin"),
        "binlog_row_image": server.variables.get("binlog_row_image"),
    }
    wanted = {"log_bin": "ON", "binlog_row_image": "FULL", "binlog_format": "ROW"}
    if ctx.replica:
        # For the writable server, row_format is a rule of its own.
        observed["binlog_format"] = server.variables.get("binlog_format")
        observed["log_replica_updates"], wanted["log_replica_updates"] = server.setting("log_replica_updates"), "ON"
    if observed["log_bin"] is None:
        return refused(server, "variables")
    # MySQL 9 has only one format left and may stop showing the variable.
    wrong = {k: v for k, v in observed.items() if v is not None and str(v).upper() != wanted[k]}
    if not wrong:
        return passed(observed, wanted, "The binary log is on and complete.")
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
    observed = {name: ctx.local.variables.get(name) for name in names}
    if None in observed.values():
        return refused(ctx.local, "variables")
    if all(str(value) == "1" for value in observed.values()):
        return passed(observed, 1, "Every commit reaches the disk.")
    text = ", ".join(f"{k}={v}" for k, v in observed.items() if str(v) != "1")
    message = f"A crash can lose committed transactions and make replicas diverge: {text}."
    return failed(observed, 1, message, "Set sync_binlog=1 and innodb_flush_log_at_trx_commit=1.")


@rule("parallel", INFO, "The applier works in parallel and keeps the commit order")
def _parallel(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    workers, order = as_int(ctx.local.setting("parallel_workers")), None
    if not ctx.local.mariadb:
        order = ctx.local.setting("preserve_commit_order")
    observed = {"workers": workers, "preserve_commit_order": order}
    if workers is None:
        return refused(ctx.local, "variables")
    if workers > 1 and (ctx.local.mariadb or is_on(order)):
        return passed(observed, None, f"{workers} workers apply in parallel.")
    if not ctx.local.mariadb and workers > 1:
        message = "Workers commit out of order: a reader here can see a state the source never had."
        return failed(observed, "preserve_commit_order=ON", message, "Set replica_preserve_commit_order=ON.")
    name = "slave_parallel_threads" if ctx.local.mariadb else "replica_parallel_workers"
    return failed(observed, "> 1", "One thread applies everything; a busy source can outrun it.", f"Set {name}=4.")


@rule("disk_free", CRITICAL, "There is room for data, binary logs and relay logs")
def _disk_free(ctx: Context) -> Finding | None:
    disks = ctx.local.snapshot.get("disk")
    if not disks:
        return None
    least = float(ctx.policy["min_free_disk_percent"])
    observed = {d["path"]: round(100.0 * d["free_bytes"] / d["total_bytes"], 1) for d in disks}
    low = {path: percent for path, percent in observed.items() if percent < least}
    if not low:
        return passed(observed, f">= {least:g} %", "There is free disk space.")
    text = ", ".join(f"{path} has {percent:g} % left" for path, percent in low.items())
    cap = None if min(low.values()) < least / 2 else WARNING
    hint = "Free space or enlarge the file system: with a full disk the receiver waits without reporting an error."
    return failed(low, f">= {least:g} %", f"The disk runs full: {text}.", hint, cap=cap)


@rule("semi_sync", CRITICAL, "Semi-synchronous replication is active where it is wanted")
def _semi_sync(ctx: Context) -> Finding | None:
    observed = describe(ctx.local)["semi_sync"]
    wanted = bool(ctx.policy["require_semi_sync"])
    sides = ("source", "replica") if ctx.role in {"primary", "standalone"} else ("replica", "source")
    used, other = (bool(observed[f"{side}_enabled"]) for side in sides)
    if not used and not wanted:
        return None
    if not used:
        hint = "Run site.yml, or install the plugins and switch rpl_semi_sync_*_enabled on."
        return failed(observed, "enabled", "Semi-synchronous replication is required but off.", hint)
    finding = _confirming(ctx, observed) if sides[0] == "source" else _acknowledging(ctx, observed)
    if finding is not None and finding.status == FAIL:
        return finding if wanted else finding._replace(cap=WARNING)
    if wanted and not other:
        message = f"The side of the {sides[1]} is off, so that a switchover would end semi-synchronous replication."
        return failed(observed, "enabled", message, "Run site.yml, which switches both sides on.", cap=WARNING)
    return finding


def _confirming(ctx: Context, observed: dict[str, Any]) -> Finding:
    """Whether replicas acknowledge what this server commits."""
    wait_for = as_int(ctx.local.setting("semi_sync_source_wait_for")) or 1
    clients = observed["clients"] or 0
    if not observed["source_status"]:
        message = (
            f"Semi-synchronous replication is switched on but has silently degraded to asynchronous "
            f"({clients} of {wait_for} acknowledging replicas, {observed['no_tx']} commits without one so far)."
        )
        hint = "Commits are no longer confirmed by a replica: bring the replica back."
        return failed(observed, "active", message, hint)
    if clients < wait_for:
        message = f"{clients} of {wait_for} replicas are there to acknowledge commits."
        hint = f"Writes wait, for up to {_waiting(observed['timeout_ms'])}: bring the replica back."
        return failed(observed, "active", message, hint)
    return passed(observed, "active", f"{clients} replicas acknowledge every commit.")


def _waiting(milliseconds: int | None) -> str:
    return "an unknown time" if milliseconds is None else span(milliseconds / 1000)


def _acknowledging(ctx: Context, observed: dict[str, Any]) -> Finding | None:
    """Whether this replica acknowledges what it receives; none while its receiver is not connected."""
    if observed["replica_status"]:
        return passed(observed, "active", "The receiver acknowledges semi-synchronously.")
    if not all(channel.io_state == ON for channel in ctx.local.channels):
        return None
    hint = "Restart the receiver (STOP/START ... IO_THREAD) so that it registers as semi-synchronous."
    return failed(observed, "active", "Semi-sync is switched on here, but the receiver does not use it.", hint)


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


# Shorter waits of the applier, in seconds, are normal.
_HELD_UP = 1.0


@rule("applier_blocked", CRITICAL, "No session holds up the applier")
def _applier_blocked(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    rows = ctx.local.snapshot.get("blockers")
    if rows is None:
        # lag_seconds decides; that the blocking session cannot be read is no alarm of its own.
        denied = refused(ctx.local, "blockers")
        return denied._replace(cap=WARNING) if denied else None
    if not rows:
        return passed(0, 0, "No session holds up the applier.")
    first = rows[0]
    stuck = max((as_float(w.get("APPLYING_FOR")) or 0 for w in ctx.local.snapshot.get("workers") or []), default=0)
    longest = max([stuck] + [c.seconds_behind or 0 for c in ctx.local.channels])
    # Reading a table or the list of tables, as this module does, may hold a lock for an instant.
    if longest < _HELD_UP:
        return passed(0, 0, "No session has held up the applier for as long as a second.")
    message = (
        f"The applier waits for a {first['kind']} held by session {first['blocker']} "
        f"({first.get('user')}@{first.get('host')})."
    )
    cap = None if longest > ctx.policy["max_lag"] else WARNING
    return failed(rows, 0, message, f"End that session if nobody needs it: KILL {first['blocker']};", cap=cap)


@rule("server_id_unique", CRITICAL, "server_id and server_uuid are unique among all observed servers")
def _server_id_unique(ctx: Context) -> Finding | None:
    servers: list[tuple[str, int | None, str]] = [("this server", ctx.local.server_id, ctx.local.uuid)]
    if ctx.primary:
        servers.append(("the primary", ctx.primary.server_id, ctx.primary.uuid))
    for row in ctx.local.snapshot.get("replicas") or []:
        number, uuid = row.get("Server_Id", row.get("Server_id")), str(row.get("Replica_UUID") or "").lower()
        if not _is_primary(ctx, str(row.get("Host") or ""), as_int(number), uuid):
            servers.append((f"the replica {row.get('Host') or number}", as_int(number), uuid))
    clash = duplicates(servers)
    if clash:
        return failed(clash, "unique", clash[0], _UNIQUE_HINT, heals=False)
    if ctx.local.server_id == 0:
        return failed(0, "> 0", "server_id is 0, so nothing can replicate with this server.", _UNIQUE_HINT)
    return passed(len(servers), "unique", f"The ids of {len(servers)} server(s) are unique.")


def _is_primary(ctx: Context, host: str, number: int | None, uuid: str) -> bool:
    """Whether a replica in the list is the primary: after a switchover its old connection is listed for a while."""
    primary = ctx.primary
    if primary is None or (number, uuid) != (primary.server_id, primary.uuid):
        return False
    return bool(host) and host == primary.variables.get("report_host")


_UNIQUE_HINT = (
    "Give each server its own server_id in the option file; for server_uuid stop the server, delete auto.cnf in its "
    "data directory and start it (cloned machines carry the same one)."
)


def duplicates(servers: Sequence[tuple[str, int | None, str]]) -> list[str]:
    """Sentences on the ids that occur twice."""
    found = []
    for kind, pick in (("server_id", 1), ("server_uuid", 2)):
        owners: dict[Any, str] = {}
        for entry in servers:
            value = entry[pick]
            if not value:
                continue
            if value in owners:
                found.append(f"{owners[value]} and {entry[0]} have the same {kind} {value}.".capitalize())
            owners.setdefault(value, entry[0])
    return found
