# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is the primary, by what the servers said; and when that must not be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.history import History
from ansible_collections.pentad.webstack.plugins.plugin_utils.primary import (
    Choice,
    Link,
    Member,
    Refused,
    choose,
    member,
)

NUMBERS = {"db1": 1, "db2": 2, "db3": 3, "other": 9}
DATA = ("shop",)


class Engine:
    """How identities and histories are written."""

    def __init__(self, mariadb: bool) -> None:
        self.mariadb = mariadb

    def identity(self, name: str) -> str:
        """Of a server; C(new) for one that was installed again."""
        if self.mariadb:
            # It follows from the address, so a server that was installed again has the old one.
            return str(NUMBERS[name.removesuffix("new")])
        return f"{NUMBERS[name.removesuffix('new')]}{int(name.endswith('new'))}000000-71ca-11e1-9e33-c80aa9429562"

    def transactions(self, **written: int) -> str:
        """The set that has as many transactions of each server; on MariaDB they count on from one to the next."""
        found, last = [], 0
        for name, count in written.items():
            last += count
            found.append(f"0-{self.identity(name)}-{last}" if self.mariadb else f"{self.identity(name)}:1-{count}")
        return ",".join(found)

    def history(self, name: str, **written: int) -> History:
        """What a server has executed."""
        executed = self.transactions(**written)
        return History(self.mariadb, self.identity(name), executed, "", executed.rpartition(",")[2])

    def server(
        self,
        name: str,
        *,
        follows: str | Sequence[Link] = (),
        receiver: str = "on",
        new: bool = False,
        **said: Any,
    ) -> Member:
        """A server with data, which has executed what the first primary wrote, unless it is told otherwise."""
        written = said.pop("written", {"db1": 100})
        links = (self.link(follows, receiver),) if isinstance(follows, str) else tuple(follows)
        own = name + "new" * new
        return Member(
            name, address(name), links=links, history=self.history(own, **written), **{"schemas": DATA, **said}
        )

    def link(self, source: str, receiver: str = "on") -> Link:
        """A channel to a server, as that was when it was connected last."""
        return Link(address(source), self.identity(source), receiver)

    def empty(self, name: str, **said: Any) -> Member:
        """A server that was installed again: its own accounts, and nothing else."""
        return self.server(name, new=True, written={f"{name}new": 3}, **{"schemas": (), **said})

    def blank(self, name: str, **said: Any) -> Member:
        """A server that has just been installed."""
        return self.server(name, written={}, **{"schemas": (), **said})


def address(name: str) -> str:
    return f"192.0.2.3{NUMBERS[name]}"


def silent(name: str) -> Member:
    return Member(name, address(name), answered=False)


def chosen(*members: Member) -> Choice:
    return choose(members, ["db1"])


def refused(*members: Member) -> str:
    with pytest.raises(Refused) as caught:
        choose(members, ["db1"])
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.fixture(params=[False, True], ids=["mysql", "mariadb"])
def e(request: pytest.FixtureRequest) -> Engine:
    return Engine(request.param)


# --- what is plain --------------------------------------------------------------------------------------------------


def test_a_fresh_set_is_as_the_inventory_says(e):
    assert chosen(*map(e.blank, ("db1", "db2", "db3"))).primary == "db1"


def test_nothing_is_installed_yet(e):
    members = [Member(name, answered=False, installed=False) for name in ("db1", "db2")]
    assert choose(members, ["db1"]) == Choice("db1")


def test_nobody_answers(e):
    assert chosen(silent("db1"), silent("db2")) == Choice("db1", ("db1", "db2"))


def test_there_is_no_database():
    assert choose([], []) == Choice("")


def test_as_deployed(e):
    members = (e.server("db1", writable=True), *(e.server(name, follows="db1") for name in ("db2", "db3")))
    assert chosen(*members) == Choice("db1")


def test_an_existing_server_is_taken_over_without_gtids(e):
    assert chosen(e.server("db1", written={}), e.blank("db2")).primary == "db1"
    assert chosen(e.server("db1", written={}, writable=True), e.blank("db2")).primary == "db1"


def test_replicas_are_not_seeded_yet(e):
    assert chosen(e.server("db1", writable=True, schemas=()), e.blank("db2")).primary == "db1"


def test_what_a_server_without_data_has_executed_does_not_matter(e):
    junk = e.server("db2", written={"db2": 4}, schemas=())
    assert chosen(e.server("db1"), junk).primary == "db1"


def test_a_restarted_primary_is_opened(e):
    said = chosen(e.server("db1", primary_marker=True), e.server("db2", follows="db1", receiver="connecting"))
    assert said == Choice("db1")


def test_the_primary_is_down(e):
    assert chosen(silent("db1"), e.server("db2", follows="db1", receiver="connecting")) == Choice("db1", ("db1",))


def test_a_chain_leads_to_its_end(e):
    members = (
        e.server("db1", follows="db2"),
        e.server("db2", follows="db3", written={"db1": 100, "db3": 5}),
        e.server("db3", writable=True, written={"db1": 100, "db3": 5}),
    )
    assert chosen(*members) == Choice("db3")


def test_a_replica_that_runs_and_takes_writes_is_still_a_replica(e):
    assert chosen(e.server("db1", writable=True), e.server("db2", follows="db1", writable=True)).primary == "db1"


def test_an_address_of_ipv6_is_the_same_in_any_spelling(e):
    source = Member("db1", "2001:db8::31", history=e.history("db1", db1=9), schemas=DATA)
    replica = e.server("db2", follows=[Link("2001:0DB8:0::31", "")], written={"db1": 9})
    assert chosen(replica, source) == Choice("db1")


# --- after a promotion by hand --------------------------------------------------------------------------------------

PROMOTED = {"db1": 100, "db2": 20}


def test_the_promoted_one_is_the_primary_and_the_old_one_follows_it(e):
    members = (e.server("db1", follows="db2", written=PROMOTED), e.server("db2", writable=True, written=PROMOTED))
    assert chosen(*members) == Choice("db2")


def test_a_third_one_that_follows_the_promoted_one_goes_on(e):
    members = (
        e.server("db1", follows="db2", written=PROMOTED),
        e.server("db2", writable=True, written=PROMOTED),
        e.server("db3", follows="db2", written=PROMOTED),
    )
    assert chosen(*members) == Choice("db2")


@pytest.mark.parametrize("third", ["db1", "db2", "db3"])
def test_the_old_one_is_back_and_fenced_and_the_third_still_follows_it(e, third):
    """In whatever order the servers are listed."""
    members = {
        "db1": e.server("db1", primary_marker=True),
        "db2": e.server("db2", writable=True, written=PROMOTED),
        "db3": e.server("db3", follows="db1"),
    }
    rest = [name for name in members if name != third]
    assert chosen(members[third], *(members[name] for name in rest)) == Choice("db2")


def test_what_the_promoted_one_lacks_stays_where_it_is(e):
    """db3 got a transaction of the old primary that never reached db2."""
    said = chosen(
        e.server("db1", written={"db1": 101}),
        e.server("db2", writable=True, written={"db1": 100, "db2": 1} if not e.mariadb else {"db1": 100}),
        e.server("db3", follows="db1", written={"db1": 101}),
    )
    assert said.primary == "db2"
    assert "db3 follows 192.0.2.31 and has transactions that the primary db2 lacks" in said.objections["db3"]
    assert "run rejoin.yml with -e mysql_rejoin=db3, which lists and saves them" in said.objections["db3"]


def test_a_replica_whose_data_are_given_up_may_be_pointed_anywhere(e):
    said = chosen(
        e.server("db2", writable=True),
        e.server("db3", follows="other", written={"db1": 100, "db3": 7}, given_up=True),
    )
    assert said == Choice("db2")


def test_a_server_that_was_pointed_at_itself_follows_the_primary(e):
    assert chosen(e.server("db1", follows="db1"), e.server("db2", writable=True, written=PROMOTED)) == Choice("db2")


@pytest.mark.parametrize("receiver", ["on", "connecting", "off"])
def test_a_channel_left_over_on_the_promoted_one_opens_nobody(e, receiver):
    said = refused(
        e.server("db1", primary_marker=True),
        e.server("db2", writable=True, follows="db1", receiver=receiver, written=PROMOTED),
    )
    assert "db2 takes writes and has a channel to 192.0.2.31" in said
    assert ("RESET SLAVE ALL" if e.mariadb else "RESET REPLICA ALL") in said
    assert f"SET GLOBAL {'' if e.mariadb else 'super_'}read_only = ON" in said


def test_a_channel_left_over_beside_another_writer_is_a_second_writer(e):
    said = refused(
        e.server("db1", writable=True), e.server("db2", writable=True, follows="db1", receiver="off", written=PROMOTED)
    )
    assert "db1 and db2 both take writes" in said


def test_two_writers_are_refused_by_name(e):
    said = refused(e.server("db1", writable=True), e.server("db2", follows="db1"), e.server("db3", writable=True))
    assert "db1 and db3 both take writes: decide which one is the primary" in said
    assert f"SET GLOBAL {'' if e.mariadb else 'super_'}read_only = ON" in said


def test_the_promoted_one_that_was_restarted_is_known_by_its_marker(e):
    assert chosen(e.server("db1"), e.server("db2", written=PROMOTED, primary_marker=True)).primary == "db2"


def test_with_a_marker_that_stayed_it_is_known_by_its_transactions(e):
    db1, db2 = e.server("db1", primary_marker=True), e.server("db2", written=PROMOTED, primary_marker=True)
    assert chosen(db1, db2).primary == "db2"


def test_an_old_marker_alone_opens_nobody(e):
    said = refused(e.server("db1", primary_marker=True), e.server("db2", written=PROMOTED))
    assert "db1 (192.0.2.31) lacks transactions" in said
    assert "if db2 was promoted by hand, make it the primary" in said


def test_the_data_of_the_old_primary_are_given_up(e):
    db1, db2 = e.server("db1", written={"db1": 103}), e.server("db2", written=PROMOTED, primary_marker=True)
    said = refused(db1, db2)
    assert "db2 (192.0.2.32) lacks transactions" in said
    assert "if db2 replaced it, save what is wanted" in said
    assert "by site.yml with -e mysql_replica_rebuild=db1" in said
    assert chosen(replace(db1, given_up=True), db2).primary == "db2"


def test_what_does_not_answer_is_told(e):
    assert chosen(e.server("db1", primary_marker=True), silent("db2")) == Choice("db1", ("db2",))


# --- the data are elsewhere -----------------------------------------------------------------------------------------


def keeps(said: str, holder: str) -> None:
    """A refusal that leaves the data where they are and never advises to give them up."""
    assert f"{holder} has the data (shop): keep {holder} as it is" in said, said
    assert "rebuild" not in said


@pytest.mark.parametrize("receiver", ["on", "connecting", "off"])
def test_an_empty_server_at_the_address_that_is_followed_is_no_source(e, receiver):
    keeps(refused(e.empty("db1"), e.server("db2", follows="db1", receiver=receiver)), "db2")


def test_nor_if_the_follower_has_connected_to_it_and_recorded_it(e):
    """MySQL notes the new identity with the first connection, and finds nothing wrong."""
    link = Link(address("db1"), e.identity("db1new"), "on")
    keeps(refused(e.empty("db1"), e.server("db2", follows=[link])), "db2")


def test_nor_if_it_was_opened(e):
    link = Link(address("db1"), e.identity("db1new"), "on")
    keeps(refused(e.empty("db1", writable=True), e.server("db2", follows=[link])), "db2")


def test_nor_if_the_release_has_made_its_tables_there(e):
    link = Link(address("db1"), e.identity("db1new"), "off" if e.mariadb else "on")
    keeps(refused(e.empty("db1", writable=True, schemas=DATA), e.server("db2", follows=[link])), "db2")


def test_nor_without_a_channel(e):
    keeps(refused(e.empty("db1"), e.server("db2", written=PROMOTED)), "db2")


def test_another_server_with_all_data_is_not_the_one_that_was_followed():
    mysql = Engine(False)
    for writable in (False, True):
        said = refused(mysql.server("db1", new=True, writable=writable), mysql.server("db2", follows="db1"))
        assert "has the server_uuid 11000000-" in said
        assert "db2 has followed 10000000-" in said
        keeps(said, "db2")


def test_a_source_that_was_restored_from_an_old_backup_is_not_opened(e):
    keeps(refused(e.server("db1", written={"db1": 60}), e.server("db2", follows="db1")), "db2")


def test_a_restored_source_is_refused_while_its_replica_stands_still(e):
    said = refused(e.server("db1", writable=True, written={"db1": 60}), e.server("db2", follows="db1", receiver="off"))
    assert "db1 takes writes and lacks transactions of its own" in said
    keeps(said, "db2")


def test_a_replica_that_was_asked_a_moment_later_is_not_ahead(e):
    members = (e.server("db1", writable=True), e.server("db2", follows="db1", written={"db1": 103}))
    assert chosen(*members) == Choice("db1")


def test_what_somebody_wrote_on_a_replica_leaves_the_primary_the_primary(e):
    wrong = e.server("db2", follows="db1", written={"db1": 100, "db2": 2})
    assert chosen(e.server("db1", writable=True), wrong) == Choice("db1")
    assert chosen(e.server("db1", primary_marker=True), wrong) == Choice("db1")


def test_an_empty_server_that_takes_writes_is_not_the_primary(e):
    said = refused(e.server("db1", primary_marker=True), e.server("db2", follows="db1"), e.blank("db3", writable=True))
    assert "db3 takes writes and holds no database" in said


def test_a_server_with_other_data_that_takes_writes_is_not_their_primary(e):
    stranger = e.server("db3", writable=True, written={"db3": 50}, schemas=("blog",))
    said = refused(e.server("db1", primary_marker=True), e.server("db2", follows="db1"), stranger)
    assert "db3 takes writes, db1 holds data (shop), and they have no transaction in common" in said


def test_the_primary_may_have_a_stranger_beside_it_that_seeding_refuses(e):
    stranger = e.server("db2", written={"db2": 50}, schemas=("blog",))
    assert chosen(e.server("db1", writable=True, primary_marker=True), stranger).primary == "db1"


def test_data_that_the_inventory_gives_up_do_not_count(e):
    assert chosen(e.blank("db1"), e.server("db2", written={"db2": 50}, given_up=True)).primary == "db1"


# --- nobody can be told ---------------------------------------------------------------------------------------------


def test_a_replica_of_an_unknown_server_is_never_taken_for_the_primary(e):
    said = refused(*(e.server(name, follows="other") for name in ("db1", "db2")))
    assert "no database host is the primary (db1 follows 192.0.2.39; db2 follows 192.0.2.39)" in said


def test_two_that_follow_each_other_have_no_primary(e):
    said = refused(e.server("db1", follows="db2"), e.server("db2", follows="db1"))
    assert "no database host is the primary" in said


def test_two_that_are_followed_and_fenced_are_refused(e):
    said = refused(e.server("db1"), e.server("db2"), e.server("db3", follows=[e.link("db1"), e.link("db2")]))
    assert "db1 and db2 are followed and neither takes writes" in said


# --- in the middle of a switchover ----------------------------------------------------------------------------------


def handing_over(e: Engine, **said: Any) -> Member:
    """The old primary, which was to hand over to db2."""
    return e.server("db1", handed_over_to="db2", **said)


MORE = {"db1": 100, "db2": 5}


def test_begun_and_not_closed_yet(e):
    assert chosen(handing_over(e, writable=True), e.server("db2", follows="db1")) == Choice("db1")


@pytest.mark.parametrize("receiver", ["on", "connecting", "off"])
def test_closed_while_the_new_one_follows_is_undone(e, receiver):
    members = (handing_over(e), e.server("db2", follows="db1", receiver=receiver), e.server("db3", follows="db1"))
    assert chosen(*members) == Choice("db1")


@pytest.mark.parametrize("named", ["db1", "db2"])
def test_closed_and_retired_is_undone_whatever_the_inventory_says(e, named):
    assert choose([handing_over(e), e.server("db2")], [named]) == Choice("db1")


def test_closed_and_the_new_one_retired_beside_a_third(e):
    assert chosen(handing_over(e), e.server("db2"), e.server("db3", follows="db1")) == Choice("db1")


@pytest.mark.parametrize("others", [(), ("db3",)])
def test_a_new_one_that_does_not_answer_may_take_writes(e, others):
    said = refused(handing_over(e), silent("db2"), *(e.server(name, follows="db1") for name in others))
    assert "db1 (192.0.2.31) was closed to hand over to db2, which does not answer and may take writes" in said
    assert "start the database server of db2 and repeat this, or, if it is lost, run failover.yml" in said


def test_a_new_one_that_is_not_in_the_inventory_may_take_writes(e):
    said = refused(handing_over(e), e.server("db3", follows="db1"))
    assert "hand over to db2, which is not in the group mysql and may take writes" in said


def test_an_opened_new_one_is_the_primary(e):
    members = handing_over(e), e.server("db2", writable=True, written=MORE), e.server("db3", follows="db1")
    assert chosen(*members) == Choice("db2")


@pytest.mark.parametrize("others", [(), ("db3",)])
@pytest.mark.parametrize("marker", [False, True])
def test_one_that_was_opened_and_started_again_is_opened(e, others, marker):
    new = e.server("db2", written=MORE, primary_marker=marker)
    assert chosen(handing_over(e), new, *(e.server(name, follows="db1") for name in others)) == Choice("db2")


def test_after_the_handover_the_one_with_the_marker_is_opened(e):
    assert chosen(handing_over(e), e.server("db2", primary_marker=True)) == Choice("db2")


def test_an_old_one_that_follows_already_does_not_matter(e):
    members = handing_over(e, follows="db2"), e.server("db2"), e.server("db3", follows="db1")
    assert chosen(*members) == Choice("db2")


def test_both_lack_something(e):
    said = refused(handing_over(e, written={"db1": 101}), e.server("db2", written=MORE))
    assert "db1 (192.0.2.31) lacks transactions" in said


def test_what_was_handed_over_is_read(e):
    found = member("db1", {**gathered(e), "handed_over_to": "db2"})
    assert (found.handed_over_to, member("db1", gathered(e)).handed_over_to) == ("db2", "")


# --- events ---------------------------------------------------------------------------------------------------------

TIDY, COUNT = ("shop", "tidy"), ("shop", "count")


def test_the_new_primary_runs_what_the_old_one_ran(e):
    new = e.server("db2", writable=True, waiting=frozenset({TIDY, COUNT}))
    old = e.server("db1", follows="db2", runs=frozenset({TIDY}))
    assert chosen(old, new).events == (TIDY,)


def test_events_of_replicas_wait_while_the_primary_runs_them(e):
    new = e.server("db2", writable=True, runs=frozenset({TIDY}))
    assert chosen(e.server("db1", follows="db2", waiting=frozenset({TIDY})), new).events == ()


def test_events_that_wait_everywhere_were_disabled_on_purpose(e):
    waiting = {"waiting": frozenset({TIDY})}
    assert chosen(e.server("db1", follows="db2", **waiting), e.server("db2", writable=True, **waiting)).events == ()


def test_events_are_read(e):
    events = {"enabled": [{"schema": "shop", "name": "tidy"}], "waiting": [{"schema": "shop", "name": "count"}]}
    found = member("db1", {**gathered(e), "events": events})
    assert (found.runs, found.waiting) == ({TIDY}, {COUNT})


def gathered(e: Engine) -> dict[str, Any]:
    """What the module mysql_replication_info returns."""
    return {
        "history": e.history("db1", db1=3).as_dict(), "role": {"writable": False}, "channels": [], "schemas": [],
        "primary_marker": False,
    }  # fmt: skip
