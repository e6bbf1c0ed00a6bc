# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server has executed, and what of another server's history it lacks. Pure, for both dialects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from ..mysql.gtid import GtidSet, MariadbGtid
from .model import Server


@dataclass(frozen=True)
class History:
    """All transactions of one server, whoever wrote them."""

    mariadb: bool
    # Names the transactions that it wrote itself: the server_uuid of MySQL, the server_id of MariaDB.
    identity: str
    # MySQL: gtid_executed. MariaDB: gtid_binlog_state.
    executed: str = ""
    # MariaDB: gtid_slave_pos and gtid_current_pos.
    applied: str = ""
    position: str = ""

    @classmethod
    def of(cls, server: Server) -> History:
        """The history of a server whose positions were read."""
        positions = server.snapshot if server.mariadb else {}
        return cls(
            mariadb=server.mariadb,
            identity=identity(server),
            executed=server.executed,
            applied=str(positions.get("slave_pos") or ""),
            position=str(positions.get("position") or ""),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """From what as_dict returned on another node or in an earlier task."""
        texts = {name: str(values.get(name) or "") for name in ("identity", "executed", "applied", "position")}
        return cls(mariadb=bool(values.get("mariadb")), **texts)

    def as_dict(self) -> dict[str, Any]:
        """The history as plain values, for another node or a later task."""
        return dict(self.__dict__)

    def __bool__(self) -> bool:
        return bool(self.executed or self.applied)

    def lacks(self, other: History, *, only_from: Iterable[str] | None = None, not_from: Iterable[str] = ()) -> str:
        """Transactions of the other server that are not here, in the notation of the engine; empty for none.

        only_from: count only what these servers wrote; not_from: leave out what these wrote. Raises GtidError.
        """
        if self.mariadb != other.mariadb:
            return other.executed or other.applied
        missing: Any
        if not self.mariadb:
            missing = (GtidSet.parse(other.executed) - GtidSet.parse(self.executed)).without_uuids(not_from)
            return str(missing if only_from is None else missing.of_uuids(only_from))
        here = MariadbGtid.parse(f"{self.executed},{self.applied}")
        position = MariadbGtid.parse(f"{self.position},{self.applied}")
        theirs = MariadbGtid.parse(f"{other.executed},{other.applied}")
        missing = theirs.foreign_to(here, position, _number(other.identity))
        missing = missing.without_servers(map(_number, not_from))
        return str(missing if only_from is None else missing.of_servers(map(_number, only_from)))

    def shares(self, other: History) -> bool:
        """Whether any transaction is in both; an empty history counts as shared."""
        if not other:
            return True
        if self.mariadb != other.mariadb:
            return False
        if not self.mariadb:
            return bool(GtidSet.parse(self.executed) & GtidSet.parse(other.executed))
        # Two servers may have given the same number to different transactions, so the writers are compared.
        here, there = (MariadbGtid.parse(f"{each.executed},{each.applied}") for each in (self, other))
        return bool(here.servers & there.servers)


def identity(server: Server) -> str:
    """The id by which followers identify a server."""
    return server.uuid or str(server.server_id or "")


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
