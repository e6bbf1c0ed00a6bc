# SPDX-License-Identifier: GPL-3.0-or-later
"""What is derived of virtual addresses: router ids, orders, priorities and interfaces."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import role_arguments
from ansible_collections.pentad.webstack.plugins.plugin_utils import virtual_addresses as virtual

LB = ["lb1", "lb2", "lb3"]
FACTS = {
    "default_ipv4": {"address": "192.0.2.11", "interface": "eth0"},
    "eth0": {"device": "eth0", "ipv4": {"address": "192.0.2.11", "netmask": "255.255.255.0"}},
    "lan_1": {
        "device": "lan.1",
        "ipv4": {"address": "10.0.0.1", "prefix": "8"},
        "ipv4_secondaries": [{"address": "192.0.2.200", "prefix": "32"}, {"address": "10.1.0.1", "prefix": "16"}],
        "ipv6": [{"address": "fd00::1", "prefix": "64"}, {"address": "fd01::9", "prefix": "128"}],
    },
}


def test_rows_begin_with_one_balancer_after_the_other():
    rows = virtual.complete([{"addresses": [f"192.0.2.{number}"]} for number in (7, 8, 9, 10)], LB)
    assert [row["balancers"][0] for row in rows] == ["lb1", "lb2", "lb3", "lb1"]
    assert rows[1]["balancers"] == ["lb2", "lb3", "lb1"]
    assert [row["virtual_router_id"] for row in rows] == [7, 8, 9, 10]


def test_a_given_order_comes_first_and_leaves_nobody_out():
    [row] = virtual.complete([{"addresses": ["192.0.2.7"], "balancers": ["lb3", "web9"]}], LB)
    assert row["balancers"] == ["lb3", "lb1", "lb2"]


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        ([{"addresses": ["192.0.2.7"]}, {"addresses": ["10.0.0.7"]}], [7, 8]),
        ([{"addresses": ["192.0.2.7"]}, {"addresses": ["10.0.0.9"], "virtual_router_id": 7}], [8, 7]),
        ([{"addresses": ["192.0.2.0"]}, {"addresses": ["192.0.2.255"]}], [255, 1]),
        ([{"addresses": ["fd00::1:2"]}, {"addresses": ["nonsense"]}], [2, 1]),
    ],
)
def test_router_ids_are_numbers_of_their_own(rows, numbers):
    assert [row["virtual_router_id"] for row in virtual.complete(rows, LB)] == numbers


def test_addresses_are_written_as_the_kernel_does():
    assert virtual.complete([{"addresses": ["FD00:0::9"]}], LB)[0]["addresses"] == ["fd00::9"]


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_priorities_are_distinct_and_those_of_backups(count):
    order = [f"lb{number}" for number in range(count)]
    found = [virtual.priority(order, host) for host in order]
    assert found == sorted(set(found), reverse=True)
    penalty = role_arguments.load(role_arguments.ROLES / "keepalived" / "vars" / "main.yml")["__keepalived_penalty"]
    assert 0 < found[0] + penalty < found[-1] <= found[0] < 255
    assert found[-1] + penalty > 0


@pytest.mark.parametrize(
    ("address", "device"),
    [
        ("192.0.2.9", "eth0"),
        ("10.2.0.1", "lan.1"),
        ("fd00::9", "lan.1"),
        # Neither in a network of the node, nor does a single address count as one.
        ("fd01::9", "eth0"),
        ("203.0.113.9", "eth0"),
    ],
)
def test_an_address_goes_to_the_interface_of_its_network(address, device):
    assert virtual.interface(address, FACTS, "192.0.2.11") == device


def test_without_facts_there_is_no_interface():
    assert virtual.interface("192.0.2.9", {}, "192.0.2.11") == ""


def test_what_some_balancer_has_is_held():
    rows = [{"addresses": ["192.0.2.7", "fd00::7"]}, {"addresses": ["192.0.2.8"]}]
    assert virtual.unheld(rows, [{"addresses": ["FD00::7"]}, {}, {"addresses": ["192.0.2.8"]}]) == ["192.0.2.7"]
