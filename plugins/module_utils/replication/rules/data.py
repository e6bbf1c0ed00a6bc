# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what is in the database: tables, their engines and counters, and what is stored to be run later."""

from __future__ import annotations

from typing import Any, Sequence

from ...mysql.events import WAITING
from ..context import Context
from ..model import is_on
from ..tables import ONLY_HERE, ONLY_THERE, differences, is_grave
from .registry import CRITICAL, WARNING, Finding, Rule, failed, into, passed, refused, unknown

RULES: list[Rule] = []
rule = into(RULES)
_SHOWN = 5
# Their rows are lost or damaged by a crash, or not sent by a clone, which copies InnoDB alone.
_UNSAFE_ENGINES = {"myisam", "mrg_myisam", "memory", "csv", "archive", "blackhole", "federated", "example"}
_LARGEST = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _label(row: dict[str, Any]) -> str:
    return f"{row['schema']}.{row.get('table') or row.get('name')}"


@rule("primary_keys", WARNING, "Every table has a primary key")
def _primary_keys(ctx: Context) -> Finding | None:
    rows = ctx.local.snapshot.get("tables")
    if rows is None:
        return refused(ctx.local, "tables")
    names = [_label(row) for row in rows if not row["keyed"]]
    if not names:
        return passed([], [], "Every table has a primary key.")
    message = (
        f"{len(names)} table(s) without a primary key make the applier scan the table for every row: {_listed(names)}."
    )
    return failed(names, [], message, "Give each a primary key; group replication refuses writes to them.")


@rule("engines", WARNING, "Every table is of an engine that survives a crash and is cloned")
def _engines(ctx: Context) -> Finding | None:
    rows = ctx.local.snapshot.get("tables")
    if rows is None:
        return refused(ctx.local, "tables")
    unsafe = [row for row in rows if str(row["engine"]).lower() in _UNSAFE_ENGINES]
    if not unsafe:
        return passed([], [], "Every table is of an engine that survives a crash.")
    names = [f"{_label(row)} ({row['engine']})" for row in unsafe]
    message = (
        f"{len(names)} table(s) are of an engine whose rows a crash can lose, and which a cloned replica has empty: "
        f"{_listed(names)}."
    )
    hint = "ALTER TABLE ... ENGINE=InnoDB on the primary. compare shows whether a replica has their rows."
    return failed(names, [], message, hint)


def unlike_tables(ctx: Context) -> dict[tuple[str, str], str] | None:
    """Tables that are not the same here and on the primary, by the rows at hand; None where they could not be read."""
    if not ctx.replica or ctx.primary is None or ctx.primary.mariadb != ctx.local.mariadb:
        return None
    here, there = ctx.local.snapshot.get("tables"), ctx.primary.snapshot.get("tables")
    if here is None or there is None:
        return None
    return unlike(ctx, here, there)


def unlike(ctx: Context, here: Sequence[dict[str, Any]], there: Sequence[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Differences between these tables, but for those that other sources or allowed filters explain."""
    found = differences(here, there)
    if ctx.other_channels:
        found = {name: text for name, text in found.items() if text != ONLY_HERE}
    if ctx.policy["allow_filters"] and any(c.filters for c in ctx.local.channels):
        found = {name: text for name, text in found.items() if text != ONLY_THERE}
    return dict(sorted(found.items()))


@rule("table_definitions", CRITICAL, "Tables are defined as they are on the primary")
def _table_definitions(ctx: Context) -> Finding | None:
    found = unlike_tables(ctx) if ctx.differing is None else ctx.differing
    if found is None:
        if ctx.primary is None or not ctx.replica or ctx.primary.mariadb != ctx.local.mariadb:
            return None
        denied = refused(ctx.local, "tables") or refused(ctx.primary, "tables")
        return denied._replace(cap=WARNING) if denied else None
    if not found:
        return passed({}, {}, "Every table is defined as on the primary.")
    if not all(channel.running for channel in ctx.own_channels):
        # Until its channel runs again, a replica differs for that reason alone, and other rules say so.
        return None
    if not ctx.comparable:
        names = [".".join(name) for name in found]
        message = f"{len(found)} table(s) differ, which may be because this replica is behind: {_listed(names)}."
        return unknown(message, "Compare again once it has caught up.")._replace(cap=WARNING)
    named = {".".join(name): difference for name, difference in found.items()}
    text = "; ".join(f"{name}: {difference}" for name, difference in list(named.items())[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    message = f"{len(found)} table(s) are not defined as on the primary: {text}{more}."
    hint = (
        "Somebody changed a table on one side only (see errant and read_only). Repeat the change on the other side "
        "with sql_log_bin=0, or rebuild this replica."
    )
    grave = any(map(is_grave, found.values()))
    return failed(named, {}, message, hint, heals=False, cap=None if grave else WARNING)


@rule("auto_increment", CRITICAL, "No automatic number is near its end")
def _auto_increment(ctx: Context) -> Finding | None:
    rows = ctx.local.snapshot.get("tables")
    if rows is None:
        denied = refused(ctx.local, "tables")
        return denied._replace(cap=WARNING) if denied else None
    most = float(ctx.policy["max_auto_increment_percent"])
    used = {_label(row): _used_percent(row) for row in rows if row["counter"] and row["next"]}
    full = {name: percent for name, percent in used.items() if percent is not None and percent >= most}
    if not full:
        return passed({}, f"< {most:g} %", "No automatic number is near its end.")
    ordered = sorted(full.items(), key=lambda item: -item[1])
    text = _listed([f"{name} has used {percent:.1f} %" for name, percent in ordered])
    message = f"The automatic numbers of {len(full)} table(s) run out, after which every insert fails: {text}."
    # As with disks: a warning until half of what was left at the limit is used.
    cap = None if ordered[0][1] >= (100 + most) / 2 else WARNING
    return failed(
        dict(ordered), f"< {most:g} %", message, "ALTER TABLE ... MODIFY the column to BIGINT UNSIGNED.", cap=cap
    )


def _used_percent(row: dict[str, Any]) -> float | None:
    """Which part of its numbers a table has used; None for a column that has no such end."""
    kind = str(row["counter"]).lower()
    bits = _LARGEST.get(kind.replace("(", " ").split()[0])
    if bits is None:
        return None
    largest = 2 ** (bits if "unsigned" in kind else bits - 1) - 1
    return 100.0 * (int(row["next"]) - 1) / largest


@rule("definers", WARNING, "The accounts that triggers, routines, events and views run as exist here")
def _definers(ctx: Context) -> Finding | None:
    rows = ctx.local.snapshot.get("objects")
    if rows is None:
        return refused(ctx.local, "objects")
    missing = [row for row in rows if not row["definer_exists"]]
    if not missing:
        return passed([], [], "The account of every stored object exists here.")
    names = [f"{row['kind']} {_label(row)} ({row['definer']})" for row in missing]
    message = f"{len(names)} object(s) run as an account that does not exist here (error 1449): {_listed(names)}."
    hint = "Create the account here as it is on the primary, with sql_log_bin=0, or change the DEFINER on the primary."
    return failed(names, [], message, hint)


@rule("events", WARNING, "Events run on the primary, and only there")
def _events(ctx: Context) -> Finding | None:
    rows = ctx.local.snapshot.get("objects")
    if rows is None:
        return refused(ctx.local, "objects")
    events = [row for row in rows if row["kind"] == "event"]
    if ctx.replica:
        enabled = [_label(row) for row in events if row["state"] == "ENABLED"]
        if not enabled or not is_on(ctx.local.variables.get("event_scheduler")):
            return passed([], [], "No event runs on this replica.")
        message = f"{len(enabled)} event(s) run here as well as on the primary: {_listed(enabled)}."
        hint = f"ALTER EVENT ... {ctx.d['disable_event_here']} here, with sql_log_bin=0."
        return failed(enabled, [], message, hint)
    if ctx.role != "primary":
        return None
    idle = [_label(row) for row in events if row["state"] in WAITING]
    if not idle:
        return passed([], [], "No event is left disabled from a former source.")
    message = (
        f"{len(idle)} event(s) run nowhere, because this server had them from a source that it no longer follows: "
    )
    return failed(idle, [], f"{message}{_listed(idle)}.", "ALTER EVENT ... ENABLE, here on the primary.")
