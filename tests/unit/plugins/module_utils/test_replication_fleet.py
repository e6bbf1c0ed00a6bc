from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.context import DEFAULT_POLICY
from ansible_collections.pentad.webstack.plugins.module_utils.replication.fleet import check_set, topology
from ansible_collections.pentad.webstack.plugins.module_utils.replication.model import build


def uuid(number):
    return f"{number:08d}-71ca-11e1-9e33-c80aa9429562"


def mysql(number, source=None, writable=False, host="10.0.0.{}", by_uuid=True):
    rows = []
    if source:
        rows = [{
            "Source_Host": host.format(source), "Source_Port": 3306, "Source_UUID": uuid(source) if by_uuid else "",
            "Replica_IO_Running": "Yes", "Replica_SQL_Running": "Yes", "Channel_Name": "",
        }]  # fmt: skip
    state = "OFF" if writable else "ON"
    return build({
        "version": "9.7.4", "replica_status": rows,
        "variables": {"server_id": number, "server_uuid": uuid(number), "read_only": state, "super_read_only": state},
    })  # fmt: skip


def mariadb(number, source=None, writable=False):
    rows = []
    if source:
        rows = [{
            "Master_Host": f"10.0.0.{source}", "Master_Port": 3306, "Master_Server_Id": source, "Connection_name": "",
        }]  # fmt: skip
    return build({
        "version": "11.8.6-MariaDB", "replica_status": rows,
        "variables": {"server_id": number, "read_only": "OFF" if writable else "ON"},
    })  # fmt: skip


def look(servers, unreachable=None, expected=None, **checks):
    addresses = {f"db{n}": f"10.0.0.{n}:3306" for n in range(1, 9)}
    tree = topology(servers, addresses, unreachable or {})
    policy = {**DEFAULT_POLICY, "checks": checks}
    found = check_set(servers, tree, unreachable or {}, policy, expected)
    return tree, {c["id"]: c["status"] for c in found if c["status"] != "pass"}


@pytest.mark.parametrize("make", [mysql, mariadb])
def test_chain(make):
    tree, troubles = look({"db1": make(1, writable=True), "db2": make(2, 1), "db3": make(3, 2)})
    assert tree == {
        "primary": "db1", "writable": ["db1"], "replicas": {"db1": ["db2"], "db2": ["db3"]},
        "follows": {"db2": ["db1"], "db3": ["db2"]}, "group": [], "unreachable": [],
    }  # fmt: skip
    assert troubles == {}


def test_source_by_address_before_the_first_connection():
    tree, _troubles = look({"db1": mysql(1, writable=True), "db2": mysql(2, 1, by_uuid=False)})
    assert tree["follows"] == {"db2": ["db1"]}
    tree, _troubles = look({"db1": mysql(1, writable=True), "db2": mysql(2, 1, by_uuid=False, host="db{}")})
    assert tree["follows"] == {"db2": ["db1"]}


def test_a_server_that_need_not_be_reached_is_left_out():
    servers = {"db1": mysql(1, writable=True)}
    assert look(servers, unreachable={"db2": "it is off"})[1]["connect"] == "fail"
    assert look(servers, unreachable={"db2": "it is off"}, connect="skip")[1] == {"single_writer": "warn"}


@pytest.mark.parametrize("make", [mysql, mariadb])
def test_two_writers(make):
    tree, troubles = look({"db1": make(1, writable=True), "db2": make(2, 1, writable=True)})
    assert tree["writable"] == ["db1", "db2"]
    assert tree["primary"] == "db1", "the root is still told"
    assert troubles == {"single_writer": "fail"}


def test_no_writer():
    tree, troubles = look({"db1": mysql(1), "db2": mysql(2, 1)})
    assert (tree["primary"], troubles) == ("db1", {"single_writer": "fail"})


def test_a_writable_replica_is_not_the_primary():
    tree, troubles = look({"db1": mysql(1), "db2": mysql(2, 1, writable=True)})
    assert tree["primary"] == "db1"
    assert troubles == {}, "one writer; that it is the wrong one is said by its own read_only and role checks"


def test_stranger_and_loner():
    tree, troubles = look({"db1": mysql(1, writable=True), "db2": mysql(2, 7), "db3": mysql(3)})
    assert tree["follows"] == {"db2": ["10.0.0.7:3306"]}
    assert troubles == {"source_in_set": "fail"}


def test_circle():
    _tree, troubles = look({"db1": mysql(1, writable=True), "db2": mysql(2, 3), "db3": mysql(3, 2)})
    assert troubles == {"source_in_set": "fail"}


def test_unreachable_server_may_be_a_second_writer():
    tree, troubles = look({"db1": mysql(1, writable=True), "db2": mysql(2, 1)}, {"db3": "it is off"})
    assert tree["unreachable"] == ["db3"]
    assert troubles == {"connect": "fail", "single_writer": "warn"}


def test_expected_primary():
    servers = {"db1": mysql(1, writable=True), "db2": mysql(2, 1)}
    assert look(servers, expected="db1")[1] == {}
    assert look(servers, expected="db2")[1] == {"expected_primary": "fail"}


def test_same_ids():
    servers = {"db1": mysql(1, writable=True), "db2": mysql(2, 1)}
    servers["db2"].variables["server_uuid"] = uuid(1)
    assert look(servers)[1]["server_id_unique"] == "fail"


def test_rules_can_be_skipped():
    servers = {"db1": mysql(1), "db2": mysql(2, 1)}
    assert look(servers, single_writer="skip")[1] == {}
    assert look(servers, single_writer="warning")[1] == {"single_writer": "warn"}


def test_group():
    def member(number, role, writable):
        server = mysql(number, writable=writable)
        server.snapshot["group_members"] = [
            {"MEMBER_ID": uuid(number), "MEMBER_STATE": "ONLINE", "MEMBER_ROLE": role, "MEMBER_HOST": "x"}
        ]
        return server

    servers = {
        "db1": member(1, "SECONDARY", False),
        "db2": member(2, "PRIMARY", True),
        "db3": member(3, "SECONDARY", True),
    }
    tree, troubles = look(servers)
    assert (tree["primary"], tree["writable"]) == ("db2", ["db2"]), "the group refuses the writes of a thawed member"
    assert tree["group"] == ["db1", "db2", "db3"]
    assert troubles == {}
