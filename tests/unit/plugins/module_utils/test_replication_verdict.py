# SPDX-License-Identifier: GPL-3.0-or-later
"""A verdict can be had without the module, by the programs on the nodes."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import ConnectionOptions, DatabaseError
from ansible_collections.pentad.webstack.plugins.module_utils.replication.context import policy_from
from ansible_collections.pentad.webstack.plugins.module_utils.replication.fleet import Fleet
from ansible_collections.pentad.webstack.plugins.module_utils.replication.verifier import Verifier
from scripted_mysql import LOST, Pair

LOCAL = ConnectionOptions(user="root", unix_socket=Pair.REPLICA)
PRIMARY = ConnectionOptions(user="verify", host="db1")


@pytest.fixture(params=["mysql97", "mariadb118"])
def pair(request, network, clock) -> Pair:
    """A recorded replica and its primary."""
    return Pair(request.param, network, clock)


def test_only_options_that_are_known_and_given_change_the_policy():
    policy = policy_from({"max_lag": 7, "warn_lag": None, "login_user": "x"})
    assert (policy["max_lag"], policy["warn_lag"], "login_user" in policy) == (7, 10.0, False)
    assert policy_from({})["max_lag"] == 30


def test_what_the_primary_had_is_told_as_it_was_read(pair):
    with Verifier(LOCAL, policy_from({"role": "replica"}), PRIMARY) as verifier:
        assert verifier.primary_history is None
        verifier.report()
        assert verifier.primary_history is not None
        assert verifier.primary_history.executed == pair.primary.rows["executed"]


def test_a_report_is_the_whole_verdict(pair):
    with Verifier(LOCAL, policy_from({"role": "replica"}), PRIMARY) as verifier:
        report = verifier.report()
    assert (report["verdict"], report["coverage"]) == ("ok", "full")


def test_a_server_that_does_not_answer_is_reported_by_its_name(pair):
    pair.replica.refusal = LOST
    with Verifier(LOCAL, policy_from({}), PRIMARY, name="db2") as verifier:
        report = verifier.report()
    assert (report["verdict"], report["reasons"]) == ("critical", ["connect"])
    assert report["summary"].startswith("critical: db2: [connect] ")
    assert pair.primary.opened == [], "without the replica there is nothing to compare"


@pytest.mark.parametrize(
    ("severity", "verdict", "reasons"), [("warning", "warning", ["connect"]), ("skip", "unknown", [])]
)
def test_what_is_made_of_a_server_that_does_not_answer(pair, severity, verdict, reasons):
    pair.replica.refusal = LOST
    with Verifier(LOCAL, policy_from({"checks": {"connect": severity}})) as verifier:
        report = verifier.report()
    assert (report["verdict"], report["reasons"]) == (verdict, reasons)
    assert report["summary"].startswith(f"{verdict}: ")


def test_a_set_with_a_server_that_need_not_answer(pair):
    pair.replica.refusal = LOST
    with Fleet({"db1": PRIMARY, "db2": LOCAL}, policy_from({"checks": {"connect": "skip"}})) as fleet:
        report = fleet.report()
    assert report["topology"]["unreachable"] == ["db2"]
    assert (report["verdict"], report["reasons"]) == ("warning", ["single_writer"])


def test_sessions_are_kept_between_two_looks_and_closed_at_the_end(pair):
    with Verifier(LOCAL, policy_from({"role": "replica"}), PRIMARY) as verifier:
        verifier.judge()
        verifier.judge()
        assert (pair.replica.closed, pair.primary.closed) == (2 if pair.mariadb else 0, 0)
    # Each look at the certificate of MariaDB takes a session over TLS.
    expected = [3 if pair.mariadb else 1, 1]
    assert [len(server.opened) for server in (pair.replica, pair.primary)] == expected
    assert [server.closed for server in (pair.replica, pair.primary)] == expected


def test_without_a_way_to_the_primary_there_is_no_session_with_it(pair):
    with Verifier(LOCAL, policy_from({})) as verifier, pytest.raises(DatabaseError, match="no connection to a primary"):
        verifier.connection("primary")
