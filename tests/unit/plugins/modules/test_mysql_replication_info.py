# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database server tells of itself, from rows that real servers answered."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_info
from ansible_collections.pentad.webstack.plugins.plugin_utils.primary import choose, member
from scripted_mysql import DENIED, Recorded, recorded

SOCKETS = {"primary": "/db1.sock", "replica": "/db2.sock"}


@pytest.fixture(params=["mysql97", "mariadb118", "mariadb1011"])
def pair(request, network, clock):
    """A real primary and its replica."""
    rows = recorded(request.param)
    servers = {name: network.add(SOCKETS[name], Recorded(rows[name], clock)) for name in SOCKETS}
    for server in servers.values():
        names = ("app", "information_schema", "mysql", "performance_schema", "sys", "#mysql50#lost+found")
        server.on("FROM information_schema.schemata", [{"name": name} for name in names])
    return servers


def ask(run_module, name, **more):
    return run_module(mysql_replication_info, login_unix_socket=SOCKETS[name], config_file="", **more)


def test_a_pair_tells_who_is_the_primary_of_whom(pair, run_module):
    said = {name: ask(run_module, name) for name in SOCKETS}
    assert (said["primary"]["role"]["observed"], said["primary"]["role"]["writable"]) == ("standalone", True)
    assert (said["replica"]["role"]["observed"], said["replica"]["role"]["writable"]) == ("replica", False)
    channel = said["replica"]["channels"][0]
    assert channel["source"]["id"] == said["primary"]["history"]["identity"]
    assert channel["receiver"] == {"state": "on", "errno": 0, "error": ""}
    assert {each["changed"] for each in said.values()} == {False}
    assert {str(each["schemas"]) for each in said.values()} == {"['app']"}
    members = [member("db2", said["replica"]), member("db1", said["primary"])]
    assert choose(members, ["db2"]).primary == "db1"


def test_little_is_asked(pair, run_module):
    ask(run_module, "primary")
    assert len(pair["primary"].told) <= 8


def test_a_member_of_a_group_that_looks_writable_is_not(network, clock, run_module):
    rows = recorded("mysql97")["primary"]
    own = {"MEMBER_ID": rows["variables"]["server_uuid"], "MEMBER_STATE": "ONLINE", "MEMBER_ROLE": "SECONDARY"}
    rows["group_members"] = [own]
    network.add(SOCKETS["primary"], Recorded(rows, clock)).on("FROM information_schema.schemata", [])
    role = ask(run_module, "primary")["role"]
    assert (role["observed"], role["writable"]) == ("group_secondary", False)


def test_the_marker_is_told(pair, run_module, tmp_path):
    marker = tmp_path / "webstack-primary"
    assert ask(run_module, "primary", primary_marker=str(marker))["primary_marker"] is False
    marker.touch()
    assert ask(run_module, "primary", primary_marker=str(marker))["primary_marker"] is True
    assert ask(run_module, "primary")["primary_marker"] is False


def test_a_server_that_may_not_be_asked_names_the_grant(pair, run_module):
    pair["replica"].on("SHOW REPLICA STATUS", DENIED)
    pair["replica"].on("SHOW ALL REPLICAS STATUS", DENIED)
    answer = ask(run_module, "replica")
    assert answer["failed"]
    assert "GRANT" in answer["msg"]


def test_a_server_that_does_not_answer_is_an_error(network, run_module):
    answer = ask(run_module, "primary")
    assert answer["failed"]
    assert "cannot be reached" in answer["msg"]
