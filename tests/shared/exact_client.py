# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that say exactly what the tests want them to, over TLS or not."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 15


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """What the application says of the request."""
        return json.loads(self.body)

    @property
    def told(self) -> dict[str, list[str]]:
        """Headers of the request as they reached the application, in lower case."""
        found: dict[str, list[str]] = {}
        for name, value in self.json["headers"]:
            found.setdefault(name.lower(), []).append(value)
        return found


@dataclass
class Place:
    """Where to connect to; over TLS by the name and the authority."""

    address: str
    port: int
    name: str = ""
    authority: Path | None = None

    def connect(self, timeout: float = TIMEOUT) -> socket.socket:
        """A connection."""
        plain = socket.create_connection((self.address, self.port), timeout)
        if not self.authority:
            return plain
        context = ssl.create_default_context(cafile=str(self.authority))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context.wrap_socket(plain, server_hostname=self.name)

    def ask(self, path: str = "/", method: str = "GET", body: bytes = b"", headers: list[tuple[str, str]] = (),
            host: str | None = None) -> Answer:  # fmt: skip
        """The answer to one request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.name if host is None else host}"]
        lines += [f"{name}: {value}" for name, value in headers] + ["Connection: close"]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return self.say("\r\n".join(lines).encode() + b"\r\n\r\n" + body, method)

    def say(self, text: bytes, method: str = "GET") -> Answer:
        """The first answer to these very bytes."""
        with self.connect() as connection:
            connection.sendall(text)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return Answer(answer.status, answer.headers, answer.read())

    def everything(self, text: bytes) -> bytes:
        """All that is said until the other side closes."""
        found = b""
        with self.connect() as connection:
            connection.sendall(text)
            while piece := connection.recv(65536):
                found += piece
        return found


class WebSocket:
    """A WebSocket over HTTP/1.1 for short texts."""

    def __init__(self, place: Place, path: str = "/socket", timeout: float = TIMEOUT, host: str = "") -> None:
        self.connection = place.connect(timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self.connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host or place.name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.file = self.connection.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def send(self, text: str) -> None:
        """Send a text."""
        self._frame(0x1, text.encode())

    def _frame(self, kind: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self.connection.sendall(bytes([0x80 | kind, 0x80 | len(payload)]) + mask + masked)

    def receive(self) -> str | None:
        """The next text; None at the end."""
        while True:
            head = self.file.read(2)
            if len(head) < 2 or head[0] & 0x0F == 8:
                return None
            payload = self.file.read(head[1])
            if head[0] & 0x0F == 1:
                return payload.decode()
            # Asked whether it is still there.
            if head[0] & 0x0F == 9:
                self._frame(0xA, payload)

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.connection.close()
