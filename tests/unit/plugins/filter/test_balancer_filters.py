# SPDX-License-Identifier: GPL-3.0-or-later
"""What keepalived of each balancer has of the rows of virtual addresses."""

from __future__ import annotations

from ansible_collections.pentad.webstack.plugins.filter.balancers import virtual_instances, virtual_rows

ADDRESSES = {"lb1": "192.0.2.11", "lb2": "192.0.2.12"}
FACTS = {
    "eth0": {"device": "eth0", "ipv4": {"address": "192.0.2.11", "prefix": "24"}},
    "wan": {"device": "wan", "ipv6": [{"address": "fd00::1", "prefix": "64"}]},
}


def test_addresses_of_the_other_protocol_move_along_on_their_own_interface():
    rows = virtual_rows([{"addresses": ["fd00::10", "192.0.2.10"]}], ["lb1", "lb2"])
    [instance] = virtual_instances(rows, "lb1", ADDRESSES, FACTS)
    assert instance["addresses"] == [
        {"address": "fd00::10", "length": 128, "interface": "wan", "announced": False},
        {"address": "192.0.2.10", "length": 32, "interface": "eth0", "announced": True},
    ]
    assert (instance["interface"], instance["peers"], instance["priority"]) == ("eth0", ["192.0.2.12"], 250)


def test_a_named_interface_gets_the_addresses_alone():
    rows = virtual_rows([{"addresses": ["192.0.2.10"], "interface": "wan"}], ["lb1", "lb2"])
    [instance] = virtual_instances(rows, "lb2", ADDRESSES, FACTS)
    assert instance["addresses"][0]["interface"] == "wan"
    assert (instance["interface"], instance["peers"], instance["priority"]) == ("eth0", ["192.0.2.11"], 200)


def test_a_node_that_is_no_balancer_has_nothing():
    assert virtual_instances(virtual_rows([{"addresses": ["192.0.2.10"]}], ["lb1", "lb2"]), "web1", {
        **ADDRESSES, "web1": "192.0.2.21"}, FACTS) == []  # fmt: skip
