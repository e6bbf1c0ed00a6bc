# SPDX-License-Identifier: GPL-3.0-or-later
"""The application on the path, and a database that exists in memory only."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import pymysql
import pytest
from places import TOP

sys.path.insert(0, str(TOP / "demo" / "guestbook"))

ENVIRONMENT = {
    "DATABASE_URL": "mysql://app:secret@127.0.0.1:3306/guestbook",
    "DATABASE_REPLICA_URL": "mysql://app:secret@127.0.0.1:3307/guestbook",
    "NODE_NAME": "web1",
    "RELEASE": "r42",
}


class Cluster:
    """A primary `db1` and a replica `db2` behind the ports 3306 and 3307, with every fault a test asks for."""

    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

    def __init__(self) -> None:
        self.version = "9.7.0"
        self.rows: list[tuple[int, str, str, datetime, str]] = []
        self.replica_rows: list[tuple[int, str, str, datetime, str]] = []
        self.replica_read_only = 1
        self.lag = False
        self.canaries: dict[str, str] = {}
        self.migrated = {1}
        self.down: set[int] = set()
        self.faults: dict[str, list[int]] = {}
        self.connections: list[Connection] = []
        self.statements: list[str] = []

    def connect(self, url: Any, *_timeouts: float) -> Connection:
        """What the application calls in place of PyMySQL."""
        if url.port in self.down:
            raise pymysql.err.OperationalError(2003, "refused")
        self.fault("CONNECT")
        self.connections.append(Connection(self, url.port))
        return self.connections[-1]

    def fault(self, statement: str) -> None:
        """Raise the next error a test has planned for statements that begin like this."""
        for start, codes in self.faults.items():
            if statement.startswith(start) and codes:
                raise pymysql.err.OperationalError(codes.pop(0), "planned")

    @property
    def messages(self) -> list[str]:
        """All committed messages."""
        return [row[2] for row in self.rows]

    @property
    def position(self) -> str:
        """The position after the newest commit."""
        count = len(self.rows)
        return f"0-1-{count}" if "MariaDB" in self.version else f"{self.uuid}:1-{count}"


class Connection:
    """As much of a PyMySQL connection as the application uses."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self.cluster = cluster
        self.port = port
        self.closed = False
        self.pending: list[Any] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def get_server_info(self) -> str:
        return self.cluster.version

    def cursor(self) -> Cursor:
        return Cursor(self)

    def begin(self) -> None:
        self.cluster.fault("BEGIN")

    def commit(self) -> None:
        self.cluster.fault("COMMIT")
        self.cluster.rows += self.pending
        if not self.cluster.lag:
            self.cluster.replica_rows = list(self.cluster.rows)
        self.pending = []

    def close(self) -> None:
        self.closed = True


class Cursor:
    """Answers the statements the application sends."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cluster = connection.cluster
        self.result: list[tuple[Any, ...]] = []
        self.lastrowid = 0

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def fetchone(self) -> tuple[Any, ...]:
        return self.result[0]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.result

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:
        cluster, replica = self.cluster, self.connection.port == 3307
        if self.connection.port in cluster.down:
            raise pymysql.err.OperationalError(2013, "lost")
        cluster.statements.append(statement)
        cluster.fault(statement)
        database = "db2" if replica else "db1"
        if statement.startswith("INSERT INTO entries"):
            self.lastrowid = len(cluster.rows) + 1
            name, message, node = parameters
            self.connection.pending = [(self.lastrowid, name, message, datetime(2026, 1, 2, 3, 4, 5, 678900), node)]
        elif "read_only" in statement:
            self.result = [(database, cluster.replica_read_only if replica else 0)]
        elif "gtid_executed" in statement or "last_gtid" in statement:
            self.result = [(database, cluster.position)]
        elif "GTID_SET(" in statement or "GTID_WAIT(" in statement:
            self.result = [((-1 if "MASTER" in statement else 1) if cluster.lag else 0,)]
        elif "FROM entries" in statement:
            rows = cluster.replica_rows if replica else cluster.rows
            self.result = rows[::-1][: parameters[0]]
        elif statement.startswith("REPLACE INTO canary"):
            cluster.canaries[parameters[0]] = parameters[1]
        elif "FROM canary" in statement:
            self.result = list(cluster.canaries.items())
        elif "FROM schema_migrations" in statement:
            self.result = [(number,) for number in cluster.migrated]
        else:
            raise AssertionError(f"unexpected statement: {statement}")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def app(cluster: Cluster) -> Any:
    from guestbook.web import create_app

    return create_app(ENVIRONMENT, cluster.connect)


@pytest.fixture
def client(app: Any) -> Any:
    return app.test_client()
