# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters by which an emergency failover is decided from what its tasks registered on each host."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..module_utils.mysql.gtid import GtidError
from ..module_utils.replication.history import History
from ..plugin_utils import failover
from ..plugin_utils.primary import Refused
from .topology import members_of


def decided(decide: Callable[[], dict[str, Any]], nothing: dict[str, Any]) -> dict[str, Any]:
    """What was decided, with an empty C(refusal); or nothing, and why."""
    try:
        return {**decide(), "refusal": ""}
    except (Refused, GtidError) as refusal:
        return {**nothing, "refusal": str(refusal)}


def registered(hostvars: Mapping[str, Any], hosts: Iterable[str], name: str) -> dict[str, Mapping[str, Any]]:
    """What a task registered under a name, of the hosts on which it ran."""
    found = {host: hostvars[host].get(name) for host in hosts}
    return {host: value for host, value in found.items() if isinstance(value, Mapping) and not value.get("skipped")}


def old_primary(hostvars: Mapping[str, Any], groups: Mapping[str, list[str]]) -> dict[str, Any]:
    """The primary that is to be replaced, by C(__webstack_replication) and C(__mysql_failover_recorded) of each host.

    Returns C(old), C(address) and C(identity) of it; C(new), its successor if that takes writes already; C(silent),
    the other servers that do not answer; C(refusal).
    """
    records = {}
    for host, slurped in registered(hostvars, groups.get("mysql", []), "__mysql_failover_recorded").items():
        try:
            records[host] = json.loads(base64.b64decode(slurped.get("content") or ""))
        except ValueError:
            # There is none, or it was being written when the run was killed; then nothing was changed yet.
            continue
    nothing = {**dict.fromkeys(("old", "address", "identity", "new"), ""), "silent": []}
    preferred = groups.get("mysql_primary", [])
    return decided(lambda: vars(failover.find_case(members_of(hostvars, groups), preferred, records)).copy(), nothing)


def primary_gone(
    hostvars: Mapping[str, Any], hosts: Iterable[str], old: str, confirmed: str = "", silent: list[str] | None = None
) -> dict[str, Any]:
    """Whether the primary is gone, by C(__mysql_failover_sighting) of each host: C(text), what shows it; C(refusal)."""
    sightings = registered(hostvars, hosts, "__mysql_failover_sighting")
    return decided(lambda: {"text": failover.gone(old, sightings, confirmed, silent or [])}, {"text": ""})


def failover_without(
    hostvars: Mapping[str, Any], hosts: Iterable[str], old: str, silent: list[str], confirmed: str = ""
) -> dict[str, Any]:
    """Which servers a failover goes without: C(text), in words; C(refusal) if what they have may be needed.

    By C(__webstack_replication) of each host.
    """
    found = registered(hostvars, hosts, "__webstack_replication").values()
    acknowledging = max(((server.get("acknowledging") or {}).get("wanted", 0) for server in found), default=0)
    return decided(lambda: {"text": failover.without(old, silent, confirmed, acknowledging)}, {"text": ""})


def primary_fence(hostvars: Mapping[str, Any], web: Iterable[str], old: str, confirmed: str = "") -> dict[str, Any]:
    """What keeps the old primary from taking writes: C(text), which of the fences holds; C(refusal) if none does.

    By C(__mysql_failover_stopped) of the old primary and C(__haproxy_refusal) of each web node.
    """
    stopped = registered(hostvars, [old], "__mysql_failover_stopped").get(old, {})
    nodes = list(web)
    refused = registered(hostvars, nodes, "__haproxy_refusal")
    refusing = {node: bool(refused.get(node, {}).get("backends")) for node in nodes}
    down = stopped.get("active") in ("inactive", "failed")
    return decided(lambda: {"text": failover.fence(old, down, refusing, confirmed)}, {"text": ""})


def new_primary(
    hostvars: Mapping[str, Any], hosts: Iterable[str], old: str, wanted: str = "", planned: bool = False
) -> dict[str, Any]:
    """The successor, by C(__mysql_failover_settled) of each host.

    Returns its C(name); C(left_out), why others must not be it; C(refusal). planned: as it will be once all that is
    received is applied.
    """
    found = registered(hostvars, hosts, "__mysql_failover_settled")
    candidates = [one for host in found if (one := failover.candidate(host, found[host], planned)) is not None]

    def decide() -> dict[str, Any]:
        chosen = failover.choose_successor(old, candidates, wanted)
        return {"name": chosen.name, "left_out": dict(chosen.left_out)}

    return decided(decide, {"name": "", "left_out": {}})


def possibly_missing(
    history: Mapping[str, Any], old: str, identity: str, source: Mapping[str, Any] | None = None
) -> str:
    """Which transactions of the old primary may be missing in the history of the new one, in words."""
    known = History.from_dict(source) if source else None
    return failover.possibly_missing(old, identity, History.from_dict(history), known)


def failover_report(hostvars: Mapping[str, Any], case: Mapping[str, Any], new: str, planned: bool = False) -> list[str]:
    """What a failover did or would do, by what its tasks registered on each host: sentences in their order."""
    here = hostvars[new]
    hosts = [host for host in hostvars if host not in (new, case["old"])]
    settled = registered(hostvars, hostvars, "__mysql_failover_settled")
    choice = here.get("__webstack_choice") or {}
    objections = {host: text for host, text in (choice.get("objections") or {}).items() if host in hosts}
    answering = [host for host in hosts if (hostvars[host].get("__webstack_replication") or {}).get("history")]
    found = here.get("__webstack_replication") or {}
    history, events = found.get("history") or {}, found.get("events") or {}
    return failover.report(
        failover.Outcome(
            case["old"],
            new,
            planned,
            gone=(here.get("__mysql_failover_gone") or {}).get("text", ""),
            fence=(here.get("__mysql_failover_fence") or {}).get("text", ""),
            applied={host: int(found.get("applied") or 0) for host, found in settled.items()},
            left_out=(here.get("__mysql_failover_successor") or {}).get("left_out") or {},
            followers=[host for host in answering if host not in objections],
            objections=objections,
            silent=case.get("silent") or [],
            waiting=[f"{each['schema']}.{each['name']}" for each in (events.get("waiting") or [])],
            lost=registered(hostvars, [case["old"]], "__mysql_failover_lost").get(case["old"], {}),
            bounds=possibly_missing(history, case["old"], case["identity"], settled.get(new, {}).get("source")),
        )
    )


def unread_transactions(lost: Mapping[str, Any]) -> list[str]:
    """What C(mysql_saved_transactions) could not read, in sentences."""
    return list(failover.unread(lost))


def writers(hosts: Iterable[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Database servers that take writes, by C(__webstack_replication) of each."""
    found = {host: hostvars[host].get("__webstack_replication") or {} for host in hosts}
    return [host for host, server in found.items() if (server.get("role") or {}).get("writable")]


def refused_everywhere(web: Iterable[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Database servers that every web node keeps in maintenance, as a failover does with one that it cannot stop."""
    surveys = [hostvars[host].get("__webstack_survey") or {} for host in web]
    refused = [set((survey.get("haproxy") or {}).get("maintained") or []) for survey in surveys]
    backend = "mysql_primary/"
    common = set.intersection(*refused) if refused else set()
    return sorted(server.removeprefix(backend) for server in common if server.startswith(backend))


def lacked_by(history: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Transactions in a history that another one lacks; empty for none."""
    theirs = History.from_dict(other)
    # While the other one takes writes, the history that was read first may lack what it wrote since.
    return theirs.lacks(History.from_dict(history), not_from=[theirs.identity])


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {
            "failover_report": failover_report,
            "failover_without": failover_without,
            "lacked_by": lacked_by,
            "new_primary": new_primary,
            "old_primary": old_primary,
            "possibly_missing": possibly_missing,
            "primary_fence": primary_fence,
            "primary_gone": primary_gone,
            "refused_everywhere": refused_everywhere,
            "unread_transactions": unread_transactions,
            "writers": writers,
        }
