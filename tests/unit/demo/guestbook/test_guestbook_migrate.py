# SPDX-License-Identifier: GPL-3.0-or-later
"""Which migrations run, in which order, and what is recorded."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest
from guestbook import migrate as module
from guestbook.migrate import MIGRATIONS, Migration, MigrationError, applied_numbers, main, migrate, plan

STEPS = (Migration(2, "two", ("B", "C")), Migration(1, "one", ("A",)), Migration(3, "three", ("D",)))


class Database:
    """A ledger, a lock and a record of statements; connection and cursor in one."""

    def __init__(self, applied: set[int] | None = None, free: int | None = 1) -> None:
        self.applied = applied
        self.free = free
        self.statements: list[str] = []
        self.result: list[tuple[Any, ...]] = []

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def cursor(self) -> Database:
        return self

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:
        if "GET_LOCK" in statement:
            self.result = [(self.free,)]
        elif statement.startswith("SELECT version"):
            if self.applied is None:
                raise pymysql.err.ProgrammingError(1146, "no such table")
            self.result = [(number,) for number in self.applied]
        elif "schema_migrations" in statement and "CREATE" in statement:
            self.applied = self.applied or set()
        elif statement.startswith("INSERT INTO schema_migrations"):
            assert self.applied is not None
            self.applied.add(parameters[0])
        else:
            self.statements.append(statement)

    def fetchone(self) -> tuple[Any, ...]:
        return self.result[0]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.result


def numbers(steps: list[Migration]) -> list[int]:
    return [step.number for step in steps]


@pytest.mark.parametrize(
    ("applied", "pending"), [(set(), [1, 2, 3]), ({1}, [2, 3]), ({1, 3}, [2]), ({1, 2, 3}, []), ({1, 2, 3, 4}, [])]
)
def test_plan(applied, pending):
    assert numbers(plan(applied, STEPS)) == pending


def test_shipped_migrations_are_numbered_without_gaps_and_bear_repeating():
    assert [step.number for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    for step in MIGRATIONS:
        assert all("IF NOT EXISTS" in statement for statement in step.statements if "CREATE" in statement)


def test_an_empty_database_gets_everything_once(capsys):
    database = Database()
    assert numbers(migrate(database, "lock", STEPS)) == [1, 2, 3]
    assert database.statements == ["A", "B", "C", "D"]
    assert capsys.readouterr().out == "applied 1: one\napplied 2: two\napplied 3: three\n"
    assert migrate(database, "lock", STEPS) == []
    assert database.statements == ["A", "B", "C", "D"]


@pytest.mark.parametrize("answer", [0, None])
def test_a_second_run_waits_and_gives_up(answer):
    database = Database(free=answer)
    with pytest.raises(MigrationError, match="another migration"):
        migrate(database, "lock", STEPS)
    assert database.statements == []


def test_only_a_missing_ledger_counts_as_nothing_applied():
    class Forbidden(Database):
        def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:
            raise pymysql.err.OperationalError(1142, "denied")

    assert applied_numbers(Database()) == set()
    with pytest.raises(pymysql.MySQLError):
        applied_numbers(Forbidden())


def test_command(monkeypatch, capsys):
    database = Database()
    monkeypatch.setenv("DATABASE_URL", "mysql://app:secret@db/guestbook")
    monkeypatch.setattr(module.db, "open_connection", lambda *_args, **_named: database)
    assert main(["--check"]) == 3
    assert database.applied is None
    assert main([]) == 0
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pending 1: create entries and canary",
        "applied 1: create entries and canary",
        "nothing to do",
        "nothing to do",
    ]


def test_command_without_a_database(monkeypatch, capsys):
    def refuse(*_args: object, **_named: object) -> None:
        raise pymysql.err.OperationalError(2003, "refused")

    monkeypatch.setenv("DATABASE_URL", "mysql://app:secret@db/guestbook")
    monkeypatch.setattr(module.db, "open_connection", refuse)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert "db:3306" in said
    assert "secret" not in said
