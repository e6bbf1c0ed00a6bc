# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: what was gathered of every part, in; findings, right or wrong, out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .inventory_contract import BESIDE, FENCED_UNITS, Claim, Stack, claims
from .participants import why
from .virtual_addresses import addresses_of
from .virtual_contract import given_rows

# Backends in which a failover refuses an old primary, and the one that follows them.
DATABASE_BACKENDS = ("mysql_primary", "mysql_replica")


@dataclass(frozen=True)
class Finding:
    """One point of the proof: the host, what was checked, whether it is right, what was observed, what to do."""

    host: str
    check: str
    ok: bool
    fact: str
    remedy: str = ""


def trouble(host: str, services: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What is wrong with the units of a node, with what to do."""
    for unit in services.get("masked", []):
        if unit in FENCED_UNITS:
            yield f"{unit} is masked, as a failover does with an old primary", rejoin(host)
        else:
            yield f"{unit} is masked", f"Run 'systemctl unmask {unit}' on {host}, then site.yml."
    for unit, what in services.get("failed", {}).items():
        yield f"{unit} {what}", f"Remove the cause; 'journalctl -u {unit}' on {host} has more."
    for unit, action in services.get("pending", {}).items():
        what = "restart in a rollout" if action == "deferred" else action
        yield f"{unit} has a {what} pending from an earlier run", "Run site.yml, which does it."


def rejoin(host: str) -> str:
    """How a database server that was fenced comes back."""
    return f"Run rejoin.yml with -e mysql_rejoin={host}, which takes it back."


def silence(stack: Stack, host: str, consequence: str = "") -> Finding:
    """A node that does not answer."""
    remedy = f"Start {host}, or find out why it cannot be reached."
    return Finding(host, "node", False, f"does not answer ({why(stack, host)}){consequence}", remedy)


def gone(stack: Stack) -> list[str]:
    """Nodes that do not answer."""
    return [host for host in stack.hosts if not stack.answered(host)]


def nodes(stack: Stack) -> Iterable[Finding]:
    """Every node answers, and its services listen where the others expect them."""
    for host in stack.hosts:
        if not stack.answered(host):
            yield silence(stack, host)
            continue
        wrong = list(trouble(host, stack.survey(host).get("services") or {}))
        yield from (Finding(host, "services", False, fact, remedy) for fact, remedy in wrong)
        listening = stack.survey(host).get("listeners", [])
        silent = {
            f"{claim.processes[0] or unit_of(stack, host, claim)} on {address}:{port}": unit_of(stack, host, claim)
            for claim, port, address in claims(stack, host)
            if not any(found["port"] == port and found["address"] in (address, "0.0.0.0", "::") for found in listening)  # noqa: S104 - compares
        }
        if silent:
            units = " ".join(f"-u {unit}" for unit in dict.fromkeys(silent.values()))
            remedy = f"Read 'journalctl {units}' on {host}, remove the cause, and run site.yml."
            yield Finding(host, "services", False, f"nothing listens for {', '.join(silent)}", remedy)
        elif not wrong:
            yield Finding(host, "services", True, "all services listen")


def unit_of(stack: Stack, host: str, claim: Claim) -> str:
    """The unit of a service on a host."""
    names = {"engine": "webstack_mysql_engine", "application": "webstack_app_name"}
    return claim.unit.format(**{word: stack.value(host, name) for word, name in names.items()})


def out_of_service(stack: Stack) -> Iterable[Finding]:
    """No server of a balancer is drained or in maintenance."""
    for host in stack.hosts:
        haproxy = stack.survey(host).get("haproxy") or {}
        for server in once(haproxy.get("drained", [])):
            fact = f"{server} is drained"
            yield Finding(
                host, "haproxy", False, fact, "A rollout is working on it; if none is, site.yml puts it back."
            )
        for server in haproxy.get("maintained", []):
            backend, _slash, name = server.partition("/")
            if backend in DATABASE_BACKENDS:
                # Those that are named otherwise follow it.
                if name in stack.everybody("mysql"):
                    # While its node is away, it has to be.
                    away = not stack.answered(name)
                    yield Finding(host, "haproxy", away, f"{name} is refused as a fenced primary", rejoin(name))
                continue
            fact = f"{server} is in maintenance, by hand"
            remedy = f"'set server {server} state ready' to HAProxy's socket there puts it back; no playbook does."
            yield Finding(host, "haproxy", False, fact, remedy)


def once(servers: list[str]) -> list[str]:
    """Each server, as C(backend/server), without those of the backends that follow one in which it is named."""
    following = {each.replace("/", f"{end}/", 1) for each in servers for end in BESIDE}
    return [each for each in servers if each not in following]


def site(stack: Stack) -> Iterable[Finding]:
    """What every balancer's probe found."""
    for host in stack.members("haproxy"):
        probed = stack.variables[host].get("__proof_site") or {}
        for found in probed.get("findings", []):
            yield Finding(
                f"{found['host']}", f"{found['check']} via {host}", found["ok"], found["fact"], found["remedy"]
            )
        if stack.answered(host) and "findings" not in probed:
            yield Finding(
                host, "site", False, f"could not be probed: {probed.get('msg', 'no result')}", "Run again with -v."
            )


def virtual(stack: Stack) -> Iterable[Finding]:
    """Exactly one balancer holds each virtual address."""
    balancers = stack.members("haproxy")
    rows = given_rows(stack, balancers[0]) if len(stack.everybody("haproxy")) > 1 and balancers else []
    asked = [host for host in balancers if stack.answered(host)]
    for address in (address for row in rows for address in addresses_of(row)):
        holders = [host for host in asked if address in (stack.survey(host).get("addresses") or [])]
        if len(holders) == 1:
            yield Finding(address, "virtual address", True, f"{holders[0]} holds it")
        elif holders:
            remedy = "Find out why their keepalived do not hear each other: VRRP (protocol 112) from node to node."
            yield Finding(address, "virtual address", False, f"{' and '.join(holders)} hold it", remedy)
        elif len(asked) == len(stack.everybody("haproxy")):
            remedy = "Check 'journalctl -u keepalived -u keepalived-check -u haproxy' on the balancers."
            yield Finding(address, "virtual address", False, "no balancer holds it", remedy)
        else:
            fact = f"none of {', '.join(asked) or 'those that answer'} holds it; others were not asked"
            yield Finding(address, "virtual address", True, fact)


def replication(stack: Stack) -> Iterable[Finding]:
    """The verdict of every database server."""
    for host in stack.members("mysql"):
        verdict = stack.variables[host].get("__proof_replication") or {}
        if not stack.answered(host):
            continue
        if not verdict.get("verdict"):
            fact = f"gave no verdict: {verdict.get('msg', 'no result')}"
            yield Finding(host, "replication", False, fact, "Run again with -v.")
            continue
        ok = verdict["verdict"] in ("ok", "warning")
        role = (verdict.get("role") or {}).get("observed", "")
        yield Finding(host, f"replication ({role})", ok, verdict["summary"], hints(verdict))


def settings(stack: Stack) -> Iterable[Finding]:
    """Settings that are written and need a restart of the server; found only after a deployment in the same run."""
    for host in stack.members("mysql"):
        pending = (stack.variables[host].get("mysql_server_live") or {}).get("restart_required")
        if pending:
            fact = f"{', '.join(pending)} in the configuration, but not yet in the running server"
            remedy = "Restart the server when it may be away for a moment; a replica before the primary."
            yield Finding(host, "settings", False, fact, remedy)


def hints(verdict: Mapping[str, Any]) -> str:
    """What to do about the rules that are not passed."""
    wrong = [
        check for check in verdict.get("checks", []) if check["status"] in ("fail", "unknown") and check.get("hint")
    ]
    return " ".join(dict.fromkeys(check["hint"] for check in wrong))


def monitoring(stack: Stack) -> Iterable[Finding]:
    """Every scrape target is up."""
    for host in stack.members("monitoring"):
        answer = stack.variables[host].get("__proof_targets") or {}
        if not stack.answered(host):
            continue
        targets = ((answer.get("json") or {}).get("data") or {}).get("activeTargets")
        if not targets:
            fact = f"Prometheus does not answer ({answer.get('msg', 'no targets')})"
            yield Finding(host, "monitoring", False, fact, f"Read 'journalctl -u prometheus' on {host}.")
            continue
        targets = [target for target in targets if target["labels"].get("instance") not in gone(stack)]
        down = [target for target in targets if target["health"] != "up"]
        for target in down:
            labels = target["labels"]
            yield Finding(
                labels.get("instance", "?"),
                "scrape target",
                False,
                f"job {labels.get('job')} is {target['health']}: {target.get('lastError') or 'not scraped yet'}",
                f"Check the exporter at {target['scrapeUrl']}.",
            )
        if not down:
            yield Finding(host, "monitoring", True, f"all {len(targets)} scrape targets are up")


def dropped(stack: Stack, hosts: Iterable[str]) -> Iterable[Finding]:
    """Hosts that dropped out of the run, so that they were not checked."""
    for host in hosts:
        if not stack.answered(host):
            yield silence(stack, host, ", and this run went on without it")
            continue
        yield Finding(host, "run", False, "failed earlier in this run", "Read its error above.")


def findings(stack: Stack, failed: Collection[str] = ()) -> list[Finding]:
    """The whole proof; failed are the hosts that dropped out of the run."""
    parts = (nodes, out_of_service, virtual, site, replication, settings, monitoring)
    found = [one for part in parts for one in part(stack)]
    away = gone(stack)
    # Of a node that does not answer nothing else is said, such as that the balancer gets nothing from it.
    found = [one for one in found if one.ok or one.host not in away or one.check == "node"]
    return [*dropped(stack, failed), *(one for one in found if one.host not in failed)]


def report(found: list[Finding]) -> str:
    """A line for each point; what is wrong has its remedy below."""
    width = max((len(one.host) for one in found), default=0)
    broad = max((len(one.check) for one in found), default=0)
    lines = []
    for one in found:
        # Such as the end of a journal.
        fact = one.fact.strip().replace("\n", f"\n{'':7}{'':<{width}}  | ")
        lines.append(f"{'ok   ' if one.ok else 'WRONG'}  {one.host:<{width}}  {one.check:<{broad}}  {fact}")
        if not one.ok and one.remedy:
            lines.append(f"{'':7}{'':<{width}}  -> {one.remedy}")
    return "\n".join(lines)
