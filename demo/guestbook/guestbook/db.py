# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections: how one is opened, kept by its thread and given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pymysql
from pymysql.constants import CLIENT, CR, ER

from . import tracing
from .config import DatabaseUrl

CONNECT_SECONDS = 2.0
IO_SECONDS = 5.0

OFFLINE_MODE = 3032
HOOK_FAILED = 3100
ROLLED_BACK_BY_PLUGIN = 3101
IDLE_DISCONNECT = 4031
READ_ONLY_MODE = 1836
KILLED = 1927

LOST = frozenset(
    {0, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED}
    | {ER.SERVER_SHUTDOWN, KILLED, OFFLINE_MODE, IDLE_DISCONNECT}
)
"""The connection is gone or never came about."""

REFUSED = frozenset({ER.OPTION_PREVENTS_STATEMENT, READ_ONLY_MODE, ROLLED_BACK_BY_PLUGIN})
"""The server rolled the transaction back and says so, even in answer to COMMIT."""

MOVED = LOST | REFUSED | {HOOK_FAILED}
"""The writer is, or may be, somewhere else by now."""

Connect = Callable[..., Any]
Result = TypeVar("Result")


class _Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that fails soon behind a proxy, and never falls back to clear text."""

    _read_timeout: float | None

    def connect(self, sock: Any = None) -> None:
        # A proxy accepts at once; whether a server is behind it shows in the handshake only.
        io_seconds, self._read_timeout = self._read_timeout, self.connect_timeout
        try:
            super().connect(sock)
        finally:
            self._read_timeout = io_seconds

    def query(self, sql: str, unbuffered: bool = False) -> int:
        return super().query(tracing.commented(sql), unbuffered)

    def _request_authentication(self) -> None:
        # PyMySQL up to 1.1 goes on without TLS when the server does not offer it.
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server does not offer TLS")
        super()._request_authentication()


def open_connection(
    url: DatabaseUrl, connect_seconds: float = CONNECT_SECONDS, io_seconds: float = IO_SECONDS
) -> pymysql.connections.Connection:
    """Log in; whatever prevents it is an OperationalError."""
    try:
        context = url.tls()
        return _Connection(
            host=url.host,
            port=url.port,
            user=url.user,
            password=url.password,
            database=url.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=connect_seconds,
            read_timeout=io_seconds,
            write_timeout=io_seconds,
            **({"ssl": context} if context else {"ssl_disabled": True}),
        )
    except pymysql.MySQLError:
        raise
    except Exception as error:
        # An unreadable CA, a missing cryptography package or a peer that is no database server.
        raise pymysql.err.OperationalError(CR.CR_UNKNOWN_ERROR, str(error)) from error


class Endpoint:
    """One way to the database, with one connection for each thread."""

    def __init__(self, url: DatabaseUrl, connect: Connect = open_connection) -> None:
        self._url = url
        self._connect = connect
        self._thread = threading.local()

    @property
    def kept(self) -> bool:
        """Whether this thread still holds a connection from earlier."""
        return getattr(self._thread, "connection", None) is not None

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """The thread's connection; after any failure it is closed, so that a doubtful one is never used again."""
        if not self.kept:
            self._thread.connection = self._connect(self._url)
        try:
            yield self._thread.connection
        except BaseException:
            self._drop()
            raise

    def run(self, work: Callable[[Any], Result]) -> Result:
        """Run what may run twice, and do so when the connection kept from earlier turns out to be lost."""
        kept = self.kept
        try:
            return self._run_once(work)
        except pymysql.MySQLError as error:
            if not (kept and code(error) in LOST):
                raise
        return self._run_once(work)

    def _run_once(self, work: Callable[[Any], Result]) -> Result:
        with self.connection() as connection, connection.cursor() as cursor:
            return work(cursor)

    def _drop(self) -> None:
        connection = self._thread.connection
        self._thread.connection = None
        with suppress(Exception):
            connection.close()


def code(error: BaseException) -> int:
    """The server's or client library's error number, 0 for none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def identity(cursor: Any) -> tuple[str, str]:
    """Which server this is, and whether it is the `primary` or a `replica` at this moment."""
    cursor.execute("SELECT @@hostname, @@GLOBAL.read_only")
    name, read_only = cursor.fetchone()
    return name, "primary" if str(read_only).upper() in {"0", "OFF"} else "replica"


def is_mariadb(connection: Any) -> bool:
    """Whether the server behind a connection is MariaDB rather than MySQL."""
    return "mariadb" in connection.get_server_info().lower()
