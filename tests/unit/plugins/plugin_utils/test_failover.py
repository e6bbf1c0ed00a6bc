# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary is replaced when nobody sees it and it is fenced, by the server that has all that the others have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.history import History
from ansible_collections.pentad.webstack.plugins.plugin_utils.failover import (
    Candidate,
    candidate,
    choose_successor,
    fence,
    gone,
    possibly_missing,
    without,
)
from ansible_collections.pentad.webstack.plugins.plugin_utils.primary import Refused

BLIND = {"alive": False, "seen": [], "unseen": ["its port 3306 is closed (Connection refused)"], "writable": None}
SEES = {"alive": True, "seen": ["its port 3306 sends a greeting"], "unseen": [], "writable": True}
CLOSED = {**SEES, "writable": False}
NO_ANSWER = {"unreachable": True, "msg": "timed out"}


def refused(*words: str, call: Any, **options: Any) -> str:
    """The one sentence in which something is refused, which has these words."""
    with pytest.raises(Refused) as told:
        call(**options)
    text = str(told.value)
    for word in words:
        assert word in text, text
    return text


# --- whether it is gone ---------------------------------------------------------------------------------------------


def test_a_primary_that_nobody_sees_is_gone():
    text = gone("db1", {"web1": BLIND, "db2": BLIND, "lb1": NO_ANSWER})
    assert text.startswith("db1 is seen by none of web1, db2 (from web1: its port 3306 is closed")
    assert "lb1" not in text


@pytest.mark.parametrize(
    ("sightings", "words"),
    [
        ({"web1": SEES, "db2": SEES}, ["db1 is alive and takes writes (web1: its port 3306 sends", "switchover.yml"]),
        ({"web1": CLOSED, "db2": CLOSED}, ["db1 is alive and takes no writes", "run site.yml, which opens it"]),
        ({"web1": SEES, "db2": BLIND}, ["still seen (web1: its port", "not by db2", "stop the database server"]),
        ({"web1": BLIND}, ["only web1 could be asked", "-e mysql_failover_confirmed=db1"]),
        ({"web1": NO_ANSWER}, ["no node could be asked"]),
    ],
)
def test_one_that_may_be_alive_is_not_replaced(sightings, words):
    refused(*words, call=lambda: gone("db1", sightings))


def test_one_witness_is_enough_where_the_operator_confirms_by_name():
    assert "none of web1" in gone("db1", {"web1": BLIND}, confirmed="db1")
    refused("only web1", call=lambda: gone("db1", {"web1": BLIND}, confirmed="db2"))


def test_one_that_refuses_connections_may_be_alive():
    refuses = {**BLIND, "unseen": ["its port 3306 refuses connections"], "refused": True}
    text = gone("db1", {"web1": refuses, "web2": BLIND})
    assert "; to web1 connections are refused, by its machine or by a firewall, so it may be alive" in text
    assert "may be alive" not in gone("db1", {"web1": refuses, "web2": refuses, "db1": refuses})
    assert "may be alive" not in gone("db1", {"web1": BLIND, "web2": BLIND})


def test_no_confirmation_overrules_who_sees_it():
    refused("db1 is alive", call=lambda: gone("db1", {"web1": SEES, "db2": SEES}, confirmed="db1"))


# --- who does not answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent", "confirmed", "acknowledging", "told"),
    [
        ([], "", 1, ""),
        (["db3"], "", 0, "db3 does not answer, and what was received there alone will be missing"),
        # Of three replicas two have each commit, so one that answers has it.
        (["db3"], "", 2, "db3 does not answer"),
        (["db3", "db4"], "db1,db3,db4", 2, "db3 and db4 do not answer"),
    ],
)
def test_a_failover_goes_without_servers_that_are_not_needed(silent, confirmed, acknowledging, told):
    assert without("db1", silent, confirmed, acknowledging).startswith(told)
    assert bool(without("db1", silent, confirmed, acknowledging)) is bool(told)


@pytest.mark.parametrize(
    ("silent", "confirmed", "acknowledging", "words"),
    [
        (["db3"], "", 1, ["db3 does not answer, and what db1 has confirmed last", "-e mysql_failover_confirmed=db3."]),
        (["db3"], "db1", 1, ["if it is dead and stays so", "-e mysql_failover_confirmed=db1,db3."]),
        (["db3", "db4"], "db3", 2, ["db3 and db4 do not", "they are dead", "-e mysql_failover_confirmed=db3,db4."]),
    ],
)
def test_it_does_not_go_without_what_alone_may_have_a_confirmed_commit(silent, confirmed, acknowledging, words):
    refused(*words, "Nothing was changed.", call=lambda: without("db1", silent, confirmed, acknowledging))


# --- whether it is fenced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"stopped": True, "refusing": {}}, "its server is stopped"),
        ({"stopped": True, "refusing": {"web1": False}, "confirmed": "db1"}, "its server is stopped"),
        ({"stopped": False, "refusing": {"web1": True, "web2": True}}, "every web node (web1, web2) refuses it"),
        ({"stopped": False, "refusing": {"web1": True, "web2": False}, "confirmed": "db1"}, "the operator says"),
    ],
)
def test_the_first_fence_that_holds_is_reported(given, held):
    assert held in fence("db1", **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stopped": False, "refusing": {"web1": True, "web2": False}}, ["and web2 could not be told to refuse it"]),
        # Without web nodes there is nothing that could refuse it.
        ({"stopped": False, "refusing": {}}, ["its node does not answer, so it may take writes"]),
        ({"stopped": False, "refusing": {}, "confirmed": "db2"}, ["-e mysql_failover_confirmed=db2,db1"]),
    ],
)
def test_without_a_fence_there_is_no_failover(given, words):
    refused("db1 cannot be fenced", *words, call=lambda: fence("db1", **given))


# --- who replaces it ------------------------------------------------------------------------------------------------

NUMBER = {"db1": "1", "db2": "2", "db3": "3", "db0": "4"}
UUID = {name: f"{number}0000000-71ca-11e1-9e33-c80aa9429562" for name, number in NUMBER.items()}


@pytest.fixture(params=[False, True], ids=["mysql", "mariadb"])
def engine(request):
    return Engine(request.param)


class Engine:
    """Histories as the engine writes them; transactions are counted by the server that wrote them."""

    def __init__(self, mariadb: bool) -> None:
        self.mariadb = mariadb

    def identity(self, name: str) -> str:
        return NUMBER[name] if self.mariadb else UUID[name]

    def history(self, name: str, **written: int) -> History:
        """Up to which number a server has what each of them wrote; on MariaDB each writes in a domain of its own."""
        if not self.mariadb:
            return History(False, UUID[name], ",".join(f"{UUID[by]}:1-{last}" for by, last in written.items()))
        executed = ",".join(f"{NUMBER[by]}-{NUMBER[by]}-{last}" for by, last in written.items())
        return History(True, NUMBER[name], executed, executed, executed)

    def server(
        self, name: str, received: int = 0, error: str = "", source: dict[str, int] | None = None, **written: int
    ) -> Candidate:
        """A server that has settled; what it received of db1, and what the last reading of db1 had."""
        history = self.history(name, **written)
        more = self.history(name, **{**written, "db1": received}) if received else history
        read = {"source": self.history("db1", **source)} if source else {}
        return Candidate(name, history, more, error, **read)


def test_the_most_advanced_replica_is_chosen_whatever_its_place(engine):
    servers = [engine.server("db2", db1=90), engine.server("db3", db1=100)]
    assert choose_successor("db1", servers).name == "db3"
    assert choose_successor("db1", servers[::-1]).name == "db3"


def test_of_two_that_have_the_same_the_first_or_the_wanted_one_is_chosen(engine):
    servers = [engine.server("db2", db1=100), engine.server("db3", db1=100)]
    assert choose_successor("db1", servers).name == "db2"
    assert choose_successor("db1", servers, wanted="db3").name == "db3"


def test_more_transactions_do_not_make_up_for_one_that_is_missing(engine):
    """By size db3 would win, and a transaction of db2 would be lost."""
    servers = [engine.server("db2", db1=100, db0=5), engine.server("db3", db1=90, db0=500)]
    refused("none of db2, db3 has all", "rejoin.yml saves them", call=lambda: choose_successor("db1", servers))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("db1", ["mysql_new_primary = db1 is the server that is gone"]),
        ("db9", ["mysql_new_primary = db9 does not answer", "(db2, db3)"]),
        ("db2", ["mysql_new_primary = db2 lacks transactions that db3 has", "name db3, or none"]),
    ],
)
def test_a_wanted_server_must_be_there_and_lack_nothing(engine, wanted, words):
    servers = [engine.server("db2", db1=90), engine.server("db3", db1=100)]
    refused(*words, call=lambda: choose_successor("db1", servers, wanted))


def test_without_another_server_there_is_nobody():
    refused("no server can replace db1: no other database server answers", call=lambda: choose_successor("db1", []))


def test_one_whose_applier_has_failed_is_left_out(engine):
    servers = [engine.server("db2", db1=80, received=90, error="1062: Duplicate entry"), engine.server("db3", db1=100)]
    found = choose_successor("db1", servers)
    assert found.name == "db3"
    assert "db2 cannot apply what it has received (1062: Duplicate entry)" in found.left_out["db2"]


def test_what_a_failed_applier_has_received_alone_is_not_given_up_silently(engine):
    servers = [engine.server("db2", db1=80, received=120, error="1062: Duplicate entry"), engine.server("db3", db1=100)]
    words = ["db3 lacks transactions that db2 has received", "cannot apply", "-e mysql_new_primary=db3"]
    refused(*words, call=lambda: choose_successor("db1", servers))
    assert choose_successor("db1", servers, wanted="db3").name == "db3"
    refused("mysql_new_primary = db2 cannot be", call=lambda: choose_successor("db1", servers, wanted="db2"))


def test_an_only_candidate_with_own_transactions_is_refused_unless_named(engine):
    servers = [engine.server("db2", db1=100, db2=3, source={"db1": 90})]
    words = ["no server can replace db1: db2 has transactions of its own", "-e mysql_new_primary=db2"]
    refused(*words, call=lambda: choose_successor("db1", servers))
    assert choose_successor("db1", servers, wanted="db2").name == "db2"


def test_transactions_from_its_time_as_the_primary_are_no_ground(engine):
    servers = [engine.server("db2", db1=100, db2=3, source={"db1": 90, "db2": 3})]
    assert choose_successor("db1", servers).name == "db2"
    # Nothing is known of the primary, and nobody else was there.
    assert choose_successor("db1", [engine.server("db2", db1=100, db2=3)]).name == "db2"


def test_one_with_own_transactions_is_passed_over_for_another_one(engine):
    """On its own they count for more, and are no part of the data."""
    source = {"db1": 90}
    servers = [engine.server("db2", db1=90, db2=3, source=source), engine.server("db3", db1=100, source=source)]
    found = choose_successor("db1", servers)
    assert (found.name, list(found.left_out)) == ("db3", ["db2"])


def test_what_a_server_that_follows_nobody_wrote_is_not_given_up_silently(engine):
    """A switchover may have opened it, and clients may have written there."""
    source = {"db1": 100}
    opened = replace(engine.server("db2", db1=100, db2=3, source=source), follows=False)
    servers = [opened, engine.server("db3", db1=100, source=source)]
    words = "db3 lacks transactions that db2 has", "-e mysql_new_primary=db2", "-e mysql_new_primary=db3"
    refused(*words, call=lambda: choose_successor("db1", servers))
    assert choose_successor("db1", servers, wanted="db2").name == "db2"
    assert choose_successor("db1", servers, wanted="db3").name == "db3"


def test_what_it_will_have_is_compared_before_it_is_applied():
    own = {"identity": UUID["db2"]}
    found = {"history": own, "received": {**own, "executed": f"{UUID['db1']}:1-9"}}
    assert candidate("db2", found).history.executed == ""
    assert candidate("db2", found, planned=True).history.executed == f"{UUID['db1']}:1-9"
    assert candidate("db2", {"msg": "unreachable"}) is None


def test_whether_it_follows_is_told_by_its_channels():
    found = {"history": {"identity": UUID["db2"]}, "received": {"identity": UUID["db2"]}}
    assert candidate("db2", {**found, "channels": [""]}).follows is True
    assert candidate("db2", {**found, "channels": []}).follows is False


# --- what may be missing --------------------------------------------------------------------------------------------


def test_the_report_says_after_which_transaction_something_may_be_missing(engine):
    new, old = engine.history("db2", db1=100, db2=3), engine.identity("db1")
    reached = "1-1-100" if engine.mariadb else f"{UUID['db1']}:1-100"
    assert possibly_missing("db1", old, new) == f"everything that db1 committed after {reached}"
    assert possibly_missing("db1", old, engine.history("db2", db2=3)) == "everything that db1 committed"
    known = possibly_missing("db1", old, new, engine.history("db1", db1=120))
    assert known.endswith("1-1-120" if engine.mariadb else f"{UUID['db1']}:101-120")
    assert possibly_missing("db1", old, new, engine.history("db1", db1=90)).endswith(reached)
