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
    assert len(pair["primary"].told) <= 9


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


def test_whom_it_was_handing_over_to_is_told(pair, run_module, tmp_path):
    marker = tmp_path / "webstack-handover"
    assert ask(run_module, "primary", handover_marker=str(marker))["handed_over_to"] == ""
    marker.write_text("db2\n")
    assert ask(run_module, "primary", handover_marker=str(marker))["handed_over_to"] == "db2"
    assert ask(run_module, "primary")["handed_over_to"] == ""


@pytest.mark.parametrize("stopped", ["REPLICA_SIDE_DISABLED", "SLAVESIDE_DISABLED"])
def test_events_are_those_that_run_and_those_that_wait(pair, run_module, stopped):
    rows = [("shop", "a", "ENABLED"), ("shop", "b", stopped), ("shop", "c", "DISABLED")]
    pair["replica"].on("information_schema.EVENTS", [dict(zip(("s", "n", "status"), row, strict=True)) for row in rows])
    found = ask(run_module, "replica")["events"]
    assert found == {"enabled": [{"schema": "shop", "name": "a"}], "waiting": [{"schema": "shop", "name": "b"}]}


@pytest.mark.parametrize("name", SOCKETS)
def test_how_many_replicas_acknowledge_a_commit_is_told(network, clock, run_module, name):
    for engine, enabled, count in (("mysql97", "source_enabled", 2), ("mariadb118", "master_enabled", 1)):
        rows = recorded(engine)[name]
        server = network.add(SOCKETS[name], Recorded(rows, clock))
        server.on("FROM information_schema.schemata", [])
        server.on("SHOW GLOBAL STATUS WHERE Variable_name = ", [{"Value": "3"}])
        counted = {"rpl_semi_sync_source_wait_for_replica_count": "2"} if count == 2 else {}
        rows["variables"].update({f"rpl_semi_sync_{enabled}": "OFF", **counted})
        assert ask(run_module, name)["acknowledging"] == {"wanted": 0, "connected": 0}
        rows["variables"][f"rpl_semi_sync_{enabled}"] = "ON"
        assert ask(run_module, name)["acknowledging"] == {"wanted": count, "connected": 3}


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
