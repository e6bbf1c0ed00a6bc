# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual addresses: one that nobody could take over, or that somebody else has, is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.pentad.webstack.plugins.plugin_utils import inventory_contract as contract
from inputs import TOP, everywhere, stack

NETWORK = {
    "distribution": "Debian", "distribution_version": "13.1",
    "eth0": {"device": "eth0", "ipv4": {"address": "192.0.2.10", "netmask": "255.255.255.0"},
             "ipv6": [{"address": "fd00::10", "prefix": "64"}]},
}  # fmt: skip
ALONE = {**NETWORK, "eth0": {"device": "eth0", "ipv4": {"address": "198.51.100.7", "prefix": "24"}}}
ROW: dict[str, Any] = {"addresses": ["192.0.2.200"]}


def balanced(*rows: dict[str, Any], haproxy: tuple[str, ...] = ("lb1", "web1"), **changes: Any) -> contract.Stack:
    """Two balancers on one network, with these virtual addresses, and changed variables of some hosts."""
    common = {"webstack_virtual_addresses": list(rows), "ansible_facts": NETWORK}
    hosts = {host: {**given, **changes.get(host, {})} for host, given in everywhere(**common).items()}
    return stack(hosts, haproxy=list(haproxy))


def probed(**found: Any) -> dict[str, Any]:
    """A balancer whose probe found something."""
    return {"__keepalived_probe": {"used": {}, "routers": [], **found}}


def heard(source: str) -> dict[str, Any]:
    """A balancer that has heard a virtual router with the id of the row."""
    return probed(routers=[{"interface": "eth0", "virtual_router_id": 200, "source": source}])


def surveyed(*addresses: str) -> dict[str, Any]:
    """A survey that found these addresses."""
    return {"__webstack_survey": {"addresses": list(addresses), "listeners": [], "database": {}}}


ACCEPTED = {
    "one address": balanced(ROW),
    "two addresses": balanced(ROW, {"addresses": ["192.0.2.201"], "balancers": ["web1"], "virtual_router_id": 9}),
    "both protocols": balanced({"addresses": ["192.0.2.200", "fd00::200"]}),
    "without facts about interfaces": balanced(
        ROW, lb1={"ansible_facts": {"distribution": "Debian", "distribution_version": "13"}}
    ),
    "a balancer holds it": balanced(ROW, lb1=surveyed("192.0.2.10", "192.0.2.200")),
    "two balancers without an address": balanced(),
    "an interface to which it is routed": balanced({"addresses": ["203.0.113.9"], "interface": "eth0"}),
    "a command that moves it": balanced(
        {"addresses": ["203.0.113.9"]}, **dict.fromkeys(("lb1", "web1"), {"keepalived_notify_command": ["move"]})
    ),
    "announcements of ours": balanced(ROW, lb1=heard("192.0.2.11")),
    "another router id": balanced({**ROW, "virtual_router_id": 7}, lb1=heard("192.0.2.1")),
    "free": balanced(ROW, lb1=probed()),
}  # fmt: skip


@pytest.mark.parametrize("given", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_right_is_accepted(given):
    assert contract.problems(given, []) == []


NAME = "webstack_virtual_addresses"
REFUSED = {
    "one balancer": (
        balanced(ROW, haproxy=("lb1",)),
        f"{NAME} has 192.0.2.200, and group haproxy has lb1 alone, so nobody would take it over: add a host to "
        "haproxy, or remove the addresses; one that something else holds belongs into dns_addresses.",
    ),
    "no address": (
        balanced({"addresses": ["192.0.2"]}),
        f"lb1: {NAME}[0].addresses[0] = '192.0.2' is not an IP address: write it as 192.0.2.11 or fd00::11.",
    ),
    "a node's address": (
        balanced({"addresses": ["192.0.2.12"]}),
        f"{NAME} has 192.0.2.12, which is webstack_address of web2: use an address that no node has.",
    ),
    "another address of a node": (
        balanced(ROW, db1=surveyed("192.0.2.13", "192.0.2.200")),
        f"{NAME} has 192.0.2.200, which is on an interface of db1: use an address that no node has.",
    ),
    "outside of the networks": (
        balanced(ROW, web1={"ansible_facts": ALONE}),
        f"web1: {NAME} has 192.0.2.200, which is in none of this balancer's networks (198.51.100.0/24): use an "
        "address of one of them, or, where it is routed to the node, name the interface of the row.",
    ),
    "loopback": (
        balanced({"addresses": ["127.0.0.9"], "interface": "eth0"}),
        f"{NAME} has 127.0.0.9, by which no client reaches a balancer: use an address of the balancers' network.",
    ),
    "another protocol": (
        balanced({"addresses": ["fd00::200"]}),
        f"{NAME}: the row of fd00::200 has no address of IPv4, by which the balancers know each other: put it into the "
        "row of one that is, with which it then moves.",
    ),
    "an interface that is not there": (
        balanced({**ROW, "interface": "eth7"}),
        f"lb1: {NAME}: interface = 'eth7' of 192.0.2.200 is none of eth0: correct it, or leave it out.",
    ),
    "an address twice": (balanced(ROW, ROW), f"{NAME} has 192.0.2.200 2 times: keep it in one row."),
    "a router id twice": (
        balanced({**ROW, "virtual_router_id": 5}, {"addresses": ["192.0.2.201"], "virtual_router_id": 5}),
        f"{NAME}: virtual_router_id = 5 belongs to the rows of 192.0.2.200 and 192.0.2.201, and each needs one of its "
        "own: give one of them another number from 1 to 255.",
    ),
    "a router id out of range": (
        balanced({**ROW, "virtual_router_id": 256}),
        f"lb1: {NAME}[0].virtual_router_id = 256 is out of range: use 1 to 255.",
    ),
    "no balancer": (
        balanced({**ROW, "balancers": ["db1"]}),
        f"{NAME}: balancers of 192.0.2.200 has 'db1', which is not in group haproxy: use some of lb1, web1.",
    ),
    "not the same everywhere": (
        balanced(ROW, web2={NAME: []}),
        f"{NAME} is [{{'addresses': ['192.0.2.200']}}] on lb1, web1, db1, db2 and [] on web2, and these nodes have to "
        "agree: set it once, for all hosts.",
    ),
    "in use": (
        balanced(ROW, **dict.fromkeys(("lb1", "web1"), probed(used={"192.0.2.200": "answers on port 80"}))),
        f"{NAME} has 192.0.2.200, which is in use: seen from lb1 it answers on port 80, and no balancer holds it: use "
        "a free address, or switch off what has it.",
    ),
    "another router": (
        balanced(ROW, **dict.fromkeys(("lb1", "web1"), heard("192.0.2.1"))),
        f"{NAME}: virtual_router_id = 200 of 192.0.2.200 is used by 192.0.2.1, which lb1 hears on eth0: set "
        "virtual_router_id of this row to another number from 1 to 255.",
    ),
    "no probe": (
        balanced(ROW, lb1={"__keepalived_probe": {"msg": "cannot listen"}}),
        f"lb1: whether the addresses in {NAME} are free could not be found out: cannot listen.",
    ),
}


@pytest.mark.parametrize(("given", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said_in_one_sentence(given, problem):
    found = contract.problems(given, [])
    assert found.count(problem) == 1
    # What is wrong for all hosts may be said of each of them, and nothing else is said.
    assert {each.removeprefix(each.partition(": ")[0]) for each in found} == {
        problem.removeprefix(problem.partition(": ")[0])
    }


def test_an_address_that_a_silent_balancer_may_hold_is_not_in_use():
    used = probed(used={"192.0.2.200": "answers on port 80"})
    given = balanced(ROW, lb1=used, web1={"__webstack_survey": {"unreachable": True, "msg": "no route"}})
    assert not [each for each in contract.problems(given, []) if "is in use" in each]


def test_balancers_listen_for_each_other_only_where_they_count():
    claimed = [
        {claim.port_variable for claim, _port, _address in contract.claims(given, "lb1")}
        for given in (
            balanced(ROW, **dict.fromkeys(("lb1", "web1"), {"haproxy_rate_limit": 50})),
            balanced(ROW),
            stack({"lb1": {"haproxy_rate_limit": 50}}),
        )
    ]
    assert ["webstack_haproxy_peers_port" in each for each in claimed] == [True, False, False]


def test_the_example_with_nothing_single_is_accepted():
    source = InventoryManager(DataLoader(), [str(TOP / "inventories" / "ha-large.example" / "hosts.yml")])
    shared = yaml.safe_load((TOP / "inventories/ha-large.example/group_vars/all/virtual.yml").read_text())
    groups = {name: [host.name for host in group.get_hosts()] for name, group in source.groups.items()}
    changes = {
        host.name: {"webstack_address": host.vars["ansible_host"], "ansible_facts": NETWORK, **shared}
        for host in source.get_hosts()
    }
    assert [len(groups[name]) for name in ("haproxy", "web", "mysql_replica", "all")] == [2, 2, 2, 8]
    assert contract.problems(stack(changes, **groups), []) == []
