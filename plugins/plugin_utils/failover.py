# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides an emergency failover: whether the primary is gone, whether it is fenced, and who replaces it. Pure.

Raises Refused, whose text is one sentence with the way out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..module_utils.replication.history import History
from .primary import Member, Refused, choose, short, source_of

# A dead server and a cut network look alike from one node.
FEWEST_WITNESSES = 2


# --- which one is to be replaced ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """The primary that is to be replaced, its address and identity, and its successor if that was opened already.

    silent: the other servers that do not answer.
    """

    old: str
    address: str = ""
    identity: str = ""
    new: str = ""
    silent: tuple[str, ...] = ()


def find_case(members: Sequence[Member], preferred: Sequence[str], records: Mapping[str, Mapping[str, Any]]) -> Case:
    """The primary that is to be replaced; records are those of a failover that was interrupted. Raises Refused.

    A record is written on the successor before its channel is removed, after which nothing else there tells of the old
    primary. One that was left by a failover of which nothing came does not overrule what the others follow now.
    """
    by_name = {each.name: each for each in members}
    recorded = {node: str(record["old"]) for node, record in records.items() if record.get("old") in by_name}
    opened = next((node for node in recorded if by_name[node].writable and not by_name[node].links), "")
    old = recorded[opened] if opened else _followed(members, preferred, recorded)
    if old not in by_name:
        raise Refused("no database server is or was the primary: run site.yml, which makes one.")
    links = [link for each in members for link in each.links if source_of(link, each, members) is by_name[old]]
    noted = [record for record in records.values() if record.get("old") == old]
    ids = [by_name[old].identity, *(link.source_id for link in links), *(_noted(each, "identity") for each in noted)]
    places = [by_name[old].address, *(link.host for link in links), *(_noted(each, "address") for each in noted)]
    return Case(
        old,
        next(filter(None, places), ""),
        next(filter(None, ids), ""),
        opened,
        tuple(each.name for each in members if not each.answered and each.installed and each.name != old),
    )


def _noted(record: Mapping[str, Any], name: str) -> str:
    return str(record.get(name) or "")


def _followed(members: Sequence[Member], preferred: Sequence[str], recorded: Mapping[str, str]) -> str:
    """The primary as the others follow it; the recorded one where nobody follows it any more."""
    silent = {each.name for each in members if not each.answered}
    successors = [each.handed_over_to for each in members if each.handed_over_to in silent]
    if successors and not any(each.writable for each in members):
        # A switchover may have opened it before it fell silent.
        return successors[0]
    found = choose(members, preferred).primary
    chosen = next((each for each in members if each.name == found), None)
    by_link = any(source_of(link, each, members) is chosen for each in members for link in each.links)
    if by_link or chosen is None:
        return found
    if recorded:
        return next(iter(recorded.values()))
    # A closed server that nobody follows: in a switchover that was interrupted it had left the primary, which is lost.
    lost = len(silent) == 1 and chosen.answered and not chosen.writable
    return next(iter(silent)) if lost else found


def names(confirmed: str) -> list[str]:
    """Servers of mysql_failover_confirmed, which separates them by commas."""
    return [name for name in map(str.strip, confirmed.split(",")) if name]


def _confirming(confirmed: str, *servers: str) -> str:
    """The option that confirms these servers, and still those that are confirmed already."""
    return f"-e mysql_failover_confirmed={','.join(dict.fromkeys([*names(confirmed), *servers]))}"


# --- whether it is gone ---------------------------------------------------------------------------------------------


def gone(
    primary: str, sightings: Mapping[str, Mapping[str, Any]], confirmed: str = "", silent: Sequence[str] = ()
) -> str:
    """What shows that the primary is gone, by the sightings of all nodes that answered. Raises Refused.

    silent: the other database servers that do not answer.
    """
    witnesses = {node: found for node, found in sightings.items() if "alive" in found}
    seeing = {node: found for node, found in witnesses.items() if found["alive"]}
    if seeing:
        raise Refused(_alive(primary, seeing, witnesses, silent))
    if len(witnesses) < FEWEST_WITNESSES and primary not in names(confirmed):
        who = f"only {' and '.join(witnesses)}" if witnesses else "no node"
        raise Refused(
            f"{primary} was not seen, and {who} could be asked, which cannot tell a dead server from a cut network: "
            f"start another node of the stack, or confirm that it is dead by {_confirming(confirmed, primary)}."
        )
    reasons = "; ".join(f"from {node}: {', '.join(found['unseen'])}" for node, found in witnesses.items())
    text = f"{primary} is seen by none of {', '.join(witnesses) or 'the nodes'} ({reasons or 'none answered'})"
    refused = [node for node, found in witnesses.items() if found.get("refused")]
    if not refused or primary in witnesses:
        return text
    return (
        f"{text}; to {' and '.join(refused)} connections are refused, by its machine or by a firewall, so it may be "
        "alive, and only the fence keeps it from taking writes"
    )


def _alive(
    primary: str,
    seeing: Mapping[str, Mapping[str, Any]],
    witnesses: Mapping[str, Mapping[str, Any]],
    silent: Sequence[str],
) -> str:
    """Why there is no failover while somebody sees the primary."""
    by = "; ".join(f"{node}: {', '.join(found['seen'])}" for node, found in seeing.items())
    blind = [node for node in witnesses if node not in seeing]
    if blind:
        return (
            f"{primary} is still seen ({by}), though not by {', '.join(blind)}, so it is not dead and the network is "
            f"cut: repair the network, or stop the database server of {primary} first. Nothing was changed."
        )
    if any(found.get("writable") for found in seeing.values()):
        return (
            f"{primary} is alive and takes writes ({by}): to move the primary, use switchover.yml; to have the web "
            f"nodes accept it after a failover that ended early, rejoin.yml -e mysql_rejoin={primary}. "
            "Nothing was changed."
        )
    dead = "is dead and stays so" if len(silent) == 1 else "are dead and stay so"
    given = f", with -e mysql_failover_confirmed={','.join(silent)} if {' and '.join(silent)} {dead}" if silent else ""
    return (
        f"{primary} is alive and takes no writes ({by}): run site.yml, which opens it if it has all that the others "
        f"have{given}. Nothing was changed."
    )


# --- who does not answer --------------------------------------------------------------------------------------------


def without(old: str, silent: Sequence[str], confirmed: str = "", acknowledging: int = 0) -> str:
    """Which servers a failover goes without, in words; empty if all others answer. Raises Refused.

    acknowledging: replicas that have each commit before it is confirmed; 0 without semi-synchronous replication.
    """
    if not silent:
        return ""
    who = f"{' and '.join(silent)} {'does' if len(silent) == 1 else 'do'} not answer"
    # As many as acknowledge a commit may be the only ones that have it.
    if acknowledging and len(silent) >= acknowledging and set(silent) - set(names(confirmed)):
        dead = "it is dead and stays so" if len(silent) == 1 else "they are dead and stay so"
        raise Refused(
            f"{who}, and what {old} has confirmed last may be there alone (webstack_semi_sync_replicas = "
            f"{acknowledging}): start what does not answer, or, if {dead}, go on without by "
            f"{_confirming(confirmed, *silent)}. Nothing was changed."
        )
    return f"{who}, and what was received there alone will be missing"


# --- whether it is fenced -------------------------------------------------------------------------------------------


def fence(
    primary: str,
    stopped: bool,
    refusing: Mapping[str, bool],
    confirmed: str = "",
) -> str:
    """What keeps the old primary from taking writes, in words; by web node, whether it refuses it. Raises Refused."""
    if stopped:
        return "its server is stopped, and kept from starting until rejoin.yml lets it"
    open_to = [node for node, refuses in refusing.items() if not refuses]
    if refusing and not open_to:
        return f"every web node ({', '.join(refusing)}) refuses it until rejoin.yml puts it back"
    if primary in names(confirmed):
        return f"mysql_failover_confirmed = {confirmed}: the operator says that {primary} takes no writes"
    where = f", and {', '.join(open_to)} could not be told to refuse it" if open_to else ""
    raise Refused(
        f"{primary} cannot be fenced: its node does not answer{where}, so it may take writes again; start what does "
        f"not answer, or make sure that {primary} is switched off and say so by {_confirming(confirmed, primary)}."
    )


# --- who replaces it ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A server that could replace the primary, after it has applied what it had received."""

    name: str
    history: History
    # With what it has received and could not apply.
    received: History
    error: str = ""
    # One that follows nobody may have been made the primary, and acknowledged what it wrote.
    follows: bool = True
    # What the last reading of the primary had; empty if none was kept.
    source: History = field(default_factory=lambda: History(False, ""))


@dataclass(frozen=True)
class Successor:
    """The new primary; what it lacks of what the others have, by their names."""

    name: str
    left_out: Mapping[str, str] = field(default_factory=dict)


def candidate(name: str, found: Mapping[str, Any], planned: bool = False) -> Candidate | None:
    """A server by what C(mysql_replica_settle) returned of it; None if it did not answer.

    planned: take what is received for applied, as it will be.
    """
    if not found.get("history"):
        return None
    history, received = (History.from_dict(found[key]) for key in ("history", "received"))
    source = History.from_dict(found.get("source") or {})
    error, follows = str(found.get("error") or ""), bool(found.get("channels", True))
    return Candidate(name, received if planned else history, received, error, follows, source)


def choose_successor(old: str, candidates: Sequence[Candidate], wanted: str = "") -> Successor:
    """The server that has all that the others have; the first of several, or the wanted one. Raises Refused."""
    named = {each.name: each for each in candidates}
    if wanted == old:
        raise Refused(f"mysql_new_primary = {wanted} is the server that is gone: name another one, or none.")
    if wanted and wanted not in named:
        others = ", ".join(named) or "none"
        raise Refused(
            f"mysql_new_primary = {wanted} does not answer as a database server of this stack: start it, or name one "
            f"that answers ({others}), or none."
        )
    left_out = {each.name: reason for each in candidates if (reason := unfit(each, candidates, wanted))}
    fit = [each for each in candidates if each.name not in left_out]
    if wanted in left_out:
        raise Refused(f"mysql_new_primary = {wanted} cannot be the primary: {left_out[wanted]}")
    if not fit:
        reasons = " ".join(left_out.values()) or "no other database server answers: start one."
        raise Refused(f"no server can replace {old}: {reasons}")
    chosen = named[wanted] if wanted else _most_advanced(fit)
    _refuse_losing(chosen, candidates, left_out, wanted)
    return Successor(chosen.name, left_out)


def unfit(each: Candidate, candidates: Sequence[Candidate], wanted: str = "") -> str:
    """Why a server must not become the primary, with the way out; empty if it may."""
    if each.error:
        return f"{each.name} cannot apply what it has received ({each.error}): repair that and run this again."
    own = errant(each, candidates)
    if own and wanted != each.name:
        return (
            f"{each.name} has transactions of its own, which its primary never had ({short(own)}): look at them, and "
            f"make them a part of the data by -e mysql_new_primary={each.name}, or choose another server."
        )
    return ""


def errant(each: Candidate, candidates: Iterable[Candidate]) -> str:
    """Transactions that a replica wrote itself, by the last reading of its primary and by its fellow replicas."""
    known = bool(each.source.identity)
    witnesses = [other.history for other in candidates if other is not each] + ([each.source] if known else [])
    # A server of MariaDB that was copied does not show who wrote what it was copied with.
    if not witnesses or each.history.mariadb and not known:
        return ""
    texts = {name: ",".join(getattr(one, name) for one in witnesses) for name in ("executed", "applied", "position")}
    # What any of them has came from a time in which this server was the primary.
    return History(each.history.mariadb, "", **texts).lacks(each.history, only_from=[each.history.identity])


def _most_advanced(fit: Sequence[Candidate]) -> Candidate:
    """The first that lacks nothing of what the others have."""
    for each in fit:
        if not any(each.history.lacks(other.history) for other in fit):
            return each
    pairs = [(one, other) for one in fit for other in fit if one is not other and one.history.lacks(other.history)]
    lacking = "; ".join(
        f"{one.name} lacks {short(one.history.lacks(other.history))} of {other.name}" for one, other in pairs
    )
    raise Refused(
        f"none of {', '.join(each.name for each in fit)} has all that the others have ({lacking}): compare them, "
        "stop the database server on the one whose transactions may be given up, and run this again; rejoin.yml saves "
        "them to a file."
    )


def _refuse_losing(
    chosen: Candidate, candidates: Iterable[Candidate], left_out: Mapping[str, str], wanted: str
) -> None:
    """Refuse a server that lacks what another one has, or has received."""
    for other in candidates:
        # What a replica wrote itself is not a part of the data.
        own = [other.history.identity] if other.name in left_out and other.follows else []
        lost = "" if other is chosen else chosen.history.lacks(other.received, not_from=own)
        if lost and other.name not in left_out:
            raise Refused(
                f"mysql_new_primary = {chosen.name} lacks transactions that {other.name} has ({short(lost)}): name "
                f"{other.name}, or none."
            )
        if lost and not wanted:
            raise Refused(
                f"{chosen.name} lacks transactions that {other.name} has received ({short(lost)}), and "
                f"{left_out[other.name]} Or go without them by -e mysql_new_primary={chosen.name}."
            )


# --- what may be missing --------------------------------------------------------------------------------------------


def possibly_missing(old: str, identity: str, new: History, source: History | None = None) -> str:
    """Which transactions of the old primary may be missing on the new one, as exactly as the new one can tell."""
    known = new.lacks(source, only_from=[identity]) if source and source.identity == identity else ""
    reached = last_of(identity, new)
    text = f"everything that {old} committed after {reached}" if reached else f"everything that {old} committed"
    return f"{text}; at the last reading of {old} these were missing: {short(known)}" if known else text


def last_of(identity: str, history: History) -> str:
    """What a server has of the transactions that another one wrote; empty for none."""
    return replace(history, executed="", applied="", position="").lacks(history, only_from=[identity])


# --- what is told at the end ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run did, or would do in check mode."""

    old: str
    new: str
    planned: bool = False
    gone: str = ""
    fence: str = ""
    applied: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    followers: Sequence[str] = ()
    objections: Mapping[str, str] = field(default_factory=dict)
    silent: Sequence[str] = ()
    # Events that the new primary does not run, because it was a replica.
    waiting: Sequence[str] = ()
    # What the binary logs of the old primary show, if they could be read; otherwise the bounds, in words.
    lost: Mapping[str, Any] = field(default_factory=dict)
    bounds: str = ""


def report(done: Outcome) -> list[str]:
    """What happened in its order, what may be missing, and what to do next."""
    would = "would be" if done.planned else "is"
    lines = [f"{done.gone}."] if done.gone else []
    if done.fence:
        lines.append(f"{done.old} is fenced: {done.fence}.")
    lines += [
        f"{node} had received {count} transactions that it applied now."
        for node, count in done.applied.items()
        if count
    ]
    lines += [f"{node} was passed over: {reason}" for node, reason in done.left_out.items()]
    lines.append(f"{done.new} {would} the primary and {'takes' if not done.planned else 'would take'} writes.")
    if done.followers:
        one = "follows" if len(done.followers) == 1 else "follow"
        lines.append(f"{' and '.join(done.followers)} {'would follow' if done.planned else one} {done.new}.")
    lines += list(done.objections.values())
    lines += [
        f"{name} does not answer and was left out: when it is back, run site.yml, which has it follow {done.new} or "
        "says what it has alone."
        for name in done.silent
    ]
    if done.waiting:
        lines.append(
            f"Scheduled events wait on {done.new} ({', '.join(done.waiting)}): rejoin.yml and site.yml enable those "
            f"that {done.old} ran, once it answers; if it stays away, run ALTER EVENT ... ENABLE on {done.new} for "
            "those that are wanted."
        )
    lines.append(missing(done))
    lines.append(f"When the node of {done.old} is back, run rejoin.yml with -e mysql_rejoin={done.old}.")
    return lines


def missing(done: Outcome) -> str:
    """Which transactions of the old primary the new one lacks."""
    if "count" not in done.lost:
        return (
            f"Possibly missing on {done.new}: {done.bounds}. The binary logs of {done.old}, which have what is "
            "missing, cannot be read now."
        )
    more = "".join(f" {text}" for text in unread(done.lost))
    if not done.lost["count"]:
        return f"Nothing is missing: {done.old} has nothing in its binary logs that {done.new} lacks.{more}"
    listed = short(", ".join(map(str, done.lost["transactions"])))
    return (
        f"Missing on {done.new}: {done.lost['count']} transactions of {done.old} ({listed}), whose rows are in "
        f"{done.lost['file']} there, and in the state directory.{more}"
    )


def unread(lost: Mapping[str, Any]) -> Iterable[str]:
    """What of the binary logs could not be read."""
    if lost.get("purged"):
        yield f"No longer in its binary logs: {short(lost['purged'])}."
    if lost.get("torn"):
        yield f"The last of them ends in the middle ({lost['torn']})."
