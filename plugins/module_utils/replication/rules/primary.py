# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on a replica beside its primary: what is missing, what is errant, and whether accounts and versions fit."""

from __future__ import annotations

from typing import Any, Sequence

from ..accounts import account_used, addresses_of, attached_accounts
from ..context import Context
from ..errors import KEEP_DATA
from ..history import History
from ..measures import CLOCK_TOLERANCE, backlog_cap, errant_now, lost_text, missing, unrecoverable
from ..model import Server, as_float, as_int, not_received
from .registry import CRITICAL, FAIL, INFO, PASS, WARNING, Finding, Rule, failed, into, passed, refused, span

RULES: list[Rule] = []
rule = into(RULES)


@rule("primary_reachable", CRITICAL, "The primary answers")
def _primary_reachable(ctx: Context) -> Finding | None:
    if ctx.primary_error:
        return failed(False, True, ctx.primary_error, "Without the primary, rules that compare with it are not judged.")
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
        # What the delay holds back has arrived, and is not missing.
        absent = not_received(ctx.local, ctx.primary) or 0
        if absent <= limit:
            return passed(absent, limit, f"{absent} transaction(s) of the primary have not arrived here yet.")
        message = f"{absent} transactions of the primary have not arrived here, more than {limit}."
        return failed(absent, f"<= {limit}", message, _ARRIVE, cap=backlog_cap(absent, limit))
    if count <= limit:
        return passed(count, limit, f"{count} transaction(s) of the primary are not applied here yet.")
    message = f"{count} transactions of the primary are missing here, more than {limit}."
    return failed(text, f"<= {limit}", message, _ARRIVE, cap=backlog_cap(count, limit))


_ARRIVE = (
    "See io_thread, sql_thread and apply_backlog for the reason; where these are right, the receiver is slower than "
    "the source (network, disk of the relay log)."
)


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
        return failed(str(found), "", message, KEEP_DATA, heals=False)
    message = f"Somebody wrote on this replica: {found} does not exist on the primary."
    if len(ctx.local.channels) > 1 and not ctx.local.mariadb:
        message += " What came over another channel before the last restart is listed, too: see ignore_errant_uuids."
    hint = (
        "Find out what it was (mysqlbinlog), make the server read-only, then rebuild it; promoted as it is, it would "
        "spread or break on that transaction."
    )
    return failed(str(found), "", message, hint, heals=False)


def _primary_lost(ctx: Context) -> str:
    """Transactions here that somebody else has written and the primary lacks; all, if the two have none in common."""
    if not ctx.primary:
        return ""
    here, there = History.of(ctx.local), History.of(ctx.primary)
    return there.lacks(here, not_from=[here.identity] if there.shares(here) else [])


@rule("purge_horizon", CRITICAL, "The primary still has every binary log this replica needs")
def _purge_horizon(ctx: Context) -> Finding | None:
    if not ctx.primary or not ctx.replica:
        return None
    lost = unrecoverable(ctx)
    if lost is None:
        return refused(ctx.primary, "oldest_binlog")
    if not lost:
        return passed("", "", "Everything this replica still needs is in the primary's binary logs.")
    text = lost_text(lost)
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
    if apart <= CLOCK_TOLERANCE:
        return passed(apart, "<= 1 s", f"The clocks are {apart:g} s apart.")
    message = f"The clocks of the two servers are {apart:g} s apart, so every lag in seconds is wrong by that much."
    return failed(apart, "<= 1 s", message, "Synchronise both (chrony, systemd-timesyncd).")


@rule("repl_account", CRITICAL, "The replication account on the primary works and will keep working")
def _repl_account(ctx: Context) -> Finding | None:
    if ctx.primary and ctx.replica:
        users = [c.source_user for c in ctx.own_channels if c.source_user]
        clients = [(user, addresses_of(ctx.local, ctx.primary, user)) for user in users]
        return _account_finding(ctx.primary, clients, "primary")
    if ctx.role == "primary":
        return _account_finding(ctx.local, [(user, [host]) for user, host in attached_accounts(ctx.local)], "primary")
    return None


@rule("repl_account_here", WARNING, "The replication account exists here, so that this server can be promoted")
def _repl_account_here(ctx: Context) -> Finding | None:
    if not ctx.replica:
        return None
    users = [c.source_user for c in ctx.own_channels if c.source_user]
    addresses = addresses_of(ctx.primary, ctx.local, "") if ctx.primary else []
    return _account_finding(ctx.local, [(user, addresses) for user in users], "replica")


def _account_finding(server: Server, clients: Sequence[tuple[str, Sequence[str]]], where: str) -> Finding | None:
    rows = server.snapshot.get("replication_account")
    if rows is None:
        denied = refused(server, "replication_account")
        # Reading account tables is more than the least-privilege account may, so a missing answer is no alarm.
        return denied._replace(cap=WARNING) if denied else None
    findings = []
    for name, addresses in clients:
        findings.append(_one_account(name, account_used([r for r in rows if r.get("user") == name], addresses), where))
    worst = max(findings, key=_gravity, default=None)
    if worst and worst.status == PASS and any("locked" not in r for r in rows):
        grant = server.snapshot.get("replication_account_grant") or ""
        message = f"{worst.message} Only the verdict on the primary itself shows whether it is locked or expires soon."
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
    attached = set()
    for row in rows:
        attached |= {str(row.get(k) or "").lower() for k in ("Server_Id", "Server_id", "Replica_UUID", "Host")}
    absent = [w for w in wanted if str(w).lower() not in attached]
    if not absent:
        return passed(sorted(attached - {""}), list(wanted), f"{len(wanted)} expected replica(s) are attached.")
    message = f"Not attached to this primary: {', '.join(map(str, absent))}."
    return failed(sorted(attached - {""}), list(wanted), message, "Verify those replicas; their own verdict says why.")
