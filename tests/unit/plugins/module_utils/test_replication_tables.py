# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables are compared by numbers, and their differences told in words."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import ConnectionOptions
from ansible_collections.pentad.webstack.plugins.module_utils.replication import tables, verifier
from ansible_collections.pentad.webstack.plugins.module_utils.replication.context import policy_from
from ansible_collections.pentad.webstack.plugins.module_utils.replication.verifier import Verifier
from scripted_mysql import Pair

LOCAL = ConnectionOptions(user="root", unix_socket=Pair.REPLICA)
PRIMARY = ConnectionOptions(user="verify", host="db1")
WAIT = {"mysql97": "SELECT WAIT_FOR_EXECUTED_GTID_SET(", "mariadb118": "SELECT MASTER_GTID_WAIT("}


@pytest.fixture(params=["mysql97", "mariadb118"])
def pair(request, network, clock) -> Pair:
    """A recorded pair whose replica has reached its primary, and whose tables have two columns."""
    found = Pair(request.param, network, clock)
    found.wait = WAIT[request.param]
    found.replica.on(found.wait, [{"reached": 0}])
    for server in (found.replica, found.primary):
        server.on("@@GLOBAL.gtid_executed AS p", lambda *_: [{"p": found.primary.rows["executed"]}])
        server.on("@@GLOBAL.gtid_current_pos AS p", lambda *_: [{"p": found.primary.rows["position"]}])
        server.on("SELECT INDEX_NAME AS name", [])
        server.on("SELECT CONSTRAINT_NAME AS name", [])
    column = {"name": "v", "COLUMN_TYPE": "varchar(40)", "IS_NULLABLE": "YES", "COLUMN_DEFAULT": None}
    found.primary.on("SELECT COLUMN_NAME AS name", [column])
    found.replica.on("SELECT COLUMN_NAME AS name", [{**column, "COLUMN_TYPE": "varchar(50)", "IS_NULLABLE": "NO"}])
    return found


def look(**policy):
    with Verifier(LOCAL, policy_from({"role": "replica", **policy}), PRIMARY) as verifier:
        return verifier.report()


def judged(report):
    return next(check for check in report["checks"] if check["id"] == "table_definitions")


def test_equal_tables_are_read_once(pair):
    assert judged(look())["status"] == "pass"
    assert len([told for told in pair.primary.told if "information_schema.REFERENTIAL" in told]) == 1


def test_a_difference_is_named(pair):
    pair.replica.rows["tables"][1]["columns"] = "1"
    found = judged(look())
    assert found["status"] == "fail"
    expected = "columns: column v is varchar(50) NOT NULL at 1 here, varchar(40) NULL at 1 on the primary"
    assert found["observed"] == {"app.t": expected}


def test_a_difference_that_is_gone_once_the_replica_has_arrived_is_none(pair):
    right = pair.replica.rows["tables"][1]["columns"]
    pair.replica.rows["tables"][1]["columns"] = "1"

    def arrive(*_told):
        pair.replica.rows["tables"][1]["columns"] = right
        return [{"reached": 0}]

    pair.replica.on(pair.wait, arrive)
    assert judged(look())["status"] == "pass"


def test_a_replica_that_does_not_arrive_is_not_judged(pair):
    pair.replica.rows["tables"][1]["columns"] = "1"
    pair.replica.on(pair.wait, [{"reached": -1 if pair.mariadb else 1}])
    report = look()
    assert (judged(report)["status"], report["verdict"]) == ("unknown", "ok")


def test_a_table_that_changes_meanwhile_is_read_again(pair):
    here, there = pair.replica.rows["tables"][1], pair.primary.rows["tables"][1]
    here["columns"] = "1"
    steps = iter(["2", "3"])

    def change(*_told):
        there["columns"] = here["columns"] = next(steps, "3")
        return [{"reached": 0}]

    pair.replica.on(pair.wait, change)
    assert judged(look())["status"] == "pass"
    assert len([told for told in pair.replica.told if told.startswith(pair.wait)]) > 1


def test_a_table_that_is_changed_to_and_fro_is_no_difference(pair):
    """Each time the replica is read between two changes that the primary shows nothing of."""
    here, right = pair.replica.rows["tables"][1], pair.replica.rows["tables"][1]["columns"]
    here["columns"] = "1"
    steps = iter(["1", right])

    def change(*_told):
        here["columns"] = next(steps, "1")
        return [{"reached": 0}]

    pair.replica.on(pair.wait, change)
    assert judged(look())["status"] == "pass"


@pytest.mark.parametrize("policy", [{"inspect_tables": False}, {"checks": {"table_definitions": "skip"}}])
def test_tables_of_the_primary_may_be_left_out(pair, policy):
    report = look(**policy)
    assert not [check for check in report["checks"] if check["id"] == "table_definitions"]
    assert not [told for told in pair.primary.told if "information_schema.COLUMNS" in told]


def test_of_many_differences_some_are_read_again(pair, monkeypatch):
    monkeypatch.setattr(verifier, "_MOST_TABLES", 2)
    first = pair.primary.rows["tables"][0]
    pair.primary.rows["tables"] += [{**first, "table": f"x{number}"} for number in range(5)]
    found = judged(look())
    assert len(found["observed"]) == 5
    assert found["message"].startswith("5 table(s) are not defined as on the primary: app.x0: it is missing here; ")


@pytest.mark.parametrize(
    ("grants", "tables_seen", "objects_seen"),
    [
        (["GRANT ALL PRIVILEGES ON *.* TO x"], True, True),
        (["GRANT SELECT, TRIGGER, EVENT, PROCESS ON *.* TO x"], True, True),
        (["GRANT PROCESS ON *.* TO x", "GRANT REFERENCES ON *.* TO x"], True, False),
        (["GRANT SELECT ON `app`.* TO x"], False, False),
        (["GRANT SELECT, TRIGGER, EVENT ON *.* TO x", "REVOKE SELECT ON `a`.* FROM x"], False, False),
        ([], False, False),
    ],
)
def test_what_privileges_show(grants, tables_seen, objects_seen):
    privileges = tables.privileges_everywhere(grants)
    assert (tables.sees_all_tables(privileges), tables.sees_all_objects(privileges)) == (tables_seen, objects_seen)


def test_only_some_of_many_differences_are_told():
    here = {f"column {letter}": "int at 1" for letter in "abcde"}
    there = {f"column {letter}": "int at 2" for letter in "abcde"}
    assert tables.named_differences(here, there).endswith(
        "column c is int at 1 here, int at 2 on the primary and 2 more"
    )
    assert tables.named_differences(here, {}).startswith("column a (int at 1) is not on the primary; ")
    assert tables.named_differences(here, here) == ""
