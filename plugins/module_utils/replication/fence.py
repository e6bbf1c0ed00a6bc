# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a server that was closed may take writes again, and when one that takes writes has to close itself. Pure.

A status is what the program mysql-health says of a server: its role, whether it takes writes, its id, its history, and
of each channel the id of the source and the state of the receiver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from ..mysql.gtid import or_none
from .history import History
from .model import OFF, ON

Status = Mapping[str, Any]
# Longest time between two observations that counts as time without a peer: whoever was frozen has not looked.
LONGEST_GAP = 3.0


def objection(own: Status, peers: Mapping[str, Status]) -> str:
    """Why this server must stay read-only; empty if every peer still follows it and has nothing that it lacks."""
    for name, status in peers.items():
        if status.get("writable"):
            return f"{name} takes writes: it is the primary now"
        if not status or status["role"] == "unreachable":
            return f"{name} does not answer, so nobody knows whether another primary was chosen"
        channel = channel_to(status, own)
        if channel is None:
            return f"{name} does not follow this node"
        if channel["receiver"] == OFF:
            return f"the receiver of {name} is stopped, as for a promotion: start it if there is none under way"
        # The verdict reports transactions that were written on the peer itself.
        lacking = or_none(lost, own, status)
        if lacking is None or lacking:
            return f"{name} has transactions that this node lacks ({lacking or 'not readable'})"
    return ""


def lost(own: Status, peer: Status) -> str:
    """Transactions of the peer that this node lacks, less those that the peer itself wrote on top of shared ones."""
    here, there = (History.from_dict(status.get("history") or {}) for status in (own, peer))
    return here.lacks(there, not_from=[there.identity] if here.shares(there) else [])


def channel_to(peer: Status, own: Status) -> Mapping[str, Any] | None:
    """The channel by which a peer follows this server; None if there is none."""
    return next((each for each in peer.get("channels", []) if each["source_id"] == own["id"]), None)


@dataclass
class Memory:
    """What a node remembers of its server, also while the service or the machine restarts."""

    # Peers that have followed this server since it last followed another one, and their ids.
    followers: dict[str, str] = field(default_factory=dict)
    # It closed itself because it saw no peer any more.
    isolated: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Memory:
        """From what as_dict returned."""
        return cls(dict(values.get("followers") or {}), bool(values.get("isolated")))

    def as_dict(self) -> dict[str, Any]:
        """The memory as plain values."""
        return {"followers": dict(self.followers), "isolated": self.isolated}


@dataclass(frozen=True)
class Decision:
    """What has to be done now, close or open, and why; empty if nothing."""

    act: str = ""
    reason: str = ""


NOTHING = Decision()


@dataclass
class Watch:
    """Decides, from one observation after the other, whether the server of this node has to close itself or may open.

    Of two servers that take writes, the one that was followed by the other one was there before, and closes. Both nodes
    have seen who followed whom, so both come to the same answer, whatever their clocks say.
    """

    memory: Memory
    # Seconds without sight of any peer after which the server closes itself; 0 for never.
    limit: float = 0
    alone: float = 0.0

    def decide(
        self, own: Status, peers: Mapping[str, Status], attached: Callable[[], bool], elapsed: float
    ) -> Decision:
        """What follows from these statuses.

        attached: whether a replica is connected; asked only where no peer answers. elapsed: seconds since the last
        time.
        """
        if own["role"] == "unreachable":
            return NOTHING
        if own["role"] == "primary":
            return self._open(own, peers, attached, elapsed)
        self.alone = 0.0
        if own["role"] == "replica":
            self.memory.followers.clear()
            self.memory.isolated = False
        elif self.memory.isolated and not objection(own, peers):
            return Decision("open", "every other database node follows this one again")
        return NOTHING

    def _open(self, own: Status, peers: Mapping[str, Status], attached: Callable[[], bool], elapsed: float) -> Decision:
        """For a server that takes writes."""
        self.memory.isolated = False
        # One that is no longer a peer is not waited for.
        followers = {name: found for name, found in self.memory.followers.items() if name in peers}
        successor = next((name for name, status in peers.items() if _succeeds(status, followers.get(name))), "")
        if successor:
            return Decision("close", f"{successor} takes writes and has followed this server before: it was promoted")
        followers.update({name: str(status["id"]) for name, status in peers.items() if channel_to(status, own)})
        self.memory.followers = followers
        if not self.limit or not followers or any(_in_sight(status, own) for status in peers.values()) or attached():
            self.alone = 0.0
            return NOTHING
        self.alone += min(elapsed, LONGEST_GAP)
        if self.alone < self.limit:
            return NOTHING
        # Kept until it is closed: where that fails, it is tried again at once.
        self.memory.isolated = True
        return Decision("close", f"no other database node was seen for {self.limit:g} s, and one may be promoted there")


def _succeeds(peer: Status, follower: str | None) -> bool:
    """Whether a peer that has followed this server is a primary now."""
    return bool(follower) and peer.get("role") == "primary" and bool(peer.get("writable")) and peer["id"] == follower


def _in_sight(peer: Status, own: Status) -> bool:
    """Whether a peer is seen, and cannot be the primary of others: it takes no writes, or its node says it is down."""
    if peer.get("down"):
        return True
    if peer.get("role") in {None, "unreachable"} or peer.get("writable"):
        return False
    elsewhere = any(each["receiver"] == ON and each["source_id"] != own["id"] for each in peer["channels"])
    return channel_to(peer, own) is not None or not elsewhere
