# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime interface: which servers it has, and which are drained or in maintenance."""

from __future__ import annotations

import csv
import socket
from dataclasses import dataclass
from pathlib import Path

SOCKET = "/run/haproxy/admin.sock"
MASTER_SOCKET = "/run/haproxy-master.sock"
# Bits of srv_admin_state: set by an operator, inherited from the server that this one tracks, set by a drain. The
# status shows them only while the server is up.
MAINTAINED, INHERITED, DRAINED = 0x01, 0x02, 0x08


class RuntimeRefusal(Exception):
    """HAProxy refused a command; the text is its answer."""


@dataclass(frozen=True)
class Server:
    """One server of one backend."""

    backend: str
    name: str
    status: str
    sessions: int
    takes_over: bool
    """Whether it is a backup server whose sessions last longer than a request."""
    admin: int = 0

    @property
    def path(self) -> str:
        """Its name in commands."""
        return f"{self.backend}/{self.name}"

    @property
    def usable(self) -> bool:
        """Whether it gets requests."""
        return self.status.startswith(("UP", "no check"))

    @property
    def drained(self) -> bool:
        """Whether it is drained, be it up or down."""
        return bool(self.admin & DRAINED)

    @property
    def maintained(self) -> bool:
        """Whether an operator has put it, or the server that it tracks, into maintenance."""
        return bool(self.admin & (MAINTAINED | INHERITED))


class Runtime:
    """HAProxy's runtime interface."""

    def __init__(self, path: str, process: str = "") -> None:
        self.path = path
        # Prefix by which the master process addresses a worker; empty on the socket of the worker itself.
        self.process = process

    def query(self, command: str) -> str:
        """Send one command; returns the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(self.path)
            connection.sendall(f"{self.process}{command}\n".encode())
            # Otherwise the master process waits for another command.
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode().strip()

    def admin_states(self) -> dict[tuple[str, str], int]:
        """The srv_admin_state of every server, by backend and name."""
        return {(row[1], row[3]): int(row[6]) for row in self._states()}

    def addresses(self) -> dict[tuple[str, str], str]:
        """The address of every server, by backend and name."""
        return {(row[1], row[3]): row[4] for row in self._states()}

    def _states(self) -> list[list[str]]:
        """A row of words for every server."""
        rows = [line.split() for line in self.query("show servers state").splitlines() if not line.startswith("#")]
        return [row for row in rows if len(row) > 6]

    def servers(self) -> list[Server]:
        """Every server of every backend."""
        states = self.admin_states()
        rows = csv.DictReader(self.query("show stat").lstrip("# ").splitlines())
        return [
            Server(
                row["pxname"],
                row["svname"],
                row["status"],
                int(row["scur"] or 0),
                row["mode"] == "tcp" and row["bck"] == "1",
                states.get((row["pxname"], row["svname"]), 0),
            )
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        ]

    def sessions(self, name: str, backends: list[str]) -> int:
        """Sessions of a server in these backends; none of a process that has ended meanwhile."""
        answer = self.query("show stat").lstrip("# ")
        rows = csv.DictReader(answer.splitlines()) if answer.startswith("pxname,") else []
        return sum(int(row["scur"] or 0) for row in rows if row["svname"] == name and row["pxname"] in backends)

    def do(self, command: str) -> None:
        """Run a command that answers with nothing when it succeeds."""
        answer = self.query(command)
        if answer:
            raise RuntimeRefusal(answer)

    def set_state(self, server: Server, state: str) -> None:
        """Set the state of a server."""
        self.do(f"set server {server.path} state {state}")

    def end_sessions(self, server: Server) -> None:
        """End the sessions of a server."""
        self.do(f"shutdown sessions server {server.path}")


def old_processes(master: str) -> list[Runtime]:
    """Those from before a reload, which still hold connections; none where HAProxy runs without a master process."""
    if not Path(master).exists():
        return []
    found = []
    old = False
    for line in Runtime(master).query("show proc").splitlines():
        if line.startswith("#"):
            old = line.startswith("# old workers")
        elif old and line.split():
            found.append(Runtime(master, f"@!{line.split()[0]} "))
    return found
