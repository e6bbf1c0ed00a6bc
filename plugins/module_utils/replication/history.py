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
    # By what its own transactions are known: the server_uuid of MySQL, the server_id of MariaDB.
    identity: str
    # MySQL: gtid_executed. MariaDB: gtid_binlog_state.
    executed: str = ""
    # MariaDB: gtid_slave_pos and gtid_current_pos.
    applied: str = ""
    position: str = ""

    @classmethod
    def of(cls, server: Server) -> History:
        """Of a server that was asked for its positions."""
        told = server.snapshot if server.mariadb else {}
        return cls(
            mariadb=server.mariadb,
            identity=identity(server),
            executed=server.executed,
            applied=str(told.get("slave_pos") or ""),
            position=str(told.get("position") or ""),
        )

    @classmethod
    def told(cls, said: Mapping[str, Any]) -> History:
        """As C(as_told) of another node or run has written it."""
        texts = {name: str(said.get(name) or "") for name in ("identity", "executed", "applied", "position")}
        return cls(mariadb=bool(said.get("mariadb")), **texts)

    def as_told(self) -> dict[str, Any]:
        """For another node or a later task."""
        return dict(self.__dict__)

    def __bool__(self) -> bool:
        return bool(self.executed or self.applied)

    def lacks(self, other: History, *, by: Iterable[str] | None = None, but: Iterable[str] = ()) -> str:
        """Transactions of the other server that are not here, in the notation of the engine; empty for none.

        by: only those that these servers have written; but: none that these have. Raises GtidError.
        """
        if self.mariadb != other.mariadb:
            return other.executed or other.applied
        missing: Any
        if not self.mariadb:
            missing = (GtidSet.parse(other.executed) - GtidSet.parse(self.executed)).without_uuids(but)
            return str(missing if by is None else missing.of_uuids(by))
        known = MariadbGtid.parse(f"{self.executed},{self.applied}")
        position = MariadbGtid.parse(f"{self.position},{self.applied}")
        theirs = MariadbGtid.parse(f"{other.executed},{other.applied}")
        missing = theirs.foreign_to(known, position, _number(other.identity)).without_servers(map(_number, but))
        return str(missing if by is None else missing.of_servers(map(_number, by)))

    def shares(self, other: History) -> bool:
        """Whether any transaction is in both; what has no history cannot differ."""
        if not other:
            return True
        if self.mariadb != other.mariadb:
            return False
        if not self.mariadb:
            return bool(GtidSet.parse(self.executed) & GtidSet.parse(other.executed))
        # Numbers alone do not tell transactions apart: who has written them is looked at as well.
        here, there = (MariadbGtid.parse(f"{each.executed},{each.applied}") for each in (self, other))
        return bool(here.servers & there.servers)


def identity(server: Server) -> str:
    """By what followers know a server."""
    return server.uuid or str(server.server_id or "")


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
