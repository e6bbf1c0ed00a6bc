# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of servers: who is primary, who follows whom, and whether exactly one accepts writes. Pure functions."""

from __future__ import annotations

from typing import Any, Mapping

from .model import Channel, Server
from .rules.all import check_from, duplicates
from .rules.registry import CRITICAL, SKIP, WARNING, Finding, failed, passed

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
    findings = {
        "single_writer": _single_writer(tree, unreachable),
        "source_in_set": _source_in_set(servers, tree),
        "expected_primary": _expected(tree, expected_primary),
        "server_id_unique": _unique(servers),
    }
    checks = []
    told = {} if policy["checks"].get("connect") == SKIP else unreachable
    for name, text in sorted(told.items()):
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
            message = f"{writable[0]} accepts writes; {', '.join(sorted(unreachable))} could not be asked and may, too."
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
    message = f"The primary is {tree['primary'] or 'not to be told'} instead of {wanted}."
    return failed(tree["primary"], wanted, message, "Switch over, or correct what is expected.", heals=False)


def _unique(servers: Mapping[str, Server]) -> Finding:
    clash = duplicates([(name, server.server_id, server.uuid) for name, server in servers.items()])
    if clash:
        hint = "Give each server its own; for server_uuid delete auto.cnf while the server is stopped."
        return failed(clash, "unique", " ".join(clash), hint, heals=False)
    return passed(len(servers), "unique", f"The ids of {len(servers)} server(s) are unique.")
