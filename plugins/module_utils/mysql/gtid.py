# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GTID arithmetic for both dialects.

MySQL has sets of intervals per (server uuid, tag); MariaDB has one sequence number per
(replication domain, server id). Pure functions on immutable values, no connection.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable, Iterator, Mapping, Tuple

Interval = Tuple[int, int]
_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
_INTERVAL = re.compile(r"^(\d+)(?:-(\d+))?$")
_TAG = re.compile(r"^[a-z_][a-z0-9_]{0,31}$")
_MARIADB = re.compile(r"^(\d+)-(\d+)-(\d+)$")


class GtidError(ValueError):
    """The text is not a GTID set of the expected dialect."""


def _normalize(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def _cut(whole: Iterable[Interval], holes: Iterable[Interval]) -> Iterator[Interval]:
    """What of the sorted intervals in whole lies outside the sorted intervals in holes; each is read once."""
    gaps = iter(holes)
    gap = next(gaps, None)
    for start, last in whole:
        while gap is not None and gap[0] <= last:
            low, high = gap
            if low > start:
                yield (start, low - 1)
            start = max(start, high + 1)
            if high > last:
                # It may reach into the next interval, too.
                break
            gap = next(gaps, None)
        if start <= last:
            yield (start, last)


class GtidSet:
    """A MySQL GTID set, tags (8.3 and later) included."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[tuple[str, str], Iterable[Interval]] = ()) -> None:  # type: ignore[assignment]
        normal = {key: _normalize(value) for key, value in dict(members).items()}
        self._members: dict[tuple[str, str], tuple[Interval, ...]] = {k: v for k, v in normal.items() if v}

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """The set as MySQL writes it; white space and case do not matter."""
        members: dict[tuple[str, str], list[Interval]] = {}
        for part in re.sub(r"\s+", "", text).lower().split(","):
            if not part:
                continue
            uuid, *tokens = part.split(":")
            if not _UUID.match(uuid):
                raise GtidError(f"{uuid!r} is not a server UUID, so {text!r} is not a MySQL GTID set")
            if not tokens:
                raise GtidError(f"{part!r} names no interval, so {text!r} is not a MySQL GTID set")
            tag = ""
            for token in tokens:
                interval = _INTERVAL.match(token)
                if interval:
                    start, end = int(interval.group(1)), int(interval.group(2) or interval.group(1))
                    if start < 1:
                        raise GtidError(f"{token!r} is not an interval of transaction numbers (they start at 1)")
                    # The server reads an interval that runs backwards as empty.
                    if start <= end:
                        members.setdefault((uuid, tag), []).append((start, end))
                elif _TAG.match(token):
                    tag = token
                else:
                    raise GtidError(f"{token!r} is neither an interval nor a tag in the GTID set {text!r}")
        return cls(members)

    def __str__(self) -> str:
        texts = []
        for uuid in sorted({uuid for uuid, _tag in self._members}):
            text = uuid
            for key in sorted(k for k in self._members if k[0] == uuid):
                if key[1]:
                    text += ":" + key[1]
                text += "".join(f":{a}" if a == b else f":{a}-{b}" for a, b in self._members[key])
            texts.append(text)
        return ",".join(texts)

    def __repr__(self) -> str:
        return f"GtidSet({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self._members == other._members

    def __hash__(self) -> int:
        return hash(frozenset(self._members.items()))

    def __bool__(self) -> bool:
        return bool(self._members)

    def __or__(self, other: GtidSet) -> GtidSet:
        keys = set(self._members) | set(other._members)
        return GtidSet({k: self._members.get(k, ()) + other._members.get(k, ()) for k in keys})

    def __sub__(self, other: GtidSet) -> GtidSet:
        return GtidSet({k: _cut(v, other._members.get(k, ())) for k, v in self._members.items()})

    def __and__(self, other: GtidSet) -> GtidSet:
        return self - (self - other)

    def __le__(self, other: GtidSet) -> bool:
        return not self - other

    @property
    def count(self) -> int:
        """How many transactions are in the set."""
        return sum(end - start + 1 for intervals in self._members.values() for start, end in intervals)

    def without_uuids(self, uuids: Iterable[str]) -> GtidSet:
        """What these servers did not write."""
        dropped = {uuid.lower() for uuid in uuids}
        return GtidSet({k: v for k, v in self._members.items() if k[0] not in dropped})

    def of_uuids(self, uuids: Iterable[str]) -> GtidSet:
        """What these servers wrote."""
        wanted = {uuid.lower() for uuid in uuids}
        return GtidSet({k: v for k, v in self._members.items() if k[0] in wanted})


class MariadbGtid:
    """A MariaDB GTID list: the last sequence number per (domain, server id)."""

    __slots__ = ("_last",)

    def __init__(self, last: Mapping[tuple[int, int], int] = ()) -> None:  # type: ignore[assignment]
        self._last: dict[tuple[int, int], int] = dict(last)

    @classmethod
    def parse(cls, text: str) -> MariadbGtid:
        """The list as MariaDB writes it; of one domain and server the newest counts."""
        last: dict[tuple[int, int], int] = {}
        for part in re.sub(r"\s+", "", text).split(","):
            if not part:
                continue
            match = _MARIADB.match(part)
            if not match:
                raise GtidError(f"{part!r} is not domain-server-sequence, so {text!r} is not a MariaDB GTID list")
            domain, server, sequence = (int(n) for n in match.groups())
            last[(domain, server)] = max(sequence, last.get((domain, server), 0))
        return cls(last)

    def __str__(self) -> str:
        return ",".join(f"{d}-{s}-{n}" for (d, s), n in sorted(self._last.items()))

    def __repr__(self) -> str:
        return f"MariadbGtid({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MariadbGtid) and self._last == other._last

    def __hash__(self) -> int:
        return hash(frozenset(self._last.items()))

    def __bool__(self) -> bool:
        return bool(self._last)

    @property
    def count(self) -> int:
        """The number of (domain, server id) pairs; how many transactions are behind each is not known."""
        return len(self._last)

    @property
    def domains(self) -> dict[int, int]:
        """The highest sequence number of each domain."""
        highest: dict[int, int] = {}
        for (domain, _server), sequence in self._last.items():
            highest[domain] = max(sequence, highest.get(domain, 0))
        return highest

    @property
    def servers(self) -> set[tuple[int, int]]:
        """The (domain, server id) pairs."""
        return set(self._last)

    def without_servers(self, server_ids: Iterable[int]) -> MariadbGtid:
        """What these servers did not write."""
        dropped = set(server_ids)
        return MariadbGtid({k: v for k, v in self._last.items() if k[1] not in dropped})

    def of_servers(self, server_ids: Iterable[int]) -> MariadbGtid:
        """What these servers wrote."""
        wanted = set(server_ids)
        return MariadbGtid({k: v for k, v in self._last.items() if k[1] in wanted})

    def behind(self, target: MariadbGtid) -> dict[int, int]:
        """Domains in which this position has not reached target, with the number of transactions missing."""
        here = self.domains
        gaps = {domain: sequence - here.get(domain, 0) for domain, sequence in target.domains.items()}
        return {domain: gap for domain, gap in gaps.items() if gap > 0}

    def without(self, unwanted: Callable[[int, int], bool]) -> MariadbGtid:
        """Leaves out the entries of which unwanted(domain, server id) is true."""
        return MariadbGtid({key: sequence for key, sequence in self._last.items() if not unwanted(*key)})

    def foreign_to(self, binlog_state: MariadbGtid, position: MariadbGtid, own_server_id: int) -> MariadbGtid:
        """Entries of this (local) binary log state that a primary cannot have written or replicated.

        A server restored from a backup has the transactions before it only in its position, not per server id.
        An older entry of a third server therefore counts as replicated; one of this very server does not.
        """
        executed = dict(binlog_state._last)
        for key, sequence in position._last.items():
            executed[key] = max(sequence, executed.get(key, 0))
        reached = {**position.domains}
        for domain, sequence in binlog_state.domains.items():
            reached[domain] = max(sequence, reached.get(domain, 0))
        foreign = {}
        for (domain, server), sequence in self._last.items():
            limit = executed.get((domain, server))
            if limit is None:
                limit = 0 if server == own_server_id else reached.get(domain, 0)
            if sequence > limit:
                foreign[(domain, server)] = sequence
        return MariadbGtid(foreign)


def parse(text: str, flavor: str) -> GtidSet | MariadbGtid:
    """Transactions as a server of this flavor writes them."""
    return MariadbGtid.parse(text) if flavor == "mariadb" else GtidSet.parse(text)


def or_none(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function; None where it meets a GTID that cannot be read."""
    try:
        return function(*arguments)
    except GtidError:
        return None
