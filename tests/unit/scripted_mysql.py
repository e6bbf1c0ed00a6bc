# SPDX-License-Identifier: GPL-3.0-or-later
"""Database servers that answer statements with recorded rows, and a clock that nobody has to wait for.

Only the driver's connection is in their place: what builds a statement, binds its values and reads its answer is real.
"""

from __future__ import annotations

import copy
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymysql
from pymysql.converters import escape_item

Row = dict[str, Any]

ROWS = Path(__file__).parent / "plugins" / "module_utils" / "rows"
DENIED = pymysql.err.OperationalError(1227, "Access denied; you need (at least one of) the privilege(s)")
LOST = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query (timed out)")
# When the certificates of these servers end, by a clock that begins at 0.
CERTIFICATE_END = "Jan 31 00:00:00 1970 GMT"
REFUSED = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)")


def error(errno: int, text: str = "as the test wants it") -> Exception:
    """An error of the server."""
    return pymysql.err.OperationalError(errno, text)


class Clock:
    """The time of a test, which passes only while something sleeps; takes the place of the module C(time)."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []
        self.meanwhile: list[Callable[[], Any]] = []

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        """Let the time pass, and the next of what happens meanwhile happen."""
        self.naps.append(seconds)
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()


class Server:
    """One server: what it says to which statement, and what it was told."""

    def __init__(self, version: str = "9.7.4", comment: str = "") -> None:
        self.script: list[tuple[str, list[Any]]] = []
        self.told: list[str] = []
        self.opened: list[Row] = []
        self.closed = 0
        self.refusal: Exception | None = None
        self.on("SELECT @@version AS version", [{"version": version, "comment": comment}])

    def on(self, part: str, *said: Any) -> None:
        """What it says, from now on, to statements with this part: one after the other, and the last for ever.

        Each is rows, an error, or a function of the statement and its values.
        """
        self.script.insert(0, (part, list(said)))

    def told_to(self, *words: str) -> list[str]:
        """The statements that began with one of these words."""
        return [statement for statement in self.told if statement.startswith(words)]

    def answer(self, statement: str, arguments: tuple[Any, ...]) -> list[Row]:
        """What it says to a statement, which is written as the driver sends it."""
        written = " ".join((statement % tuple(escape_item(value, "utf8mb4") for value in arguments)).split())
        self.told.append(written)
        for part, said in self.script:
            if part in written:
                now = said.pop(0) if len(said) > 1 else said[0]
                if isinstance(now, Exception):
                    raise now
                return copy.deepcopy(now(statement, arguments) if callable(now) else now)
        raise AssertionError(f"The test does not say what the server answers to: {written}")


class Cursor:
    """The driver's cursor."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._rows: Sequence[Row] = ()

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def execute(self, statement: str, arguments: tuple[Any, ...]) -> None:
        if self._raw.lost:
            raise pymysql.err.InterfaceError(0, "")
        try:
            self._rows = self._raw.server.answer(statement, arguments)
        except pymysql.err.OperationalError as error:
            self._raw.lost = error.args[0] in {2006, 2013}
            raise

    def fetchall(self) -> Sequence[Row]:
        return self._rows


class Raw:
    """The driver's connection; once it is lost, it says nothing more."""

    def __init__(self, server: Server, read_timeout: float) -> None:
        self.server, self._read_timeout = server, read_timeout
        self.lost = False

    def cursor(self) -> Cursor:
        return Cursor(self)

    def close(self) -> None:
        self.server.closed += 1


class Network:
    """Servers by their address or socket; takes the place of the driver's C(connect)."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self._lock = threading.Lock()

    def add(self, where: str, server: Server) -> Server:
        """Let a server be reached there: a socket or C(host:port)."""
        self.servers[where] = server
        return server

    def connect(self, **arguments: Any) -> Raw:
        """What the driver does when it is asked to connect."""
        where = arguments.get("unix_socket") or f"{arguments['host']}:{arguments['port']}"
        server = self.servers.get(where)
        if server is None:
            raise REFUSED
        with self._lock:
            server.opened.append(arguments)
            if server.refusal is not None:
                raise server.refusal
        return Raw(server, arguments["read_timeout"])


def recorded(engine: str) -> dict[str, dict[str, Any]]:
    """Rows of a real primary and its replica."""
    return json.loads((ROWS / f"{engine}.json").read_text(encoding="utf-8"))


class Recorded(Server):
    """A server that says what a real one said; C(rows) may be changed at any time."""

    SECTIONS = {
        # MySQL
        "performance_schema.replication_connection_configuration": "connection_configuration",
        "performance_schema.replication_connection_status": "connection_status",
        "FROM performance_schema.replication_applier_status_by_worker w": "workers",
        "performance_schema.replication_applier_filters": "filters",
        "performance_schema.replication_applier_global_filters": "global_filters",
        "performance_schema.replication_group_members": "group_members",
        "performance_schema.persisted_variables": "persisted",
        "performance_schema.data_lock_waits": "blockers",
        # MariaDB
        "information_schema.SYSTEM_VARIABLES": "persisted",
        "information_schema.INNODB_LOCK_WAITS": "blockers",
        # both
        "Binlog Dump%": "dump_threads",
        "FROM mysql.user": "replication_account",
        "FROM information_schema.INNODB_TRX WHERE trx_started": "long_transactions",
        "SHOW REPLICA STATUS": "replica_status",
        "SHOW ALL REPLICAS STATUS": "replica_status",
        "SHOW REPLICAS": "replicas",
        "SHOW REPLICA HOSTS": "replicas",
        "SHOW BINARY LOG STATUS": "binlog_status",
        "SHOW MASTER STATUS": "binlog_status",
    }

    def __init__(self, rows: dict[str, Any], clock: Clock) -> None:
        super().__init__(rows["version"], rows["version_comment"])
        self.rows = rows
        self.grants = "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"
        for part, section in self.SECTIONS.items():
            self.on(part, self._section(section))
        self.on("SHOW GLOBAL VARIABLES WHERE", self._named("variables"))
        self.on("SHOW GLOBAL STATUS WHERE", self._named("status"))
        self.on("gtid_executed AS executed", lambda *_: [self._only("owned", "executed", "purged")])
        self.on("gtid_binlog_state AS state", lambda *_: [self._mariadb_positions()])
        self.on("information_schema.REFERENTIAL_CONSTRAINTS", self._tables)
        self.on("FROM information_schema.VIEWS", self._objects)
        self.on("FROM mysql.user WHERE CONCAT(", self._definers)
        self.on("FROM information_schema.EVENTS ORDER BY", [])
        self.on("SHOW GRANTS", lambda *_: [{"Grants": self.grants}])
        self.on("SELECT CONVERT_TZ(", lambda *_: [{"loaded": int(self.rows.get("time_zone_tables", False))}])
        self.on("SHOW SESSION STATUS LIKE 'Ssl_server_not_after'", lambda *_: [{"Value": CERTIFICATE_END}])
        self.on("SELECT CURRENT_USER()", [{"CURRENT_USER()": "verify@192.0.2.%"}])
        self.on("SELECT UNIX_TIMESTAMP", lambda *_: [{"now": clock.now + self.rows.get("clock", 0)}])
        self.on("SHOW BINARY LOGS", self._logs)
        self.on("SHOW BINLOG EVENTS", self._events)
        self.on("SET SESSION", [])
        self.on("SELECT WAIT_FOR_EXECUTED_GTID_SET(", self._timed_out(clock, 1))
        self.on("SELECT MASTER_GTID_WAIT(", self._timed_out(clock, -1))

    def deny(self, part: str, errno: int = 1227) -> None:
        """Refuse statements with this part to the account."""
        self.on(part, error(errno, "Access denied; you need a privilege"))

    @property
    def status(self) -> Row:
        """The row of its only channel."""
        return self.rows["replica_status"][0]

    @staticmethod
    def _timed_out(clock: Clock, answer: int) -> Callable[..., list[Row]]:
        def wait(_statement: str, arguments: tuple[Any, ...]) -> list[Row]:
            clock.sleep(arguments[1])
            return [{"arrived": answer}]

        return wait

    def _section(self, name: str) -> Callable[..., list[Row]]:
        return lambda *_: self.rows.get(name) or []

    def _named(self, section: str) -> Callable[[str, tuple[Any, ...]], list[Row]]:
        return lambda _statement, names: [
            {"Variable_name": name, "Value": value} for name, value in self.rows[section].items() if name in names
        ]

    def _only(self, *names: str) -> Row:
        return {name: self.rows[name] for name in names}

    def _mariadb_positions(self) -> Row:
        names = {"state": "executed", "binlog": "binlog_pos", "slave": "slave_pos", "current": "position"}
        return {column: self.rows[name] for column, name in names.items()}

    def _tables(self, _statement: str, names: tuple[Any, ...]) -> list[Row]:
        """Its tables, or those that are named, as the parts that the statement asks for."""
        quarter = names[: len(names) // 4]
        wanted = set(zip(quarter[::2], quarter[1::2], strict=True))
        found = []
        for row in self.rows.get("tables") or []:
            name = row["schema"], row["table"]
            if wanted and name not in wanted:
                continue
            parts = {
                "table": (row["engine"], row["collation"], row["next"]),
                "columns": (row["columns"], row["counter"], None),
                "keys": (row["keys"], str(int(row["keyed"])), None),
                "foreign": (row["foreign_keys"], None, None),
            }
            found += [
                {"part": part, "s": name[0], "t": name[1], "a": a, "b": b, "c": c} for part, (a, b, c) in parts.items()
            ]
        return found

    def _objects(self, *_: Any) -> list[Row]:
        names = {"s": "schema", "n": "name", "d": "definer", "kind": "kind", "state": "state", "origin": "origin"}
        return [{short: row[name] for short, name in names.items()} for row in self.rows.get("objects") or []]

    def _definers(self, _statement: str, accounts: tuple[Any, ...]) -> list[Row]:
        there = {row["definer"] for row in self.rows.get("objects") or [] if row["definer_exists"]}
        return [{"account": each} for each in accounts if each in there]

    def _logs(self, *_: Any) -> list[Row]:
        oldest = self.rows["oldest_binlog"]
        return [{"Log_name": oldest["name"], "File_size": 1} for _number in range(oldest["files"])]

    def _events(self, *_: Any) -> list[Row]:
        return [
            {"Event_type": "Format_desc", "Info": "Server ver: 11"},
            {"Event_type": "Gtid_list", "Info": f"[{self.rows['oldest_binlog']['gtids']}]"},
        ]


class Pair:
    """A recorded replica and its primary, both to be reached."""

    REPLICA, PRIMARY = "/replica.sock", "db1:3306"

    def __init__(self, engine: str, network: Network, clock: Clock) -> None:
        rows = recorded(engine)
        self.mariadb = engine.startswith("mariadb")
        self.clock = clock
        self.replica = network.add(self.REPLICA, Recorded(rows["replica"], clock))
        self.primary = network.add(self.PRIMARY, Recorded(rows["primary"], clock))


class Data:
    """Tables of one schema behind a scripted server: SQLite, with the functions of MySQL that a comparison uses."""

    CHARACTER_SETS = {"varchar": "utf8mb4", "char": "latin1"}

    def __init__(self, server: Server, schema: str = "shop") -> None:
        self.server, self.schema = server, schema
        self._lock = threading.Lock()
        self._base = sqlite3.connect(":memory:", check_same_thread=False)
        self._base.row_factory = sqlite3.Row
        self._base.create_function("crc32", 1, lambda text: zlib.crc32(text.encode()))
        self._base.create_function("concat", -1, lambda *values: "".join(map(str, values)))
        self._base.create_function("concat_ws", -1, self._joined)
        self._base.create_function("is_null", 1, lambda value: value is None)
        self._base.execute(f"ATTACH ':memory:' AS {schema}")
        server.on(f"`{schema}`.", self.select)
        server.on("FROM information_schema.COLUMNS c JOIN", lambda *_: self._columns())
        server.on("FROM information_schema.STATISTICS WHERE INDEX_NAME", lambda *_: self._keys())
        server.on("SET SESSION", [])

    def run(self, *statements: str) -> None:
        """Change the data, as a client of the server does."""
        with self._lock:
            for statement in statements:
                self._base.execute(statement)

    @staticmethod
    def _joined(mark: str, *values: Any) -> str:
        return mark.join(
            value.hex() if isinstance(value, bytes) else str(value) for value in values if value is not None
        )

    def select(self, statement: str, arguments: tuple[Any, ...]) -> list[Row]:
        """What the tables say to a statement of MySQL."""
        text = statement % tuple("?" for _value in arguments)
        text = text.replace("ISNULL(", "IS_NULL(").replace("AS BINARY)", "AS BLOB)")
        with self._lock:
            return [dict(row) for row in self._base.execute(text, arguments)]

    def _described(self) -> list[tuple[str, sqlite3.Row]]:
        with self._lock:
            tables = [row[0] for row in self._base.execute(f"SELECT name FROM {self.schema}.sqlite_master ORDER BY 1")]
            return [
                (table, row)
                for table in tables
                for row in self._base.execute(f"SELECT * FROM pragma_table_info('{table}', '{self.schema}')")
            ]

    def _columns(self) -> list[Row]:
        return [
            {"s": self.schema, "t": table, "c": row["name"], "k": row["type"].lower(),
             "e": self.CHARACTER_SETS.get(row["type"].lower(), "")}
            for table, row in self._described()
        ]  # fmt: skip

    def _keys(self) -> list[Row]:
        keyed = sorted((entry for entry in self._described() if entry[1]["pk"]), key=lambda e: (e[0], e[1]["pk"]))
        return [{"s": self.schema, "t": table, "c": row["name"]} for table, row in keyed]
