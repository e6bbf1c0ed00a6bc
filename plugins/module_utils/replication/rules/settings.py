# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on settings of servers: how the writer logs, what has to be alike on both, and how long certificates last."""

from __future__ import annotations

from typing import Any

from ..context import Context
from ..model import Server, as_float, as_int, is_on
from .registry import CRITICAL, WARNING, Finding, Rule, failed, into, passed, refused, span

RULES: list[Rule] = []
rule = into(RULES)
_DAY = 86400.0
# Variables that decide how a statement is understood or a value stored.
_ALIKE = (
    "sql_mode", "lower_case_table_names", "character_set_server", "collation_server", "max_allowed_packet",
    "explicit_defaults_for_timestamp",
)  # fmt: skip


def _writer(ctx: Context) -> Server | None:
    if ctx.replica:
        return ctx.primary
    return ctx.local if ctx.role == "primary" or ctx.local.role == "group_primary" else None


@rule("row_format", CRITICAL, "What is written is logged as rows")
def _row_format(ctx: Context) -> Finding | None:
    server = _writer(ctx)
    if server is None:
        return None
    observed = server.variables.get("binlog_format")
    if observed is None:
        return refused(server, "variables")
    if str(observed).upper() == "ROW":
        return passed(observed, "ROW", "What is written is logged as rows.")
    place = "here" if server is ctx.local else "on the primary"
    often = "every statement" if str(observed).upper() == "STATEMENT" else "some statements"
    message = (
        f"binlog_format is {observed} {place}: {often} run again on the replicas instead of sending rows, and may give "
        "other rows there without an error."
    )
    persist = (
        "SET GLOBAL binlog_format=ROW, and in the option file" if server.mariadb else "SET PERSIST binlog_format=ROW"
    )
    hint = f"{persist}; sessions that are open keep theirs. Then compare the data (compare)."
    return failed(observed, "ROW", message, hint, cap=None if str(observed).upper() == "STATEMENT" else WARNING)


def _plain(name: str, value: Any) -> Any:
    """A setting as the server understands it."""
    if name == "sql_mode":
        return ",".join(sorted(filter(None, str(value).upper().split(","))))
    if name == "explicit_defaults_for_timestamp":
        return "ON" if is_on(value) else "OFF"
    number = as_int(value)
    return str(value).lower() if number is None else number


@rule("settings_alike", WARNING, "Settings that have to agree with the primary's do")
def _settings_alike(ctx: Context) -> Finding | None:
    primary = ctx.primary
    if primary is None or not ctx.replica or primary.mariadb != ctx.local.mariadb:
        return None
    denied = refused(ctx.local, "variables") or refused(primary, "variables")
    if denied:
        return denied
    here = {name: ctx.local.variables.get(name) for name in _ALIKE}
    there = {name: primary.variables.get(name) for name in _ALIKE}
    here["time zone tables"] = _loaded(ctx.local)
    there["time zone tables"] = _loaded(primary)
    wrong = {
        name: {"here": here[name], "primary": there[name]}
        for name in here
        if here[name] is not None and there[name] is not None and _plain(name, here[name]) != _plain(name, there[name])
    }
    own, packet = ctx.local.setting("replica_max_packet"), there["max_allowed_packet"]
    if (as_int(own) or 0) < (as_int(packet) or 0) and own is not None:
        wrong[ctx.d["replica_max_packet"]] = {"here": own, "primary": f"max_allowed_packet {packet}"}
    if not wrong:
        return passed(here, there, "Settings that have to be alike on both servers are.")
    text = "; ".join(f"{name} is {each['here']!s} here, {each['primary']!s} there" for name, each in wrong.items())
    message = f"These differ from the primary's: {text}."
    return failed(wrong, "alike", message, "Set them alike in the configuration of both: " + _alike_hint(wrong))


def _loaded(server: Server) -> str | None:
    found = server.snapshot.get("time_zone_tables")
    return None if found is None else "loaded" if found else "empty"


def _alike_hint(wrong: dict[str, Any]) -> str:
    hints = []
    if "time zone tables" in wrong:
        hints.append("load the time zones on the primary (mysql_tzinfo_to_sql, mariadb-tzinfo-to-sql)")
    if "lower_case_table_names" in wrong:
        hints.append("lower_case_table_names can only be chosen for a new data directory")
    return "; ".join(hints or ["promoted as it is, this server would execute the same statements differently"]) + "."


@rule("certificate", CRITICAL, "The certificate that the source serves to its channels lasts")
def _certificate(ctx: Context) -> Finding | None:
    """The certificate of this server counts as well: clients get it once this server is promoted."""
    least = float(ctx.policy["min_certificate_days"]) * _DAY
    servers = {"the primary": ctx.primary, "this server": ctx.local}
    left = {
        name: seconds
        for name, server in servers.items()
        for seconds in [as_float(server.snapshot.get("certificate_left")) if server else None]
        if seconds is not None
    }
    if not left:
        return refused(ctx.local, "status", "certificate_left")
    name, seconds = min(left.items(), key=lambda item: item[1])
    observed = {each: round(value / _DAY, 1) for each, value in left.items()}
    expected = f">= {least / _DAY:g} days"
    if seconds >= least:
        return passed(observed, expected, f"The certificate of {name} lasts for {span(seconds)}.")
    hint = "Renew it and have the server load it (MySQL: ALTER INSTANCE RELOAD TLS; MariaDB: FLUSH SSL)."
    if seconds <= 0:
        message = f"The certificate that {name} serves ended {span(-seconds)} ago: clients that verify it fail."
        return failed(observed, expected, message, hint)
    message = f"The certificate that {name} serves ends in {span(seconds)}."
    return failed(observed, expected, message, hint, cap=WARNING)
