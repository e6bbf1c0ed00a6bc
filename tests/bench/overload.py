# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a site for more than it can do, and counts what is answered, what is refused and what is lost.

The web nodes of the lab get a part of a processor each, so that they are what is short, as on machines of their own,
and not the balancer or the clients, which run on the same cores.
"""

from __future__ import annotations

import asyncio
import csv
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

DOMAIN = "www.foobar.com"
PROCESSORS = 0.1
PATIENCE = 20.0
CLOSED_CLIENTS = 64


@dataclass
class Seen:
    """What became of the requests of one load."""

    rate: float
    seconds: float
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    in_time: int = 0
    recovery: float = 0.0
    marked_down: int = 0

    @property
    def asked(self) -> float:
        """Requests a second that were really sent."""
        return (len(self.answered) + len(self.refused) + len(self.lost)) / self.seconds

    @property
    def goodput(self) -> float:
        """Requests a second that were answered before the load ended."""
        return self.in_time / self.seconds

    def slowest(self, percent: int, times: list[float]) -> float:
        """The time in seconds within which so many percent were done."""
        return statistics.quantiles(times, n=100)[percent - 1] if len(times) > 1 else 0.0


class Site:
    """A site behind a published port; each request comes on a new connection, as from clients that are new here."""

    def __init__(self, port: int, authority: Path) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=str(authority))

    async def ask(self) -> int:
        """The status of one answer that was read to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname=DOMAIN)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.transport.abort()
        head, _empty, body = answer.partition(b"\r\n\r\n")
        if not body:
            raise ConnectionError("cut off")
        return int(head.split(b" ", 2)[1])

    async def one(self, seen: Seen, end: float) -> None:
        """One request, and what became of it."""
        begun = time.monotonic()
        try:
            status = await asyncio.wait_for(self.ask(), PATIENCE)
        except (OSError, TimeoutError, asyncio.TimeoutError) as error:
            seen.lost.append(type(error).__name__)
            return
        done = time.monotonic()
        if status == 200:
            seen.answered.append(done - begun)
            seen.in_time += done <= end
        elif status == 503:
            seen.refused.append(done - begun)
        else:
            seen.lost.append(str(status))

    async def as_fast_as_it_can(self, seconds: float) -> Seen:
        """A number of clients that each wait for their answer before they ask again."""
        seen, end = Seen(0, seconds), time.monotonic() + seconds

        async def client() -> None:
            while time.monotonic() < end:
                await self.one(seen, end)

        await asyncio.gather(*[client() for _each in range(CLOSED_CLIENTS)])
        return seen

    async def steadily(self, rate: float, seconds: float) -> Seen:
        """So many new requests a second, whatever becomes of the earlier ones, and how soon the site is well again."""
        seen, start = Seen(rate, seconds), time.monotonic()
        end = start + seconds
        running = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            running.append(asyncio.create_task(self.one(seen, end)))
        seen.seconds = time.monotonic() - start
        seen.recovery = await self.recovered(time.monotonic())
        await asyncio.gather(*running)
        return seen

    async def recovered(self, since: float) -> float:
        """Seconds until the first of ten requests in a row that were each answered within half a second."""
        row: list[float] = []
        while len(row) < 10:
            begun, probe = time.monotonic(), Seen(0, 1)
            await self.one(probe, begun + 0.5)
            row = [*row, begun] if probe.in_time else []
            if time.monotonic() - since > 120:
                return float("inf")
            await asyncio.sleep(0.1)
        return row[0] - since


def downs(balancer: str) -> int:
    """How often a server of the site was marked down since the balancer was started."""
    said = subprocess.run(
        ["docker", "exec", balancer, "sh", "-c", "echo show stat | socat - /run/haproxy/admin.sock"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = csv.DictReader(said.lstrip("# ").splitlines())
    return sum(int(row["chkdown"] or 0) for row in rows if row["pxname"] == "site" and row["svname"] != "BACKEND")


async def counted(balancer: str, load: Callable[[], Awaitable[Seen]]) -> Seen:
    """A load, and how often a node was marked down meanwhile."""
    before = downs(balancer)
    seen = await load()
    seen.marked_down = downs(balancer) - before
    return seen


async def measure(site: Site, balancer: str, seconds: float, times: list[int]) -> tuple[float, list[tuple[int, Seen]]]:
    """Capacity in requests a second, and what became of multiples of it."""
    await site.as_fast_as_it_can(seconds / 3)
    capacity = (await counted(balancer, lambda: site.as_fast_as_it_can(seconds))).goodput
    found = []
    for multiple in times:
        found.append((multiple, await counted(balancer, lambda n=multiple: site.steadily(n * capacity, seconds))))
    return capacity, found


def table(capacity: float, found: list[tuple[int, Seen]]) -> str:
    """The figures as a table of Markdown."""
    rows = [
        "| load | asked | answered of capacity | refused by 503 | lost | 99 % answered within | 99 % refused within "
        "| nodes marked down | well again after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for multiple, seen in found:
        rows.append(
            f"| {multiple} times capacity | {seen.asked:.0f}/s | {seen.goodput / capacity:.2f} | {len(seen.refused)} "
            f"| {len(seen.lost)} | {seen.slowest(99, seen.answered):.1f} s | {seen.slowest(99, seen.refused):.1f} s "
            f"| {seen.marked_down} | {seen.recovery:.1f} s |"
        )
    return "\n".join(rows)


def overload(nodes: dict[str, str], port: int, authority: Path, seconds: float = 30) -> str:
    """The page's section about overload."""
    whole = str(os.cpu_count())
    web = [nodes["web1"], nodes["web2"]]
    subprocess.run(["docker", "update", f"--cpus={PROCESSORS}", *web], check=True, capture_output=True)
    try:
        capacity, found = asyncio.run(measure(Site(port, authority), nodes["lb1"], seconds, [1, 2, 4]))
    finally:
        subprocess.run(["docker", "update", f"--cpus={whole}", *web], check=True, capture_output=True)
    for _multiple, seen in found:
        if seen.lost:
            print(f"lost at {seen.rate:.0f}/s: {dict(Counter(seen.lost))}")
    return (
        f"Each web node has {PROCESSORS} of a core here. To {CLOSED_CLIENTS} clients that wait for their answers\n"
        f"the site answers {capacity:.0f} requests a second, each on a new TLS connection: its capacity.\n"
        f"Then for {seconds:.0f} s each:\n"
        f"\n{table(capacity, found)}"
    )


if __name__ == "__main__":
    suffix, port, authority = sys.argv[1:4]
    print(overload({name: name + suffix for name in ("lb1", "web1", "web2")}, int(port), Path(authority)))
