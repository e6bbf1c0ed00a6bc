# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of servers: who is primary, who follows whom, whether exactly one accepts writes, and each one's verdict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Mapping

from ..mysql.connection import Connection, ConnectionOptions, DatabaseError
from .accounts import accounts_of_interest
from .context import Context
from .facts import Collector, watch_receiver
from .measures import silence_limit
from .model import Channel, Server, build
from .rules.registry import CRITICAL, SKIP, WARNING, Finding, failed, passed
from .rules.server import duplicates
from .verdict import Verdict, check_from, judge, report, unreachable
from .verifier import confirm_tables, confirmed_errant, unheard_channels

SET_RULES = {
    "single_writer": (CRITICAL, "Exactly one server of the set accepts writes"),
    "source_in_set": (CRITICAL, "Every replica follows, directly or not, the primary of the set"),
    "expected_primary": (CRITICAL, "The primary is the server it is meant to be"),
}


def source_of(
    channel: Channel, follower: str, servers: Mapping[str, Server], addresses: Mapping[str, str]
) -> str | None:
    """The name of the server that a channel follows: by identity, else by address."""
    others = {name: server for name, server in servers.items() if name != follower}
    for name, server in others.items():
        if channel.source_uuid and channel.source_uuid == server.uuid:
            return name
        if not channel.source_uuid and channel.source_server_id and channel.source_server_id == server.server_id:
            return name
    wanted = f"{channel.source_host}:{channel.source_port}"
    for name, server in others.items():
        reported = f"{server.variables.get('report_host')}:{channel.source_port}"
        if wanted in {addresses.get(name), reported} or channel.source_host == name:
            return name
    return None


def topology(
    servers: Mapping[str, Server], addresses: Mapping[str, str], unreachable: Mapping[str, str]
) -> dict[str, Any]:
    """The tree as the servers themselves describe it."""
    follows: dict[str, list[str | None]] = {
        name: [source_of(channel, name, servers, addresses) for channel in server.channels]
        for name, server in servers.items()
    }
    writable = sorted(name for name, server in servers.items() if server.writable and _may_write(server))
    replicas: dict[str, list[str]] = {}
    for name, sources in sorted(follows.items()):
        for source in sources:
            if source:
                replicas.setdefault(source, []).append(name)
    return {
        "primary": _primary(servers, follows, writable, replicas),
        "writable": writable,
        "replicas": replicas,
        "follows": {name: [s or _address(servers[name], i) for i, s in enumerate(sources)]
                    for name, sources in follows.items() if sources},
        "group": sorted(name for name, server in servers.items() if server.in_group),
        "unreachable": sorted(unreachable),
    }  # fmt: skip


def _may_write(server: Server) -> bool:
    """A thawed member of a group can still look writable; the group refuses its writes unless it is the primary."""
    return not server.in_group or server.role == "group_primary"


def _address(server: Server, number: int) -> str:
    channel = server.channels[number]
    return f"{channel.source_host}:{channel.source_port}"


def _primary(
    servers: Mapping[str, Server],
    follows: Mapping[str, list[str | None]],
    writable: list[str],
    replicas: Mapping[str, list[str]],
) -> str | None:
    """The one writable server; with none or several, the one root of the tree that has followers."""
    groups = [name for name, server in servers.items() if server.role == "group_primary"]
    if len(groups) == 1:
        return groups[0]
    roots = [name for name in servers if not follows[name] and replicas.get(name)]
    if len(writable) == 1 and (not roots or writable[0] in roots):
        return writable[0]
    return roots[0] if len(roots) == 1 else None


def check_set(
    servers: Mapping[str, Server],
    tree: Mapping[str, Any],
    unreachable: Mapping[str, str],
    policy: dict[str, Any],
    expected_primary: str | None = None,
) -> list[dict[str, Any]]:
    """The checks on the set as a whole."""
    findings = {
        "single_writer": _single_writer(tree, unreachable),
        "source_in_set": _source_in_set(servers, tree),
        "expected_primary": _expected(tree, expected_primary),
        "server_id_unique": _unique(servers),
    }
    checks = []
    reported = {} if policy["checks"].get("connect") == SKIP else unreachable
    for name, text in sorted(reported.items()):
        checks.append(check_from("connect", CRITICAL, failed(None, "a connection", text, ""), policy, server=name))
    for identifier, finding in findings.items():
        if finding is not None and policy["checks"].get(identifier) != SKIP:
            severity = SET_RULES.get(identifier, (CRITICAL, ""))[0]
            checks.append(check_from(identifier, severity, finding, policy))
    return checks


def _single_writer(tree: Mapping[str, Any], unreachable: Mapping[str, str]) -> Finding:
    writable = tree["writable"]
    if len(writable) == 1:
        if unreachable:
            others = ", ".join(sorted(unreachable))
            message = f"{writable[0]} accepts writes; {others} could not be queried and may accept them, too."
            hint = "Find out what these servers do before you trust that there is one writer."
            return failed(writable, 1, message, hint, cap=WARNING)
        return passed(writable, 1, f"{writable[0]} is the only server that accepts writes.")
    if not writable:
        hint = "Decide which one is the primary (the one with all transactions), then lift read-only mode there."
        return failed(writable, 1, "No server of the set accepts writes.", hint)
    message = f"{len(writable)} servers accept writes at the same time: {', '.join(writable)}."
    hint = (
        "Set super_read_only=ON (MariaDB: read_only=ON) at once on all but the primary, "
        "then look for errant transactions."
    )
    return failed(writable, 1, message, hint, heals=False)


def _source_in_set(servers: Mapping[str, Server], tree: Mapping[str, Any]) -> Finding | None:
    follows, primary = tree["follows"], tree["primary"]
    problems = []
    for name, sources in follows.items():
        problems += [f"{name} follows {s}, which is not in the set" for s in sources if s not in servers]
        if name not in {p.split(" ")[0] for p in problems} and not _leads_to(name, primary, follows):
            problems.append(f"{name} does not lead to the primary ({' -> '.join(_path(name, follows))})")
    alone = [n for n in servers if n != primary and n not in follows and not servers[n].in_group]
    problems += [f"{name} follows nobody" for name in alone if primary]
    if not problems:
        return passed(follows, primary, "Every replica follows the primary.") if follows else None
    hint = "Point each at the primary with mysql_replication_channel, or take it out of the set."
    return failed(follows, primary, "; ".join(problems) + ".", hint, heals=False)


def _path(name: str, follows: Mapping[str, list[str]]) -> list[str]:
    path = [name]
    while path[-1] in follows and follows[path[-1]]:
        following = follows[path[-1]][0]
        path.append(following)
        if following in path[:-1]:
            break
    return path


def _leads_to(name: str, primary: str | None, follows: Mapping[str, list[str]]) -> bool:
    return primary is None or primary in _path(name, follows)


def _expected(tree: Mapping[str, Any], wanted: str | None) -> Finding | None:
    if not wanted:
        return None
    if tree["primary"] == wanted:
        return passed(wanted, wanted, f"{wanted} is the primary.")
    message = f"The primary is {tree['primary'] or 'not identifiable'} instead of {wanted}."
    return failed(tree["primary"], wanted, message, "Switch over, or correct what is expected.", heals=False)


def _unique(servers: Mapping[str, Server]) -> Finding:
    clash = duplicates([(name, server.server_id, server.uuid) for name, server in servers.items()])
    if clash:
        hint = "Give each server its own; for server_uuid delete auto.cnf while the server is stopped."
        return failed(clash, "unique", " ".join(clash), hint, heals=False)
    return passed(len(servers), "unique", f"The ids of {len(servers)} server(s) are unique.")


class Fleet:
    """A set of servers, read at the same time and judged together."""

    def __init__(
        self, members: Mapping[str, ConnectionOptions], policy: dict[str, Any], max_transaction_age: int = 60
    ) -> None:
        self.members, self.policy = dict(members), policy
        self.max_transaction_age = max_transaction_age
        self.collectors: dict[str, Collector] = {}
        self.servers: dict[str, Server] = {}
        self.failures: dict[str, DatabaseError] = {}

    def close(self) -> None:
        """Close all connections."""
        for collector in self.collectors.values():
            collector.connection.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def gather(self) -> None:
        """Read all at once, so that one frozen server does not delay the others."""
        with ThreadPoolExecutor(max_workers=min(16, max(1, len(self.members)))) as pool:
            for name, outcome in zip(self.members, pool.map(self._one, self.members)):
                if isinstance(outcome, DatabaseError):
                    self.failures[name] = outcome
                else:
                    self.collectors[name] = outcome
                    self.servers[name] = build(outcome.snapshot, name)

    def _one(self, name: str) -> Any:
        connection = None
        try:
            connection = Connection(self.members[name])
            collector = Collector(connection)
            tables = bool(self.policy["inspect_tables"])
            collector.collect(max_transaction_age=self.max_transaction_age, tables=tables)
            server = build(collector.snapshot, name)
            collector.accounts(accounts_of_interest(server))
            unheard = unheard_channels(server, self.policy)
            if unheard:
                limit = max(silence_limit(self.policy, c) for c in unheard) + 0.3
                collector.snapshot["quiet_for"] = watch_receiver(collector, limit)
        except DatabaseError as error:
            if connection is not None:
                connection.close()
            return error
        return collector

    def report(self, expected_primary: str | None = None) -> dict[str, Any]:
        """The whole result: the set, and each server of it."""
        self.gather()
        addresses = {name: f"{o.host}:{o.port}" for name, o in self.members.items()}
        unreachable_texts = {name: str(error) for name, error in self.failures.items()}
        tree = topology(self.servers, addresses, unreachable_texts)
        checks = check_set(self.servers, tree, unreachable_texts, self.policy, expected_primary)
        results: dict[str, Any] = {name: unreachable(name, error, self.policy) for name, error in self.failures.items()}
        for name, server in self.servers.items():
            results[name] = self._judge(name, server, tree, addresses)
        for name in sorted(results):
            if name in self.servers:
                checks += [{**check, "server": name} for check in results[name]["checks"]]
        verdict = Verdict(checks)
        partial = any(r["coverage"] == "partial" for r in results.values())
        return {
            "verdict": verdict.verdict,
            "coverage": "partial" if partial else "full",
            "reasons": verdict.reasons,
            "not_judged": verdict.not_judged,
            "summary": verdict.summary(f"the set of {', '.join(sorted(self.members))}"),
            "checks": [c for c in checks if c["status"] != "pass" or "server" not in c],
            "topology": tree,
            "servers": results,
        }

    def _judge(self, name: str, server: Server, tree: dict[str, Any], addresses: dict[str, str]) -> dict[str, Any]:
        role = "auto"
        if not server.in_group:
            role = "primary" if name == tree["primary"] else "replica" if server.channels else "auto"
        # That exactly one accepts writes is judged once, over the whole set.
        quiet = {**self.policy["checks"], "server_id_unique": SKIP}
        context = Context(server, {**self.policy, "role": role, "checks": quiet})
        source = next((source_of(c, name, self.servers, addresses) for c in server.channels), None)
        if source and source in self.collectors and self.servers[source].mariadb == server.mariadb:
            collector = self.collectors[source]
            try:
                collector.accounts(c.source_user for c in server.channels)
                # Read again after the replica, so that the source can only be ahead of it.
                collector.positions()
                context.primary = self.servers[source]
                context.errant = confirmed_errant(context, collector)
                if self.policy["checks"].get("table_definitions") != SKIP:
                    confirm_tables(context, self.collectors[name].connection, collector.connection)
            except DatabaseError as error:
                context.primary = None
                context.primary_error = f"{source} can no longer be queried: {error.message}"
        return report(context, judge(context))
