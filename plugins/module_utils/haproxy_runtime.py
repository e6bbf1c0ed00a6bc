# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime interface: which servers it has, and who has taken them out."""

from __future__ import annotations

import csv
import socket
from dataclasses import dataclass
from pathlib import Path

SOCKET = "/run/haproxy/admin.sock"
MASTER_SOCKET = "/run/haproxy-master.sock"
# Bits of srv_admin_state: set by an operator, taken over from the server that this one tracks, set by a drain. The
# status is the word for them only while the server is up.
MAINTAINED, INHERITED, DRAINED = 0x01, 0x02, 0x08


class RuntimeRefusal(Exception):
    """HAProxy did not do as it was told."""


@dataclass(frozen=True)
class Server:
    """One server of one backend."""

    backend: str
    name: str
    status: str
    sessions: int
    lends: bool
    """Whether it is a backup server that holds its sessions for longer than a request."""
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
        """Whether it was told to take none, be it up or down."""
        return bool(self.admin & DRAINED)

    @property
    def maintained(self) -> bool:
        """Whether an operator has taken it out, or the server that it tracks, and alone puts it back."""
        return bool(self.admin & (MAINTAINED | INHERITED))


class Runtime:
    """HAProxy's runtime interface."""

    def __init__(self, path: str, process: str = "") -> None:
        self.path = path
        # How the master process is told for whom a command is; nothing where the socket is that of the process itself.
        self.process = process

    def ask(self, command: str) -> str:
        """Send one command; returns the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(self.path)
            connection.sendall(f"{self.process}{command}\n".encode())
            # The master process would wait for more.
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode().strip()

    def admin_states(self) -> dict[tuple[str, str], int]:
        """What every server was told, by backend and name."""
        rows = [line.split() for line in self.ask("show servers state").splitlines() if not line.startswith("#")]
        return {(row[1], row[3]): int(row[6]) for row in rows if len(row) > 6}

    def servers(self) -> list[Server]:
        """Every server of every backend."""
        told = self.admin_states()
        rows = csv.DictReader(self.ask("show stat").lstrip("# ").splitlines())
        return [
            Server(
                row["pxname"],
                row["svname"],
                row["status"],
                int(row["scur"] or 0),
                row["mode"] == "tcp" and row["bck"] == "1",
                told.get((row["pxname"], row["svname"]), 0),
            )
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        ]

    def sessions(self, name: str, backends: list[str]) -> int:
        """Sessions of a server in these backends; none of a process that has ended meanwhile."""
        answer = self.ask("show stat").lstrip("# ")
        rows = csv.DictReader(answer.splitlines()) if answer.startswith("pxname,") else []
        return sum(int(row["scur"] or 0) for row in rows if row["svname"] == name and row["pxname"] in backends)

    def do(self, command: str) -> None:
        """Have HAProxy do something; it answers with nothing when it has done so."""
        answer = self.ask(command)
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
    for line in Runtime(master).ask("show proc").splitlines():
        if line.startswith("#"):
            old = line.startswith("# old workers")
        elif old and line.split():
            found.append(Runtime(master, f"@!{line.split()[0]} "))
    return found
