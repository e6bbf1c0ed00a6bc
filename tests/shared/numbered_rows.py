# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the database endpoints that never stop writing numbered rows, and a watch on who takes writes."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nodes import DATABASES, WEB, Lab, Run, closed, open_node
from waiting import wait

TABLE = "guestbook.numbers"
# One that says nothing for so many seconds is not taken for a server that took writes meanwhile.
SILENCE = 1.0
# Ends a program when nobody is at its other end any more.
ENDS = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
"""
LOGIN = """
import itertools, pymysql, ssl, time
tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
def connect(host, port=3306):
    if host == "localhost":
        return pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", read_timeout=1, ssl_disabled=True)
    return pymysql.connect(host=host, port=port, user="app", password={password!r}, autocommit=True,
                           connect_timeout=1, read_timeout=3, ssl=tls)
"""
# Writes so many numbered rows a second through the endpoint of its node; prints what is acknowledged, and by whom.
WRITER = """
# One that begins again, after its node was away, uses no number twice.
numbers = itertools.count(int(time.time()) * 100000 + {first}, {step})
rate, began = {rate}, time.monotonic()
tickets = itertools.count(1)
def work():
    connection = None
    while True:
        number, ticket = next(numbers), next(tickets)
        time.sleep(max(0, began + ticket / rate - time.monotonic()))
        try:
            if connection is None:
                connection = connect("127.0.0.1", {port})
                with connection.cursor() as cursor:
                    cursor.execute("SELECT @@server_id")
                    server = cursor.fetchone()[0]
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO {table} (n) VALUES (%s)", (number,))
            os.write(1, f"{{number}} {{time.time()}} {{server}}\\n".encode())
        except (pymysql.MySQLError, OSError):
            connection = None
            time.sleep(0.02)
for _ in range(4):
    threading.Thread(target=work).start()
"""
# Prints twenty times a second whether servers take writes: which one, before, after, and whether it is closed.
WATCH = """
def watch(number, host):
    connection = None
    while True:
        try:
            connection = connection or connect(host)
            before = time.time()
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@GLOBAL.read_only")
                closed = cursor.fetchone()[0]
            os.write(1, f"{{number}} {{before}} {{time.time()}} {{closed}}\\n".encode())
        except (pymysql.MySQLError, OSError):
            connection = None
        time.sleep(0.05)
for number, host in {hosts!r}.items():
    threading.Thread(target=watch, args=(number, host)).start()
"""


class Program:
    """A program that runs on a node until it is left, again after the node was away; what it prints is kept outside."""

    def __init__(self, lab: Lab, node: str, text: str, output: Path) -> None:
        self._command = ["docker", "exec", "-i", lab.container(node), "python3", "-u", "-c", ENDS + text]
        self._output = output
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with self._output.open("a") as file:
            while not self._stop.is_set():
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.DEVNULL
                )
                self._process.wait()
                self._stop.wait(0.3)

    def __enter__(self) -> Program:
        self._output.touch()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._process.stdin.close()
        self._thread.join(30)

    def lines(self) -> list[list[float]]:
        """The numbers that it has printed, line by line."""
        *whole, _unfinished = self._output.read_text().split("\n")
        return [[float(word) for word in line.split()] for line in whole]


@dataclass(frozen=True)
class Row:
    """A row that was acknowledged: when, and by the server with which number."""

    number: int
    at: float
    server: int


@dataclass
class Writes:
    """What writers were told, and what the servers said of themselves to all nodes meanwhile."""

    lab: Lab
    writers: list[Program]
    watches: list[Program]

    def rows(self, since: float = 0.0) -> list[Row]:
        """What was acknowledged since a time, in its order."""
        found = [Row(int(number), at, int(server)) for one in self.writers for number, at, server in one.lines()]
        return sorted((row for row in found if row.at >= since), key=lambda row: row.at)

    def longest_pause(self, since: float = 0.0) -> float:
        """Seconds from one acknowledged row to the next, at most."""
        times = [row.at for row in self.rows(since)]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def resumed(self, since: float, server: int) -> float:
        """When a server acknowledged its first row since a time."""
        return next(row.at for row in self.rows(since) if row.server == server)

    def written(self, count: int, seconds: float = 60) -> None:
        """Go on until so many more rows are acknowledged."""
        target = len(self.rows()) + count
        wait(f"{count} more rows to be acknowledged", lambda: len(self.rows()) >= target, seconds)

    def changes_of_server(self, since: float) -> int:
        """How often the rows since a time come from another server than the one before; once for each new primary."""
        return sum(earlier.server != later.server for earlier, later in pairwise(self.rows(since)))

    def open_together(self, since: float = 0.0) -> list[tuple[float, float]]:
        """Times at which both servers took writes: each was seen open before and after it."""
        samples: list[list[tuple[float, float]]] = [[], []]
        for watch in self.watches:
            lines = watch.lines()
            for number, found in enumerate(samples):
                found += open_runs([line[1:] for line in lines if line[0] == number and line[1] >= since])
        first, second = samples
        return [(max(a[0], b[0]), min(a[1], b[1])) for a in first for b in second if max(a[0], b[0]) < min(a[1], b[1])]

    def seen_open(self, since: float) -> bool:
        """Whether a watch on each web node saw a server that takes writes."""
        return all(
            any(not closed for _number, begun, _ended, closed in watch.lines() if begun >= since)
            for watch in self.watches[: len(WEB)]
        )

    def seconds_together(self, since: float = 0.0) -> float:
        """For how long both took writes."""
        found = self.open_together(since)
        return max((end for _begin, end in found), default=0.0) - min((begin for begin, _end in found), default=0.0)

    def missing(self, node: str) -> set[int]:
        """Acknowledged rows that a server lacks."""
        acknowledged = {row.number for row in self.rows()}
        return acknowledged - set(map(int, self.lab.sql(node, f"SELECT n FROM {TABLE}").split()))


def open_runs(samples: list[list[float]]) -> Iterator[tuple[float, float]]:
    """From the end of the first to the beginning of the last of the readings in a row that say open."""
    run: list[list[float]] = []
    for sample in [*samples, [0, 0, 1]]:
        if run and (sample[2] or sample[0] - run[-1][1] > SILENCE):
            yield run[0][1], run[-1][0]
            run = []
        if not sample[2]:
            run.append(sample)


def start(lab: Lab, node: str) -> None:
    """Switch a machine on, and wait until it is up."""
    lab.docker("start", lab.container(node))
    up = ("running", "degraded")
    wait(f"{node} to be up", lambda: lab.host(node).run("systemctl is-system-running").stdout.strip() in up, 120)


def other_node(node: str) -> str:
    """The other database node."""
    return next(each for each in DATABASES if each != node)


def server_number(lab: Lab, node: str) -> int:
    """By which a server calls itself."""
    return int(lab.sql(node, "SELECT @@GLOBAL.server_id"))


def endpoint(lab: Lab, node: str) -> int:
    """Port of a web node behind which the primary is."""
    bound = lab.sh(node, "sed -n '/^frontend mysql_primary/,/bind/s/.*bind //p' /etc/haproxy/haproxy.cfg")
    return int(bound.rpartition(":")[2])


@contextlib.contextmanager
def writing(lab: Lab, password: str, folder: Path, rate: int = 200) -> Iterator[Writes]:
    """So many rows a second, half of them through each web node, and a watch from each node that knows a database."""
    lab.sql(open_node(lab), f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} (n BIGINT PRIMARY KEY)")
    login = LOGIN.format(password=password)
    hosts = {number: lab.inspect_address(node) for number, node in enumerate(DATABASES)}
    with contextlib.ExitStack() as stack:

        def start(node: str, what: str, text: str) -> Program:
            return stack.enter_context(Program(lab, node, login + text, folder / f"{what}-{node}"))

        watches = [start(node, "watch", WATCH.format(hosts=hosts)) for node in WEB]
        watches += [
            start(node, "watch", WATCH.format(hosts={number: "localhost"})) for number, node in enumerate(DATABASES)
        ]
        each = {"rate": rate / len(WEB), "step": len(WEB), "table": TABLE}
        writers = [
            start(node, "writer", WRITER.format(first=first, port=endpoint(lab, node), **each))
            for first, node in enumerate(WEB)
        ]
        found = Writes(lab, writers, watches)
        found.written(100)
        wait("every watch to have seen its servers", lambda: all(watch.lines() for watch in watches))
        yield found
    same_tables(lab)
    lab.sql(open_node(lab), f"DROP TABLE {TABLE}")


def same_tables(lab: Lab) -> None:
    """Wait for equal checksums of every table of the application on both databases."""
    wait("equal checksums", lambda: checksums(lab, DATABASES[0]) == checksums(lab, DATABASES[1]))


def checksums(lab: Lab, node: str) -> str:
    """What a database says of its tables."""
    tables = lab.sql(node, "SHOW TABLES FROM guestbook").split()
    return lab.sql(node, f"CHECKSUM TABLE {', '.join(f'guestbook.{table}' for table in tables)}")


def rejoined(lab: Lab, inventory: Path, node: str) -> Run:
    """Take an old primary back; what only it has is given up by its name, as it was never acknowledged."""
    run = lab.playbook("rejoin.yml", "-e", f"mysql_rejoin={lab.container(node)}", inventory=inventory)
    if "has transactions that" in run.output:
        words = ("-e", f"mysql_rejoin={lab.container(node)}", "-e", f"mysql_replica_rebuild={lab.container(node)}")
        run = lab.playbook("rejoin.yml", *words, inventory=inventory)
    assert run.code == 0, run.output[-6000:]
    assert closed(lab, node)
    return run


def never_two(writes: Writes, since: float, changes: int = 1) -> None:
    """Not one moment with two that take writes, and none whose row follows that of its successor."""
    assert writes.seen_open(since), "nobody was watched"
    assert writes.open_together(since) == []
    assert writes.changes_of_server(since) == changes
