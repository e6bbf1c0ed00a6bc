# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that asks at a steady rate, each request on a connection of its own, and keeps every answer."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CLIENT_TIMEOUT = 20


@dataclass
class Client:
    """Sends rate requests a second to the paths in turn until it is left; used as a context."""

    url: str
    rate: int = 200
    paths: tuple[str, ...] = ("/", "/static/guestbook.css", "/api/entries")
    failures: list[str] = field(default_factory=list)
    served_by: Counter = field(default_factory=Counter)
    longest: float = 0.0
    total: int = 0
    workers: int = 40

    def __enter__(self) -> Client:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._tickets = itertools.count()
        self._start = time.monotonic()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _attempt in range(self.workers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(CLIENT_TIMEOUT + 5)

    def _work(self) -> None:
        while not self._stop.is_set():
            ticket = next(self._tickets)
            self._stop.wait(max(0.0, self._start + ticket / self.rate - time.monotonic()))
            if not self._stop.is_set():
                self._ask(self.paths[ticket % len(self.paths)])

    def _ask(self, path: str) -> None:
        begun = time.monotonic()
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=CLIENT_TIMEOUT)
        problem, node = "", ""
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            node = answer.headers.get("X-Served-By", "")
            if answer.status != 200:
                problem = f"{path}: {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"{path}: {type(error).__name__} {error}"
        finally:
            connection.close()
        took = time.monotonic() - begun
        with self._lock:
            self.total += 1
            self.longest = max(self.longest, took)
            self.served_by[node] += 1
            if problem:
                self.failures.append(f"{begun - self._start:.2f} s {problem}")

    def answered(self, count: int, seconds: float = 60) -> None:
        """Go on until so many more requests have been answered."""
        target = self.total + count
        deadline = time.monotonic() + seconds
        while self.total < target:
            assert time.monotonic() < deadline, f"only {self.total} of {target} requests were answered in {seconds} s"
            time.sleep(0.05)
