# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of several values together: nodes agree on shared variables, and names are unique.

Pure, as the inventory contract, of which it is a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inventory_contract import Stack

# Names that the configuration of HAProxy uses itself.
PROXIES = ("admin", "http", "sites", "acme-challenge")
# Variables that have to be the same on the nodes of these groups, because one uses them to reach or name another.
SHARED = {
    "webstack_domain": ("haproxy", "web", "monitoring"),
    "webstack_sites": ("all",),
    "webstack_virtual_addresses": ("all",),
    "webstack_haproxy_peers_port": ("haproxy",),
    "webstack_mysql_engine": ("mysql",),
    # Any of them may become the primary.
    "webstack_semi_sync": ("mysql",),
    "webstack_semi_sync_unanswered": ("mysql",),
    "webstack_semi_sync_timeout": ("mysql",),
    "webstack_semi_sync_replicas": ("mysql",),
    "webstack_semi_sync_wait_point": ("mysql",),
    "webstack_web_port": ("haproxy", "web"),
    "webstack_mysql_port": ("web", "mysql"),
    "webstack_mysql_health_port": ("web", "mysql"),
    "webstack_mysql_seed_port": ("mysql",),
    "webstack_health_path": ("haproxy", "web"),
    "webstack_app_database": ("web", "mysql"),
    "webstack_app_user": ("web", "mysql"),
    "webstack_app_password": ("web", "mysql"),
    "webstack_app_reader_user": ("web", "mysql"),
    "webstack_app_reader_password": ("web", "mysql"),
    "webstack_replication_user": ("mysql",),
    "webstack_replication_password": ("mysql",),
    "webstack_verification_user": ("mysql",),
    "webstack_verification_password": ("mysql",),
    "webstack_switchover_user": ("mysql",),
    "webstack_switchover_password": ("mysql",),
}


def check_proxies(stack: Stack) -> Iterable[str]:
    """Everything in the configuration of HAProxy has a name of its own."""
    balancers = stack.members("haproxy")
    for host in dict.fromkeys(balancers + stack.members("web")):
        found: list[tuple[str, str, Any]] = [("HAProxy itself", name, []) for name in PROXIES]
        # Only balancers serve sites.
        for variable in ["webstack_sites"] * (host in balancers) + ["haproxy_tcp_services"]:
            items = stack.value(host, variable) if variable in stack.given[host] else []
            for item in items if isinstance(items, list) else []:
                if isinstance(item, Mapping):
                    found.append((variable, str(item.get("name")), item.get("servers")))
        for index, (variable, name, servers) in enumerate(found):
            owner = next((other for other, same, _servers in found[:index] if same == name), None)
            if owner:
                yield f"{host}: {variable}: name = {name!r} is taken by {owner}: choose another one."
            named = [str(each.get("name")) for each in as_list(servers) if isinstance(each, Mapping)]
            for server, count in Counter(named).items():
                if count > 1:
                    yield f"{host}: {variable}: {name} has {count} servers named {server!r}: name each once."


def as_list(value: Any) -> list[Any]:
    """A list, or an empty one for what the argument specs have refused."""
    return value if isinstance(value, list) else []


def check_shared(stack: Stack) -> Iterable[str]:
    """Variables that nodes share are the same on all of them."""
    for variable, groups in SHARED.items():
        # Too long, or secret.
        hidden = variable == "webstack_sites" or "password" in variable
        values: dict[str, list[str]] = {}
        for host in dict.fromkeys(host for group in groups for host in stack.members(group)):
            # A value that is not given is the same for all: a password is generated, which reading it would do; sites
            # are made of variables that are checked themselves.
            value = None if hidden and variable not in stack.given[host] else stack.value(host, variable)
            values.setdefault(str(value), []).append(host)
        if len(values) > 1:
            shown = {value: ", ".join(hosts) for value, hosts in values.items()}
            parts = [hosts if hidden else f"{value} on {hosts}" for value, hosts in shown.items()]
            differs = "is one on" if hidden else "is"
            between = " and another one on " if hidden else " and "
            yield (
                f"{variable} {differs} {between.join(parts)}, and these nodes have to agree: "
                "set it once, for all hosts."
            )
