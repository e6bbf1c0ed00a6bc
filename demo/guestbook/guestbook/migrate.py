# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the database up to what this release needs: `python3 -m guestbook.migrate [--check]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import ER

from . import db
from .config import ConfigError, primary_url

LOCK_SECONDS = 60
STATEMENT_SECONDS = 600
PENDING = 3


@dataclass(frozen=True)
class Migration:
    """A numbered change; its statements must bear being repeated, as MySQL commits each of them by itself."""

    number: int
    title: str
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        1,
        "create entries and canary",
        (
            """
            CREATE TABLE IF NOT EXISTS entries (
                id BIGINT NOT NULL AUTO_INCREMENT,
                name VARCHAR(80) NOT NULL,
                message TEXT NOT NULL,
                created_at DATETIME(6) NOT NULL,
                node VARCHAR(64) NOT NULL,
                PRIMARY KEY (id)
            ) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4
            """,
            """
            CREATE TABLE IF NOT EXISTS canary (
                node VARCHAR(64) NOT NULL,
                token VARCHAR(64) NOT NULL,
                written_at DATETIME(6) NOT NULL,
                PRIMARY KEY (node)
            ) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4
            """,
        ),
    ),
)

LEDGER = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version INT NOT NULL,
        title VARCHAR(200) NOT NULL,
        applied_at DATETIME(6) NOT NULL,
        PRIMARY KEY (version)
    ) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4
"""


class MigrationError(Exception):
    """One sentence saying what kept the migrations from running."""


def plan(applied: Collection[int], known: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """The migrations still to run, in order; numbers only a newer release knows do not matter."""
    return sorted((step for step in known if step.number not in applied), key=lambda step: step.number)


def applied_numbers(cursor: Any) -> set[int]:
    """What the database has had; nothing, when it has no ledger yet."""
    try:
        cursor.execute("SELECT version FROM schema_migrations")
    except pymysql.MySQLError as error:
        if db.code(error) != ER.NO_SUCH_TABLE:
            raise
        return set()
    return {row[0] for row in cursor.fetchall()}


def migrate(connection: Any, lock: str, known: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """Run what is pending while no other run does, and return it; the lock ends with the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", (lock, LOCK_SECONDS))
        if cursor.fetchone()[0] != 1:
            raise MigrationError(f"another migration has held the lock for {LOCK_SECONDS} s: let it end, then retry.")
        return _run(cursor, known)


def _run(cursor: Any, known: Sequence[Migration]) -> list[Migration]:
    pending = plan(applied_numbers(cursor), known)
    if pending:
        cursor.execute(LEDGER)
    for step in pending:
        for statement in step.statements:
            cursor.execute(statement)
        cursor.execute(
            "INSERT INTO schema_migrations (version, title, applied_at) VALUES (%s, %s, UTC_TIMESTAMP(6))",
            (step.number, step.title),
        )
        print(f"applied {step.number}: {step.title}", flush=True)
    return pending


def _check(connection: Any) -> int:
    with connection.cursor() as cursor:
        pending = plan(applied_numbers(cursor))
    for step in pending:
        print(f"pending {step.number}: {step.title}")
    if not pending:
        print("nothing to do")
    return PENDING if pending else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the database is up to date, 3 when --check finds something, 1 on failure, 2 on misuse."""
    parser = argparse.ArgumentParser(prog="python3 -m guestbook.migrate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 3 when something is pending")
    options = parser.parse_args(arguments)
    try:
        url = primary_url(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        connection = db.open_connection(url, io_seconds=STATEMENT_SECONDS)
        with connection:
            if options.check:
                return _check(connection)
            if not migrate(connection, f"{url.database[:40]}.migrate"):
                print("nothing to do")
    except pymysql.MySQLError as error:
        print(f"The database at {url.host}:{url.port} refused: {error}", file=sys.stderr)
        return 1
    except MigrationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
