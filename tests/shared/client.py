# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that asks at a steady rate, half of the time on new connections and half on kept ones."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from places import TOP

CLIENT_TIMEOUT = 20
DOMAIN = "www.foobar.com"
SITE = f"https://127.0.0.1:{os.environ.get('WEBSTACK_LAB_HTTPS_PORT', '8443')}"
# Under Molecule, which has an inventory directory of its own; otherwise the lab's.
INVENTORY = os.environ.get("MOLECULE_INVENTORY_FILE", "")
INVENTORY_DIR = Path(INVENTORY).parent if INVENTORY else TOP / "inventories" / "lab"
AUTHORITY = INVENTORY_DIR / ".webstack" / "pki" / "ca.pem"


@cache
def trust() -> ssl.SSLContext:
    """What the client believes: the lab's authority, and nobody else."""
    return ssl.create_default_context(cafile=str(AUTHORITY))


class Response(http.client.HTTPResponse):
    """A response that tells its connection when it has begun."""

    def __init__(self, connection: Connection, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._connection = connection

    def _read_status(self) -> Any:
        status = super()._read_status()
        self._connection.begun = True
        return status


class Connection(http.client.HTTPConnection):
    """A connection to a URL; over HTTPS the server is verified, by the site's name behind the published port."""

    def __init__(self, url: str, name: str = "", context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        super().__init__(parts.hostname, parts.port, timeout=CLIENT_TIMEOUT)
        self.name = name or (DOMAIN if parts.hostname == "127.0.0.1" else parts.hostname)
        self.context = (context or trust()) if parts.scheme == "https" else None
        self.begun = False

    def connect(self) -> None:
        """Open it."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.context.wrap_socket(plain, server_hostname=self.name) if self.context else plain

    def response_class(self, *words: Any, **options: Any) -> Response:  # type: ignore[override]
        """The answer to the last request."""
        return Response(self, *words, **options)

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The answer to one request, read to its end."""
        self.begun = False
        self.request(method, path, body, {"Host": self.name, **(headers or {})})
        answer = self.getresponse()
        answer.content = answer.read()
        return answer


def ask(path: str, url: str = SITE, method: str = "GET", body: str | None = None, **headers: str):
    """Status, headers and body of one request."""
    connection = Connection(url)
    try:
        answer = connection.ask(path, method, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return answer.status, answer.headers, answer.content.decode("utf-8", "replace")
    finally:
        connection.close()


Started = TypeVar("Started", bound="Background")


class Background:
    """Threads that work until it is left; used as a context."""

    def __enter__(self: Started) -> Started:
        self.ended = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._tickets = itertools.count()
        self._start = time.monotonic()
        self._threads = [threading.Thread(target=work, daemon=True) for work in self._works()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._stop.set()
        self.ended = time.monotonic() - self._start
        for thread in self._threads:
            thread.join(CLIENT_TIMEOUT + 5)

    def _works(self) -> list[Callable[[], None]]:
        """What each of the threads does."""
        raise NotImplementedError


@dataclass
class Client(Background):
    """Sends rate requests a second to the paths in turn until it is left; used as a context."""

    url: str = SITE
    rate: int = 200
    # By which the server is verified; the site's behind the published port.
    name: str = ""
    paths: tuple[str, ...] = ("/", "/static/guestbook.css", "/api/entries")
    failures: list[str] = field(default_factory=list)
    # Those of them of which the client has the beginning: nobody can ask again for these.
    cut: list[str] = field(default_factory=list)
    served_by: Counter = field(default_factory=Counter)
    longest: float = 0.0
    # When requests on new connections began that were answered.
    begun: list[float] = field(default_factory=list)
    total: int = 0
    reopened: int = 0
    workers: int = 40

    def _works(self) -> list[Callable[[], None]]:
        return [self._work] * self.workers

    def _work(self) -> None:
        kept = Connection(self.url, self.name)
        while not self._stop.is_set():
            ticket = next(self._tickets)
            self._stop.wait(max(0.0, self._start + ticket / self.rate - time.monotonic()))
            if not self._stop.is_set():
                # Pairs of tickets, so that each path is asked on both kinds of connections.
                self._ask(self.paths[ticket % len(self.paths)], kept if ticket // len(self.paths) % 2 else None)
        kept.close()

    def _ask(self, path: str, kept: Connection | None) -> None:
        begun = time.monotonic()
        problem, node, cut = "", "", False
        try:
            answer = self._on_kept(kept, path) if kept else self._on_new(path)
            node = answer.headers.get("X-Served-By", "")
            if answer.status != 200:
                problem = f"{path}: {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"{path}: {type(error).__name__} {error}"
            cut = isinstance(error, http.client.IncompleteRead)
            if kept:
                kept.close()
        took = time.monotonic() - begun
        with self._lock:
            self.total += 1
            self.longest = max(self.longest, took)
            self.served_by[node] += 1
            if not kept and not problem:
                self.begun.append(begun - self._start)
            if problem:
                self.failures.append(f"{begun - self._start:.2f} s {'kept' if kept else 'new'} {problem}")
                self.cut += self.failures[-1:] if cut else []

    def _on_new(self, path: str) -> Any:
        connection = Connection(self.url, self.name)
        try:
            return connection.ask(path, headers={"Connection": "close"})
        finally:
            connection.close()

    def _on_kept(self, connection: Connection, path: str) -> Any:
        """As a browser: a connection that the server has closed meanwhile is opened again, once."""
        reused = connection.sock is not None
        try:
            return connection.ask(path)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            if not reused or connection.begun:
                raise
        connection.close()
        with self._lock:
            self.reopened += 1
        return connection.ask(path)

    @property
    def interruption(self) -> float:
        """Seconds during which at most no new connection was made that was then answered."""
        times = sorted([0.0, *self.begun, self.ended])
        return max((later - earlier for earlier, later in zip(times, times[1:], strict=False)), default=0.0)

    def answered(self, count: int, seconds: float = 60) -> None:
        """Go on until so many more requests have been answered."""
        target = self.total + count
        deadline = time.monotonic() + seconds
        while self.total < target:
            assert time.monotonic() < deadline, f"only {self.total} of {target} requests were answered in {seconds} s"
            time.sleep(0.05)


@dataclass
class Writer(Background):
    """Writes entries at a steady rate until it is left, and remembers which were acknowledged; used as a context."""

    name: str
    url: str = SITE
    rate: int = 20
    workers: int = 4
    acknowledged: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def _works(self) -> list[Callable[[], None]]:
        return [self._work] * self.workers

    def _work(self) -> None:
        while not self._stop.is_set():
            ticket = next(self._tickets)
            self._stop.wait(max(0.0, self._start + ticket / self.rate - time.monotonic()))
            if not self._stop.is_set():
                self._write(f"{self.name} {ticket}")

    def _write(self, message: str) -> None:
        connection = Connection(self.url, DOMAIN)
        try:
            body = json.dumps({"name": self.name, "message": message})
            answer = connection.ask("/api/entries", "POST", body, {"Content-Type": "application/json"})
            problem = "" if answer.status == 201 else str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__} {error}"
        finally:
            connection.close()
        with self._lock:
            if problem:
                self.refused.append(f"{time.monotonic() - self._start:.2f} s {message}: {problem}")
            else:
                self.acknowledged[message] = time.monotonic() - self._start

    def written(self, count: int, seconds: float = 60) -> None:
        """Go on until so many more entries have been acknowledged."""
        target = len(self.acknowledged) + count
        deadline = time.monotonic() + seconds
        while len(self.acknowledged) < target:
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {target} entries, {self.refused[-3:]}"
            time.sleep(0.05)

    @property
    def longest_pause(self) -> float:
        """Seconds that passed at most from one acknowledged entry to the next."""
        times = sorted(self.acknowledged.values())
        return max((later - earlier for earlier, later in zip(times, times[1:], strict=False)), default=0.0)
