# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on the channels of a server: receiver, applier, lag, TLS and filters."""

from __future__ import annotations

from typing import Any

from ..accounts import WITHIN_THE_HOST
from ..context import Context
from ..errors import KEEP_DATA, applier_advice, applier_trouble, receiver_advice
from ..measures import AHEAD, backlog_cap, lag_seconds, silence_limit
from ..model import CONNECTING, OFF, ON, Channel, Server, as_float, unapplied
from .registry import CRITICAL, INFO, WARNING, Finding, Rule, failed, into, passed, refused, span, unknown

RULES: list[Rule] = []
rule = into(RULES)

# The default of the server, for where its option file cannot be read.
_MARIADB_RETRY_COUNT = 100000


def _label(channel: Channel) -> str:
    return f"The channel {channel.name!r}" if channel.name else "The replication channel"


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
    observed = {
        "host": channel.source_host,
        "port": channel.source_port,
        "uuid": channel.source_uuid,
        "server_id": channel.source_server_id,
    }
    wanted = {key: value for key, value in wanted.items() if value is not None}
    if not wanted:
        return None
    wrong = {key: value for key, value in wanted.items() if str(observed[key]) != str(value)}
    if not wrong:
        return passed(observed, wanted, f"The source is {channel.source_host}:{channel.source_port}, as expected.")
    text = ", ".join(f"{k} is {observed[k] or 'not known'} instead of {v}" for k, v in wrong.items())
    hint = f"Point the channel at the right source ({ctx.d['change_source']} ...)."
    if not {"host", "port"} & set(wrong):
        hint = f"Another server answers at this address than the one that was followed. {KEEP_DATA}"
    message = f"The replica follows another source than expected: {text}."
    return failed(observed, wanted, message, hint, heals=False)


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
            return failed(None, f"<= {limit:g} s", "The channel has no heartbeat, so silence cannot be noticed.", hint,
                          cap=WARNING)  # fmt: skip
        return unknown("Nothing was received yet since the receiver started.", "Check again in a few seconds.")
    if quiet <= limit:
        return passed(round(quiet, 3), f"<= {limit:g} s", f"The source was last heard {quiet:.1f} s ago.")
    message = (
        f"Nothing has come from {channel.source_host}:{channel.source_port} for {quiet:.0f} s, although both threads "
        f"run and the server reports no delay: the source is frozen or the network is cut."
    )
    hint = "Check the source itself (process state, load, disk) and the path to it; heartbeats should arrive."
    return failed(round(quiet, 3), f"<= {limit:g} s", message, hint)


@rule("lag_seconds", CRITICAL, "The replica is not behind in time", per_channel=True)
def _lag_seconds(ctx: Context, channel: Channel) -> Finding | None:
    lag, source = lag_seconds(ctx, channel)
    most, warn = float(ctx.policy["max_lag"]), float(ctx.policy["warn_lag"])
    if lag is None:
        if source == AHEAD:
            ahead = -(as_float(ctx.local.snapshot["heartbeat"][0].get("age")) or 0)
            hint = "Its writer has to stamp UTC (pt-heartbeat --utc), by a clock that is right."
            return unknown(f"The newest heartbeat is {ahead:.0f} s in the future, so it shows no lag.", hint)
        if not channel.running:
            # io_thread and sql_thread report that already, and say which of the two it is.
            return None
        message = "The server cannot say how far behind it is (NULL), although both threads run."
        return failed(None, f"<= {most:g} s", message, "Read the error log of the replica.")
    lag = round(lag, 3)
    if lag <= warn:
        return passed(lag, f"<= {warn:g} s", f"The replica is {lag:g} s behind (by {source}).")
    message = f"The replica is {lag:g} s behind its source (by {source})."
    hint = "Check what the applier does (SHOW PROCESSLIST): a long statement, a lock, a slow disk, too few workers."
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
    return failed(count, f"<= {limit}", message, hint, cap=backlog_cap(count, limit))


@rule("auto_position", CRITICAL, "The channel finds its position by GTID", per_channel=True)
def _auto_position(ctx: Context, channel: Channel) -> Finding | None:
    if not ctx.policy["require_auto_position"]:
        return None
    observed = channel.using_gtid if ctx.local.mariadb else channel.auto_position
    if channel.auto_position:
        if channel.using_gtid.lower() == "current_pos":
            message = "The channel uses Current_Pos, which breaks after a local write."
            return failed(observed, "Slave_Pos", message, "CHANGE MASTER TO MASTER_USE_GTID=slave_pos.", cap=WARNING)
        return passed(observed, True, "The channel finds its position by GTID.")
    option = "MASTER_USE_GTID=slave_pos" if ctx.local.mariadb else "SOURCE_AUTO_POSITION=1"
    message = "The channel uses file and position: it cannot follow a new primary by itself."
    return failed(observed, True, message, f"{ctx.d['change_source']} {option}.", heals=False)


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
    rows = [r for r in rows if r["connection_type"] not in WITHIN_THE_HOST]
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
