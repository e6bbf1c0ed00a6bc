# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the primary among the database servers by what each returned, or says why it cannot. Pure.

A server that takes writes is the primary; if none does, the one that the others follow. The inventory decides only for
servers of which none has had a role yet. A server that is opened must have all that the others have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils.replication.history import History

BY_HAND = "docs/failover.md, 'By hand'"
LONGEST_SET = 200


@dataclass(frozen=True)
class Link:
    """A channel: the address of its source, the identity that was recorded of it, the state of the receiver."""

    host: str
    source_id: str = ""
    receiver: str = "on"


@dataclass(frozen=True)
class Member:
    """One server, as it was observed."""

    name: str
    address: str = ""
    # An engine that is not installed yet has no role and no data; one that does not answer may have both.
    answered: bool = True
    installed: bool = True
    writable: bool = False
    links: tuple[Link, ...] = ()
    history: History = field(default_factory=lambda: History(False, ""))
    schemas: tuple[str, ...] = ()
    # This collection made it the primary, and nothing has demoted it since.
    primary_marker: bool = False
    # A switchover to the server of this name was begun on it, and has not been completed.
    handed_over_to: str = ""
    # Events, each by database and name: those that it runs, and those that it does not because it was a replica.
    runs: frozenset[tuple[str, str]] = frozenset()
    waiting: frozenset[tuple[str, str]] = frozenset()
    # Its data may be overwritten, by a variable that names it.
    given_up: bool = False

    @property
    def identity(self) -> str:
        """The id by which its followers identify it."""
        return self.history.identity

    @property
    def holds(self) -> bool:
        """Whether it has data that must not be lost."""
        return bool(self.schemas) and not self.given_up

    @property
    def fence(self) -> str:
        """The statement after which it takes no writes."""
        return f"SET GLOBAL {'' if self.history.mariadb else 'super_'}read_only = ON"

    @property
    def stop_following(self) -> str:
        """The statements after which it follows nobody."""
        words = (
            ("STOP ALL SLAVES", "RESET SLAVE ALL") if self.history.mariadb else ("STOP REPLICA", "RESET REPLICA ALL")
        )
        return "; ".join(words)

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.address else self.name


@dataclass(frozen=True)
class Choice:
    """The primary; servers that did not answer; why a replica of another server must not be pointed at the primary.

    events: those that the primary has to run from now on.
    """

    primary: str
    silent: tuple[str, ...] = ()
    objections: Mapping[str, str] = field(default_factory=dict)
    events: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """The primary cannot be determined or must not be opened; the text is one sentence with the remedy."""


def member(
    name: str, found: Mapping[str, Any] | None, *, address: str = "", installed: bool = True, given_up: bool = False
) -> Member:
    """A server by what the module C(mysql_replication_info) returned of it."""
    found = found or {}
    if not found.get("history"):
        return Member(name, address, answered=False, installed=installed, given_up=given_up)
    return Member(
        name,
        address or str((found.get("engine") or {}).get("report_host") or ""),
        writable=bool(found["role"]["writable"]),
        links=tuple(
            Link(str(each["source"]["host"]), str(each["source"]["id"] or ""), str(each["receiver"]["state"]))
            for each in found["channels"]
        ),
        history=History.from_dict(found["history"]),
        schemas=tuple(found["schemas"]),
        primary_marker=bool(found["primary_marker"]),
        handed_over_to=str(found.get("handed_over_to") or ""),
        runs=_event_names(found, "enabled"),
        waiting=_event_names(found, "waiting"),
        given_up=given_up,
    )


def _event_names(found: Mapping[str, Any], kind: str) -> frozenset[tuple[str, str]]:
    return frozenset((each["schema"], each["name"]) for each in (found.get("events") or {}).get(kind, []))


def choose(members: Sequence[Member], preferred: Sequence[str]) -> Choice:
    """The primary of these servers; preferred are those that the inventory names for it. Raises Refused."""
    live = [each for each in members if each.answered]
    silent = tuple(each.name for each in members if not each.answered and each.installed)
    primary = _writer(live, members) or _closed(live, members, preferred)
    if primary is None:
        return Choice(preferred[0] if preferred else "", silent)
    return Choice(primary.name, silent, dict(_objections(primary, live, members)), _events(primary, live))


def _events(primary: Member, live: Iterable[Member]) -> tuple[tuple[str, str], ...]:
    """What the former primary ran until another one took its place, and nobody runs since.

    Every other event of a replica waits, too, whether the primary runs it or not.
    """
    run = [each for other in live if other is not primary for each in other.runs]
    return tuple(sorted(primary.waiting & set(run)))


def source_of(link: Link, follower: Member, members: Iterable[Member]) -> Member | None:
    """The server that a channel leads to: the one with the recorded identity, else the one at its address."""
    others = [each for each in members if each is not follower]
    named = next((each for each in others if link.source_id and each.identity == link.source_id), None)
    return named or next((each for each in others if each.address and _same_address(each.address, link.host)), None)


def _same_address(one: str, other: str) -> bool:
    """Whether two texts are the same address, which IPv6 can spell in several ways."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other


def _link_to(source: Member, follower: Member, members: Iterable[Member]) -> Link | None:
    return next((link for link in follower.links if source_of(link, follower, members) is source), None)


def _named(items: Iterable[Any]) -> str:
    return " and ".join(map(str, items))


# --- with a server that takes writes --------------------------------------------------------------------------------


def _writer(live: Sequence[Member], members: Sequence[Member]) -> Member | None:
    """The one server that takes writes; None if there is none."""
    writers = [each for each in live if each.writable]
    free = [each for each in writers if not each.links]
    if len(free) == 1:
        # A replica that runs and takes writes is still a replica; the verdict says what is wrong with it.
        writers = [each for each in writers if each is free[0] or not _follows(each, free[0], members)]
    if len(writers) > 1:
        raise Refused(
            f"{_named(each.name for each in writers)} both take writes: decide which one is the primary, and run "
            f"'{writers[-1].fence}' on the other before anything else."
        )
    if not writers:
        return None
    if not free:
        one = writers[0]
        raise Refused(
            f"{one.name} takes writes and has a channel to {_named(link.host for link in one.links)}: if it was "
            f"promoted, run '{one.stop_following}' on it; if it is a replica, '{one.fence}'."
        )
    for other in live:
        if other is not free[0]:
            _refuse_stranger(free[0], other, members)
    return free[0]


def _follows(follower: Member, source: Member, members: Sequence[Member]) -> bool:
    """Whether it has a channel to the source that was not stopped."""
    link = _link_to(source, follower, members)
    return link is not None and link.receiver != "off"


def _refuse_stranger(primary: Member, other: Member, members: Sequence[Member]) -> None:
    """Refuse a writable server that lacks what its followers have: another server was in its place before."""
    if other.given_up:
        return
    link = _link_to(primary, other, members)
    if other.holds and not primary.schemas:
        raise Refused(f"{primary.name} takes writes and holds no database, {_keep(other, primary)}")
    if link is None:
        _refuse_unknown(primary, other, members)
        return
    _refuse_identity(primary, other, link)
    if not primary.history.shares(other.history):
        raise Refused(f"{primary.name} takes writes and has no transaction of {other.name}, {_keep(other, primary)}")
    # While the receiver runs, the follower may have been read a moment later than its source.
    lost = primary.history.lacks(other.history, only_from=[primary.identity])
    if lost and link.receiver != "on":
        raise Refused(
            f"{primary.name} takes writes and lacks transactions of its own ({short(lost)}), {_keep(other, primary)}"
        )


def _refuse_unknown(primary: Member, other: Member, members: Sequence[Member]) -> None:
    """Refuse a writable server that has nothing in common with the others, unless it was their primary."""
    followed = any(_link_to(primary, each, members) for each in members if each is not primary)
    if other.holds and not (primary.primary_marker or followed or primary.history.shares(other.history)):
        raise Refused(
            f"{primary.name} takes writes, {other.name} holds data ({', '.join(other.schemas)}), and they have no "
            f"transaction in common: decide which one is the primary, and empty the other one or take it out of the "
            f"group mysql. Until that is decided, run '{primary.fence}' on {primary.name} unless it is the primary."
        )


# --- with none ------------------------------------------------------------------------------------------------------


def _closed(live: Sequence[Member], members: Sequence[Member], preferred: Sequence[str]) -> Member | None:
    """The server to open where none takes writes; it need not answer if the others follow it."""
    followers = [each for each in live if each.links]
    if not followers:
        return _without_channels(live, members, preferred)
    sources = [source_of(link, each, members) for each in followers for link in each.links]
    roots = list(dict.fromkeys(each for each in sources if each is not None and each not in followers))
    channels = "; ".join(f"{each.name} follows {link.host}" for each in followers for link in each.links)
    if not roots:
        raise Refused(
            f"no database host is the primary ({channels}): start the server that is followed, or choose another "
            f"({BY_HAND})."
        )
    if len(roots) > 1:
        raise Refused(
            f"{_named(each.name for each in roots)} are followed and neither takes writes ({channels}): open the one "
            f"that is the primary ({BY_HAND})."
        )
    return _first_fit([roots[0], *_successor(roots[0], live)], live, members)


def _without_channels(live: Sequence[Member], members: Sequence[Member], preferred: Sequence[str]) -> Member | None:
    """The server to open where none follows another one."""
    candidate = next((each for each in members if each.name in preferred), None)
    with_marker = [each for each in live if each.primary_marker]
    # In the middle of a switchover nobody has the marker.
    handing_over = [each for each in live if each.handed_over_to and not with_marker]
    if candidate is None or not (with_marker or handing_over or any(each.holds for each in live)):
        return candidate
    candidates = with_marker or [node for each in handing_over for node in (each, *_successor(each, live))]
    ordered = sorted(candidates, key=lambda each: each is not candidate) if with_marker else candidates
    return _first_fit(ordered or [candidate], live, members)


def _successor(server: Member, members: Iterable[Member]) -> list[Member]:
    """The server that a switchover was to make the primary; it may have been opened, and closed since."""
    return [each for each in members if each.name == server.handed_over_to]


def _first_fit(candidates: Iterable[Member], live: Sequence[Member], members: Sequence[Member]) -> Member:
    """The first that may be opened or does not answer. Raises what stands against the first one if there is none."""
    refusals = []
    for each in candidates:
        try:
            if each.answered:
                _refuse_opening(each, live, members)
            return each
        except Refused as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _refuse_opening(candidate: Member, live: Iterable[Member], members: Sequence[Member]) -> None:
    """Refuse to open a server that lacks what others have, or that is not the one that its followers followed."""
    _refuse_handed_over(candidate, members)
    for other in live:
        if other is candidate or other.given_up:
            continue
        link = _link_to(candidate, other, members)
        if link is None and not (other.schemas or other.primary_marker):
            # What a server without data has executed is not needed.
            continue
        if link is not None:
            _refuse_identity(candidate, other, link)
        if other.holds and not candidate.schemas:
            raise Refused(f"{candidate} holds no database, {_keep(other, candidate)}")
        # Local writes on a replica are for the verdict, and no reason to leave the site without a primary.
        local = [other.identity] if link is not None and candidate.history.shares(other.history) else []
        lost = candidate.history.lacks(other.history, not_from=local)
        if lost:
            raise Refused(f"{candidate} lacks transactions ({short(lost)}), {_either(candidate, other)}")


def _either(candidate: Member, other: Member) -> str:
    """The end of a refusal where the candidate may be the primary by right, and the other one an old primary."""
    if not candidate.primary_marker or other.primary_marker or other.links:
        return _keep(other, candidate)
    return (
        f"and {other.name} has them and follows nobody: if {candidate.name} replaced it, save what is wanted of them "
        f"and give up the data of {other.name} by site.yml with -e mysql_replica_rebuild={other.name}; if {other.name} "
        f"was promoted by hand, make it the primary ({BY_HAND}). Nothing was changed on either."
    )


def _refuse_handed_over(candidate: Member, members: Iterable[Member]) -> None:
    """Refuse to open a server that was about to hand over to one of which nobody knows whether it takes writes."""
    name = candidate.handed_over_to
    if not name:
        return
    successor = next(iter(_successor(candidate, members)), None)
    if successor is None:
        raise Refused(
            f"{candidate} was closed to hand over to {name}, which is not in the group mysql and may take writes: put "
            f"{name} back into the inventory, or, if it is gone for good, delete the file that "
            f"webstack_mysql_handover_marker names on {candidate.name}."
        )
    if not successor.answered:
        raise Refused(
            f"{candidate} was closed to hand over to {name}, which does not answer and may take writes: start the "
            f"database server of {name} and repeat this, or, if it is lost, run failover.yml."
        )


def _refuse_identity(source: Member, follower: Member, link: Link) -> None:
    if link.source_id and link.source_id != source.identity:
        kind = "server_id" if source.history.mariadb else "server_uuid"
        raise Refused(
            f"{source} has the {kind} {source.identity}, and {follower.name} has followed {link.source_id} there: it "
            f"is not the same server, {_keep(follower, source)}"
        )


def _keep(holder: Member, other: Member) -> str:
    """The end of a refusal: which server has the data, and what to do."""
    what = f" ({', '.join(holder.schemas)})" if holder.schemas else ""
    return (
        f"and {holder.name} has the data{what}: keep {holder.name} as it is, and make it the primary ({BY_HAND}); "
        f"{other.name} can then follow it. Nothing was changed on either."
    )


def _objections(primary: Member, live: Iterable[Member], members: Collection[Member]) -> Iterable[tuple[str, str]]:
    """Why a replica that follows another server must not be pointed at the primary."""
    for each in live:
        if each is primary or each.given_up or not each.links or _link_to(primary, each, list(members)) is not None:
            continue
        extra = primary.history.lacks(each.history, not_from=[primary.identity] if primary.writable else [])
        if primary.answered and extra:
            sources = _named(link.host for link in each.links)
            text = (
                f"{each.name} follows {sources} and has transactions that the primary {primary.name} lacks "
                f"({short(extra)}): it was left as it is: run rejoin.yml with "
                f"-e mysql_rejoin={each.name}, which lists and saves them."
            )
            yield each.name, text


def short(transactions: str) -> str:
    """A set of transactions as messages show it."""
    return transactions if len(transactions) <= LONGEST_SET else f"{transactions[:LONGEST_SET]}..."
