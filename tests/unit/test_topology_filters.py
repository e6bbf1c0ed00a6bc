# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and identifiers from the inventory, and who is the primary by what the servers say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pentad.webstack.plugins.filter.topology import (
    FilterModule,
    background_units,
    below,
    endpoints,
    exec_line,
    host_addresses,
    host_port,
    live_primary,
    server_id,
    server_settings,
)
from hypothesis import given
from hypothesis import strategies as st

ADDRESSES = {"db1": "192.0.2.31", "db2": "192.0.2.32", "db3": "192.0.2.33"}
GROUPS = {"mysql": ["db1", "db2", "db3"], "mysql_primary": ["db1"], "mysql_replica": ["db2", "db3"]}

WRITABLE: dict[str, Any] = {"role": {"observed": "primary", "read_only": False}, "channels": []}
FENCED: dict[str, Any] = {"role": {"observed": "standalone", "read_only": True}, "channels": []}
SILENT: dict[str, Any] = {}


def follows(address: str, read_only: bool = True) -> dict[str, Any]:
    """What a replica says."""
    return {"role": {"observed": "replica", "read_only": read_only}, "channels": [{"source": {"host": address}}]}


def hosts(**said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The variables of the database hosts."""
    return {
        host: {"webstack_address": ADDRESSES[host], "webstack_replication": said.get(host, SILENT)}
        for host in ADDRESSES
    }


@pytest.mark.parametrize(
    ("said", "primary"),
    [
        pytest.param(dict.fromkeys(ADDRESSES, FENCED), "db1", id="a fresh set is as the inventory says"),
        pytest.param({}, "db1", id="nobody answers"),
        pytest.param(
            {"db1": WRITABLE, "db2": follows("192.0.2.31"), "db3": follows("192.0.2.31")}, "db1", id="as deployed"
        ),
        pytest.param(
            {"db1": follows("192.0.2.32"), "db2": WRITABLE, "db3": follows("192.0.2.32")},
            "db2",
            id="after a switchover",
        ),
        pytest.param(
            {"db2": WRITABLE, "db3": follows("192.0.2.32")}, "db2", id="after a failover, the old one is down"
        ),
        pytest.param(
            {"db1": FENCED, "db2": WRITABLE, "db3": follows("192.0.2.32")}, "db2", id="the old one came back, fenced"
        ),
        pytest.param(
            {"db1": FENCED, "db2": follows("192.0.2.31"), "db3": follows("192.0.2.31")}, "db1", id="restarted, fenced"
        ),
        pytest.param({"db2": follows("192.0.2.31"), "db3": follows("192.0.2.31")}, "db1", id="the primary is down"),
        pytest.param(
            {"db1": follows("192.0.2.32"), "db3": follows("192.0.2.32")},
            "db2",
            id="the primary is down and is not the one of the inventory",
        ),
        pytest.param({"db2": WRITABLE, "db3": FENCED}, "db2", id="the only one that takes writes"),
        pytest.param({"db1": WRITABLE, "db2": FENCED, "db3": FENCED}, "db1", id="replicas not seeded yet"),
        pytest.param(
            {"db1": follows("192.0.2.32"), "db2": follows("192.0.2.33"), "db3": WRITABLE}, "db3", id="a chain"
        ),
        pytest.param(
            {"db1": WRITABLE, "db2": follows("192.0.2.31", read_only=False), "db3": FENCED},
            "db1",
            id="a replica that takes writes is still a replica",
        ),
    ],
)
def test_the_servers_say_who_is_the_primary(said, primary):
    assert live_primary(hosts(**said), GROUPS) == primary


def test_two_writers_are_refused_by_name():
    with pytest.raises(AnsibleFilterError, match=r"db1 and db3 both take writes: decide .*read_only.* on the other"):
        live_primary(hosts(db1=WRITABLE, db2=follows("192.0.2.31"), db3=WRITABLE), GROUPS)


def test_a_replica_of_an_unknown_server_is_never_taken_for_the_primary():
    said = {host: follows("192.0.2.99") for host in ADDRESSES}
    with pytest.raises(AnsibleFilterError, match=r"no database host is the primary \(db1 follows 192\.0\.2\.99; db2 "):
        live_primary(hosts(**said), GROUPS)


def test_two_that_follow_each_other_have_no_primary():
    said = {"db1": follows("192.0.2.32"), "db2": follows("192.0.2.31")}
    with pytest.raises(AnsibleFilterError, match="no database host is the primary"):
        live_primary(hosts(**said), {"mysql": ["db1", "db2"], "mysql_primary": ["db1"]})


def test_a_stack_without_a_database_has_no_primary():
    assert live_primary({}, {}) == ""


def test_addresses_come_from_the_inventory_then_from_the_facts_and_are_left_out_where_unknown():
    facts = {"default_ipv4": {"address": "192.0.2.2"}}
    variables = {
        "given": {"webstack_address": "192.0.2.1", "ansible_facts": facts},
        "found": {"ansible_facts": facts},
        "silent": {},
        "unrouted": {"ansible_facts": {"default_ipv4": {}}, "webstack_address": ""},
    }
    assert host_addresses(variables, list(variables)) == {"given": "192.0.2.1", "found": "192.0.2.2"}


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


def test_an_address_of_ipv6_is_told_from_its_port_by_brackets():
    assert (host_port("192.0.2.1", 80), host_port("2001:db8::1", "80"), host_port("*", 80)) == (
        "192.0.2.1:80",
        "[2001:db8::1]:80",
        "*:80",
    )


def test_server_id_of_ipv4_is_the_address():
    assert server_id("192.0.2.31") == 0xC000021F


@given(st.lists(st.ip_addresses(v=4), unique=True, min_size=2, max_size=20))
def test_server_ids_of_ipv4_addresses_differ(addresses):
    assert len({server_id(str(address)) for address in addresses}) == len(addresses)


@given(st.ip_addresses())
def test_server_ids_fit_into_32_bits(address):
    assert 0 <= server_id(str(address)) < 2**32


def test_server_id_refuses_a_name():
    with pytest.raises(AnsibleFilterError, match="webstack_address 'db1' is not an IP address"):
        server_id("db1")


def test_every_filter_is_offered():
    assert FilterModule().filters().keys() >= {"host_addresses", "host_port", "endpoints", "live_primary", "server_id"}


def test_a_command_reaches_its_program_word_by_word_past_systemd():
    words = ["node", "a b", "100%", "$HOME", 'say "x"', "back\\slash", "{port}", 7]
    assert exec_line(words, {"port": 8000}) == (
        '/usr/bin/env "node" "a b" "100%%" "$$HOME" "say \\"x\\"" "back\\\\slash" "8000" "7"'
    )


def test_what_runs_in_the_background_is_a_unit_for_each_instance():
    assert [unit["unit"] for unit in background_units({"name": "mail", "command": ["a"]}, "shop")] == [
        "shop-mail.service"
    ]
    two = background_units({"name": "mail", "command": ["a"], "instances": 2}, "shop")
    assert [unit["unit"] for unit in two] == ["shop-mail-1.service", "shop-mail-2.service"]


@pytest.mark.parametrize(
    ("directory", "docroot", "path"),
    [("public/up", "public", "/up/"), ("up", "public", ""), ("publicity", "public", ""), ("up", "", "/up/"),
     ("public", "public", "/")],
)  # fmt: skip
def test_a_directory_is_served_where_the_document_root_has_it(directory, docroot, path):
    assert below(directory, docroot) == path


def test_a_setting_of_the_database_has_one_spelling():
    given = {"Max-Connections": 300, "slow_query_log": True, "skip-name-resolve": None, "sql_mode": ""}
    assert server_settings(given, "mysql") == {
        "max_connections": "300",
        "slow_query_log": "ON",
        "skip_name_resolve": None,
        "sql_mode": "",
    }
