# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and identifiers from the inventory, and who is the primary by what the servers say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pentad.webstack.plugins.filter.topology import (
    FilterModule,
    certificate_name,
    default_address,
    endpoints,
    find_primary,
    host_addresses,
    host_port,
    host_values,
    keys_holding,
    server_id,
    server_settings,
    unreachable_hosts,
)
from ansible_collections.pentad.webstack.plugins.module_utils.addresses import bracketed
from hypothesis import given
from hypothesis import strategies as st

ADDRESSES = {"db1": "192.0.2.31", "db2": "192.0.2.32", "db3": "192.0.2.33"}
GROUPS = {"mysql": ["db1", "db2", "db3"], "mysql_primary": ["db1"], "mysql_replica": ["db2", "db3"]}


def said(writable: bool = False, follows: str = "", **more: Any) -> dict[str, Any]:
    """What the module mysql_replication_info returns."""
    source = {"host": follows, "port": 3306, "user": "replication", "id": ""}
    return {
        "role": {"observed": "replica" if follows else "standalone", "writable": writable},
        "channels": [{"name": "", "source": source, "receiver": {"state": "on"}}] if follows else [],
        "history": {"mariadb": False, "identity": "", "executed": "", "applied": "", "position": ""},
        "schemas": ["shop"],
        "primary_marker": False,
        **more,
    }


def found(**servers: dict[str, Any]) -> dict[str, Any]:
    """What is found of these servers."""
    variables = {
        host: {"webstack_address": ADDRESSES[host], "__webstack_missing_packages": [], **servers.get(host, {})}
        for host in ADDRESSES
    }
    return find_primary(variables, GROUPS)


def test_what_the_servers_said_is_found_in_the_variables_of_the_hosts():
    told = found(
        db1={"__webstack_replication": said(follows="192.0.2.32")},
        db2={"__webstack_replication": said(writable=True)},
        db3={"__webstack_replication": {"msg": "the server cannot be reached", "failed": True}},
    )
    assert told == {"primary": "db2", "refusal": "", "silent": ["db3"], "objections": {}, "events": []}


def test_events_that_the_new_primary_has_to_run_are_found():
    event = {"schema": "shop", "name": "tidy"}
    told = found(
        db1={"__webstack_replication": said(follows="192.0.2.32", events={"enabled": [event], "waiting": []})},
        db2={"__webstack_replication": said(writable=True, events={"enabled": [], "waiting": [event]})},
    )
    assert told["events"] == [event]


def test_what_is_not_installed_is_not_silent():
    assert found(**{host: {"__webstack_missing_packages": ["mysql-server"]} for host in ADDRESSES})["silent"] == []


def test_a_primary_that_cannot_be_told_is_a_refusal_in_words():
    told = found(**{host: {"__webstack_replication": said(writable=True)} for host in ("db1", "db3")})
    assert (told["primary"], told["refusal"][:32]) == ("", "db1 and db3 both take writes: de")


@pytest.mark.parametrize(("value", "refused"), [(["db2"], False), ("db2", False), ("db22", True), ([], True)])
def test_data_are_given_up_by_the_exact_name_of_the_host(value, refused):
    told = found(
        db1={"__webstack_replication": said(schemas=[])},
        db2={"__webstack_replication": said(), "mysql_replica_rebuild": value},
        db3={"__webstack_replication": said(schemas=[])},
    )
    assert bool(told["refusal"]) is refused


def test_a_history_that_cannot_be_read_is_a_refusal():
    broken = {"mariadb": False, "identity": "a", "executed": "nonsense", "applied": "", "position": ""}
    told = found(
        db1={"__webstack_replication": said(primary_marker=True)}, db2={"__webstack_replication": said(history=broken)}
    )
    assert "'nonsense' is not a server UUID" in told["refusal"]


def test_a_stack_without_a_database_has_no_primary():
    assert find_primary({}, {})["primary"] == ""


def test_addresses_come_from_the_inventory_and_then_from_the_facts():
    facts = {"default_ipv4": {"address": "192.0.2.2"}}
    variables = {
        "given": {"webstack_address": "192.0.2.1", "ansible_facts": facts},
        "found": {"ansible_facts": facts},
        "silent": {},
        "unrouted": {"ansible_facts": {"default_ipv4": {}}, "webstack_address": ""},
    }
    assert host_addresses(variables, list(variables)) == {"given": "192.0.2.1", "found": "192.0.2.2"}


def test_a_database_server_without_facts_is_known_by_the_endpoints():
    known = {"mysql_primary/db1": "192.0.2.31", "site/db2": "192.0.2.32"}
    web = {"__webstack_survey": {"haproxy": {"addresses": known}}}
    silent = {"groups": {"web": ["web1", "web2"]}}
    variables = {"db1": silent, "db2": silent, "web1": {"__webstack_survey": {"unreachable": True}}, "web2": web}
    assert host_addresses(variables, ["db1", "db2"]) == {"db1": "192.0.2.31"}


def test_addresses_of_hosts_that_are_not_asked_for_are_left_alone():
    ours, theirs = {"webstack_address": "192.0.2.1"}, {"webstack_address": "192.0.2.9"}
    assert host_addresses({"web1": ours, "mail1": theirs}, ["web1"]) == {"web1": "192.0.2.1"}


def test_endpoints_keep_the_order_and_make_the_port_a_number():
    assert endpoints(["db2", "db1"], ADDRESSES, "3306") == [
        {"name": "db2", "address": "192.0.2.32", "port": 3306},
        {"name": "db1", "address": "192.0.2.31", "port": 3306},
    ]


def test_endpoints_name_every_host_without_an_address():
    with pytest.raises(AnsibleFilterError, match=r"known for web1, web2: .*webstack_address"):
        endpoints(["db1", "web1", "web2"], ADDRESSES, 3306)


def test_what_hosts_hold_is_found_by_a_path_in_their_order():
    variables = {
        "lb1": {"survey": {"servers": ["web1"]}},
        "lb2": {},
        "lb3": {"survey": ""},
        "lb4": {"survey": {"servers": []}},
    }
    assert host_values(["lb4", "lb1"], variables, "survey.servers") == [[], ["web1"]]
    assert host_values(variables, variables, "survey.servers") == [["web1"], []]
    assert host_values(variables, variables, "survey.servers", "web9") == [["web1"], "web9", "web9", []]
    assert host_values(variables, variables, "survey") == [{"servers": ["web1"]}, "", {"servers": []}]


def test_keys_are_those_whose_lists_hold_an_item():
    table = {"web": ["a", "b"], "replica": [], "mysql": ["b", "ab"]}
    assert [keys_holding(table, item) for item in ("a", "b", "c")] == [["web"], ["web", "mysql"], []]


def test_an_address_of_ipv6_is_told_from_its_port_by_brackets():
    assert (host_port("192.0.2.1", 80), host_port("2001:db8::1", "80"), host_port("*", 80)) == (
        "192.0.2.1:80",
        "[2001:db8::1]:80",
        "*:80",
    )


def test_brackets_that_are_there_are_left_as_they_are():
    assert [bracketed(host) for host in ("2001:db8::1", "[2001:db8::1]", "www.example.com", "")] == [
        "[2001:db8::1]", "[2001:db8::1]", "www.example.com", "",
    ]  # fmt: skip


def test_server_id_of_ipv4_is_the_address():
    assert server_id("192.0.2.31") == 0xC000021F


@given(st.lists(st.ip_addresses(v=4), unique=True, min_size=2, max_size=20))
def test_server_ids_of_ipv4_addresses_differ(addresses):
    assert len({server_id(str(address)) for address in addresses}) == len(addresses)


@given(st.ip_addresses(v=6))
def test_a_server_id_of_ipv6_is_one(address):
    assert 1 <= server_id(str(address)) < 2**32


def test_server_ids_of_ipv6_stay_and_differ_where_only_the_network_does():
    assert server_id("fd00:1::1") == 3036760563
    assert server_id("fd00:1::1") == server_id("FD00:1:0::1")
    networks = [f"fd00:{network}::{node}" for network in range(200) for node in (0, 1, 2)]
    assert len({server_id(address) for address in networks}) == len(networks)


@pytest.mark.parametrize(
    ("facts", "address"),
    [
        ({"default_ipv4": {"address": "192.0.2.21"}, "default_ipv6": {"address": "fd00::21"}}, "192.0.2.21"),
        ({"default_ipv4": {}, "default_ipv6": {"address": "fd00::21"}}, "fd00::21"),
        ({"default_ipv6": {"address": "fd00::21"}}, "fd00::21"),
        ({"default_ipv4": {}, "default_ipv6": {}}, ""),
        ({}, ""),
    ],
)
def test_a_node_without_ipv4_is_known_by_ipv6(facts, address):
    assert default_address(facts) == address
    assert host_addresses({"web1": {"ansible_facts": facts}}, ["web1"]) == ({"web1": address} if address else {})


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("IP:FD00:0:0:0:0:0:0:21", "IP:fd00::21"),
        ("IP:192.0.2.21", "IP:192.0.2.21"),
        ("DNS:Shop.Example.COM", "DNS:shop.example.com"),
        ("email:Root@example.com", "email:Root@example.com"),
        ("IP:nonsense", "IP:nonsense"),
    ],
)
def test_names_of_certificates_are_compared_in_one_form(name, written):
    assert certificate_name(name) == written


def test_server_id_refuses_a_name():
    with pytest.raises(AnsibleFilterError, match="webstack_address 'db1' is not an IP address"):
        server_id("db1")


def test_every_filter_is_offered():
    assert FilterModule().filters().keys() >= {"host_addresses", "host_port", "endpoints", "find_primary", "server_id"}


def test_a_setting_of_the_database_has_one_spelling():
    given = {"Max-Connections": 300, "slow_query_log": True, "skip-name-resolve": None, "sql_mode": ""}
    assert server_settings(given, "mysql") == {
        "max_connections": "300",
        "slow_query_log": "ON",
        "skip_name_resolve": None,
        "sql_mode": "",
    }


def test_hosts_that_did_not_answer_the_survey_are_known():
    variables = {"db1": {"__webstack_survey": {"listeners": []}}, "db2": {"__webstack_survey": {"unreachable": True}}}
    assert unreachable_hosts(["db1", "db2", "db3"], {**variables, "db3": {}}) == ["db2"]
