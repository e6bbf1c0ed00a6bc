# SPDX-License-Identifier: GPL-3.0-or-later
"""Of two servers that take writes the old one closes, and one that is cut off closes in time, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.fence import Memory, Watch
from hypothesis import given
from hypothesis import strategies as st

CLOSED = {"role": "fenced", "writable": False, "id": "me", "channels": []}
WRITES = {"role": "primary", "writable": True, "id": "me", "channels": []}
GONE = {"role": "unreachable", "writable": False, "error": "gone"}
DOWN = {**GONE, "down": True}


def following(source: str, receiver: str = "on", identity: str = "peer") -> dict[str, Any]:
    """A replica of that server."""
    return {"role": "replica", "writable": False, "id": identity, "channels": [
        {"source_id": source, "receiver": receiver}]}  # fmt: skip


FOLLOWS = following("me")
ALONE = {"role": "fenced", "writable": False, "id": "peer", "channels": []}
PROMOTED = {"role": "primary", "writable": True, "id": "peer", "channels": []}


def nobody() -> bool:
    """No replica is connected."""
    return False


def watch(limit: float = 0, **memory: Any) -> Watch:
    """A node that remembers this."""
    return Watch(Memory(**memory), limit)


def act(watching: Watch, own: dict[str, Any], attached: Callable[[], bool] = nobody, **peers: Any) -> str:
    """What is to be done a second after the last time."""
    return watching.decide(own, peers, attached, 1.0).act


# --- two servers that take writes -----------------------------------------------------------------------------------


def test_the_server_whose_follower_was_promoted_closes():
    watching = watch()
    assert act(watching, WRITES, db2=FOLLOWS) == ""
    assert act(watching, WRITES, db2=GONE) == ""
    decision = watching.decide(WRITES, {"db2": PROMOTED}, nobody, 1.0)
    assert (decision.act, decision.reason) == (
        "close", "db2 takes writes and has followed this server before: it was promoted",
    )  # fmt: skip


def test_the_server_that_was_promoted_stays_open():
    watching = watch(followers={"db1": "old"})
    assert act(watching, following("old", identity="me"), db1={**WRITES, "id": "old"}) == ""
    assert act(watching, WRITES, db1={**WRITES, "id": "old"}) == ""


@pytest.mark.parametrize(
    "peer",
    [
        {**PROMOTED, "id": "another server at this address"},
        # Still a replica, whoever lets it take writes: that is for the verdict.
        {**FOLLOWS, "writable": True},
        {**following("me", "off"), "writable": True},
        following("other"),
        ALONE,
        GONE,
        DOWN,
    ],
)
def test_what_is_no_successor_closes_nothing(peer):
    watching = watch()
    act(watching, WRITES, db2=FOLLOWS)
    assert act(watching, WRITES, db2=peer) == ""


def test_a_server_that_nobody_has_followed_gives_way_to_nobody():
    assert act(watch(), WRITES, db2=PROMOTED) == ""


def test_a_third_server_that_was_promoted_counts_as_well():
    watching = watch()
    act(watching, WRITES, db2=FOLLOWS, db3=following("me", identity="third"))
    assert act(watching, WRITES, db2=following("third"), db3={**PROMOTED, "id": "third"}) == "close"


def test_a_server_that_does_not_answer_is_not_judged():
    watching = watch(3, followers={"db2": "peer"})
    assert act(watching, GONE, db2=PROMOTED) == ""
    assert act(watching, WRITES, db2=PROMOTED) == "close"


class Node:
    """A server with its watch, in a world in which servers are frozen, promoted and rejoined."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.watch = watch()
        self.source = ""
        self.open = self.frozen = False

    @property
    def status(self) -> dict[str, Any]:
        """What it says of itself to others."""
        if self.frozen:
            return GONE
        role = "replica" if self.source else "primary" if self.open else "fenced"
        channels = [{"source_id": self.source, "receiver": "on"}] if self.source else []
        return {"role": role, "writable": self.open, "id": self.name, "channels": channels}

    def step(self, others: list[Node]) -> None:
        """Watch once."""
        if self.frozen:
            return
        peers = {other.name: other.status for other in others if other is not self}
        if self.watch.decide(self.status, peers, nobody, 1.0).act == "close":
            self.open = False

    def promote(self) -> None:
        """Follow nobody and take writes."""
        self.source, self.open = "", True

    def follow(self, other: Node) -> None:
        """Take no writes and follow."""
        self.source, self.open = other.name, False


@given(st.lists(st.sampled_from(["freeze", "fail over", "thaw", "switch over", "rejoin", "restart"]), max_size=30))
def test_never_both_stay_open_and_never_both_close(events):
    first, second = nodes = [Node("a"), Node("b")]
    first.promote()
    second.follow(first)

    def look() -> None:
        for node in nodes:
            node.step(nodes)

    look()
    for event in events:
        # Who was promoted last is the primary, whatever the others believe.
        primary, other = (first, second) if newest(first, second) else (second, first)
        if event == "freeze":
            primary.frozen = True
        elif event == "fail over" and primary.frozen and other.source and not other.frozen:
            other.promote()
        elif event == "thaw":
            first.frozen = second.frozen = False
        elif event == "switch over" and other.source and not (primary.frozen or other.frozen):
            primary.follow(other)
            other.promote()
        elif event == "rejoin" and not other.open and not (primary.frozen or other.frozen):
            other.follow(primary)
        elif event == "restart":
            for node in nodes:
                node.watch = Watch(Memory.from_dict(node.watch.memory.as_dict()))
        look()
        look()
        primary = first if newest(first, second) else second
        assert primary.open
        assert primary.frozen or [node for node in nodes if node.open and not node.frozen] == [primary]


def newest(first: Node, second: Node) -> bool:
    """Whether the first was promoted after the second: the second follows it, or was closed for it."""
    if first.source or second.source:
        return not first.source
    if first.open != second.open:
        return first.open
    # Both take writes: one is frozen still, or was so when the other was promoted.
    return second.frozen


# --- a server that is cut off ---------------------------------------------------------------------------------------


def test_a_server_that_sees_nobody_closes_when_its_time_is_over():
    watching = watch(5)
    assert act(watching, WRITES, db2=FOLLOWS) == ""
    assert [act(watching, WRITES, db2=GONE) for _second in range(5)] == ["", "", "", "", "close"]
    assert watching.memory.isolated
    # It could not be closed, and that does not begin anew.
    assert act(watching, WRITES, db2=GONE) == "close"


@pytest.mark.parametrize("seen", [FOLLOWS, following("me", "connecting"), following("me", "off"), ALONE, DOWN])
def test_a_peer_that_is_seen_and_takes_no_writes_ends_the_count(seen):
    watching = watch(3)
    act(watching, WRITES, db2=FOLLOWS)
    for peer in (GONE, GONE, seen, GONE, GONE):
        assert act(watching, WRITES, db2=peer) == ""


@pytest.mark.parametrize("seen", [following("other"), {**FOLLOWS, "writable": True}])
def test_a_peer_that_has_left_is_not_counted_as_seen(seen):
    watching = watch(2)
    act(watching, WRITES, db2=FOLLOWS)
    assert [act(watching, WRITES, db2=seen) for _second in range(2)] == ["", "close"]


def test_one_of_several_peers_is_enough():
    watching = watch(2)
    act(watching, WRITES, db2=FOLLOWS, db3=GONE)
    assert [act(watching, WRITES, db2=GONE, db3=DOWN) for _second in range(4)] == [""] * 4


def test_a_connected_replica_is_enough_where_peers_refuse_to_answer():
    watching = watch(2)
    act(watching, WRITES, db2=FOLLOWS)
    assert [act(watching, WRITES, lambda: True, db2=GONE) for _second in range(4)] == [""] * 4


@pytest.mark.parametrize(("limit", "peers"), [(0, {"db2": GONE}), (2, {}), (2, {"db3": GONE})])
def test_whoever_has_no_limit_or_no_followers_is_not_closed(limit, peers):
    watching = watch(limit, followers={"db2": "peer"})
    assert [act(watching, WRITES, **peers) for _second in range(4)] == [""] * 4


def test_a_server_that_never_had_a_follower_is_not_closed():
    assert [act(watch(2), WRITES, db2=GONE) for _second in range(4)] == [""] * 4


def test_time_in_which_nobody_looked_does_not_count():
    watching = watch(5)
    act(watching, WRITES, db2=FOLLOWS)
    assert watching.decide(WRITES, {"db2": GONE}, nobody, 3600.0).act == ""
    assert watching.decide(GONE, {}, nobody, 3600.0).act == ""
    assert act(watching, WRITES, db2=GONE) == ""


def test_it_opens_when_all_follow_it_again():
    watching = watch(2, followers={"db2": "peer", "db3": "third"}, isolated=True)
    third = following("me", identity="third")
    for peers in ({"db2": FOLLOWS, "db3": GONE}, {"db2": PROMOTED, "db3": third}, {"db2": FOLLOWS, "db3": ALONE}):
        assert act(watching, CLOSED, **peers) == ""
    assert act(watching, CLOSED, db2=FOLLOWS, db3=third) == "open"


def test_a_server_that_somebody_else_has_closed_is_not_opened():
    assert act(watch(2, followers={"db2": "peer"}), CLOSED, db2=FOLLOWS) == ""


@pytest.mark.parametrize("own", [WRITES, following("other", identity="me")])
def test_a_server_that_got_a_role_meanwhile_is_not_opened_later(own):
    watching = watch(0, followers={"db2": "peer"}, isolated=True)
    act(watching, own, db2=FOLLOWS)
    assert act(watching, CLOSED, db2=FOLLOWS) == ""


def test_a_memory_survives_being_written_down():
    memory = Memory({"db2": "peer"}, isolated=True)
    assert Memory.from_dict(memory.as_dict()) == memory
    assert Memory.from_dict({}) == Memory()
