# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing entries while replicas lag and the primary moves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pymysql

from . import db
from .entries import Draft, Entry
from .positions import PRIMARY, carried, shortened

WAIT_SECONDS = 0.3
WRITE_SECONDS = 3.0
PAUSE_SECONDS = 0.1

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """No database server could do it; nothing was written."""


class OutcomeUnknown(Unavailable):
    """The connection broke between COMMIT and its answer: the entry may be there or not."""


class _NotWritten(Exception):
    """The writer is elsewhere and surely wrote nothing: asking again duplicates nothing."""


@dataclass(frozen=True)
class Reading:
    """Entries, and which server they came from."""

    database: str
    role: str
    entries: list[Entry]
    note: str = ""


@dataclass(frozen=True)
class Written:
    """A committed entry, the server that took it and the position a later read has to see."""

    id: int
    database: str | None
    position: str


class Guestbook:
    """The entries behind a read-write and, where there is one, a read-only endpoint."""

    def __init__(
        self,
        primary: db.Endpoint,
        replica: db.Endpoint | None,
        node: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._node = node
        self._clock = clock
        self._sleep = sleep

    def newest(self, limit: int, after: str | None = None) -> Reading:
        """The newest entries, from a replica unless it has not yet reached `after`."""
        reading, note = self._from_replica(limit, after)
        if reading:
            return reading
        try:
            return replace(self._primary.run(lambda cursor: _select(cursor, limit, *db.identity(cursor))), note=note)
        except pymysql.MySQLError as error:
            log.warning("reading failed on the read-write path as well: %s", error)
            raise Unavailable from error

    def _from_replica(self, limit: int, after: str | None) -> tuple[Reading | None, str]:
        if self._replica is None:
            return None, "There is no read-only endpoint."
        if after == PRIMARY:
            return None, "Read from the primary, because your message is new."
        try:
            reading = self._replica.run(lambda cursor: _select_unless_behind(cursor, limit, after))
        except pymysql.MySQLError as error:
            log.warning("the read-only path failed, reading from the primary: %s", error)
            return None, "No replica answered, so the primary did."
        return reading, "The replica did not have your message yet, so the primary answered."

    def add(self, draft: Draft) -> Written:
        """Write an entry once, looking for the writer for a while when it has just moved."""
        deadline = self._clock() + WRITE_SECONDS
        while True:
            try:
                return self._insert(draft)
            except _NotWritten as error:
                if self._clock() >= deadline:
                    log.warning("no writable database within %g s: %s", WRITE_SECONDS, error.__cause__)
                    raise Unavailable from error
            self._sleep(PAUSE_SECONDS)

    def _insert(self, draft: Draft) -> Written:
        committing = False
        try:
            with self._primary.connection() as connection, connection.cursor() as cursor:
                connection.begin()
                cursor.execute(
                    "INSERT INTO entries (name, message, created_at, node) VALUES (%s, %s, UTC_TIMESTAMP(6), %s)",
                    (draft.name, draft.message, self._node),
                )
                number = cursor.lastrowid
                committing = True
                connection.commit()
        except pymysql.MySQLError as error:
            # Without COMMIT the server rolls back whatever became of the connection.
            if db.code(error) in (db.REFUSED if committing else db.MOVED):
                raise _NotWritten from error
            log.warning("writing failed %s: %s", "at COMMIT" if committing else "before COMMIT", error)
            raise (OutcomeUnknown if committing else Unavailable) from error
        return self._written(number)

    def _written(self, number: int) -> Written:
        try:
            with self._primary.connection() as connection, connection.cursor() as cursor:
                database, position = _position(cursor, db.is_mariadb(connection))
        except pymysql.MySQLError as error:
            log.warning("entry %d is saved, but its position is not known: %s", number, error)
            return Written(number, None, PRIMARY)
        return Written(number, database, position)


def _select(cursor: Any, limit: int, database: str, role: str) -> Reading:
    cursor.execute("SELECT id, name, message, created_at, node FROM entries ORDER BY id DESC LIMIT %s", (limit,))
    return Reading(database, role, [Entry(*row) for row in cursor.fetchall()])


def _select_unless_behind(cursor: Any, limit: int, after: str | None) -> Reading | None:
    database, role = db.identity(cursor)
    # A primary has its own writes, and MariaDB's wait function does not know about them.
    if after and role == "replica" and not _reached(cursor, after):
        return None
    return _select(cursor, limit, database, role)


def _reached(cursor: Any, position: str) -> bool:
    function = "MASTER_GTID_WAIT" if db.is_mariadb(cursor.connection) else "WAIT_FOR_EXECUTED_GTID_SET"
    try:
        cursor.execute(f"SELECT {function}(%s, %s)", (position, WAIT_SECONDS))
    except pymysql.MySQLError as error:
        if db.code(error) in db.LOST:
            raise
        log.info("the replica cannot wait for %s: %s", position, error)
        return False
    return cursor.fetchone()[0] == 0


def _position(cursor: Any, mariadb: bool) -> tuple[str, str]:
    cursor.execute(f"SELECT @@hostname, {'@@last_gtid' if mariadb else '@@GLOBAL.gtid_executed'}")
    database, executed = cursor.fetchone()
    position = carried(executed)
    if position is None:
        cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'group_replication_group_name')")
        position = shortened(executed, [value for _name, value in cursor.fetchall()])
    return database, position
