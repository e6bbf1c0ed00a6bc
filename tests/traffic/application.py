# SPDX-License-Identifier: GPL-3.0-or-later
"""The application behind nginx: it tells what reached it, and does what the tests ask for.

Usage: application.py SOCKET
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import socketserver
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
RUNS: Counter[str] = Counter()
LOCK = threading.Lock()


def frame(text: str) -> bytes:
    """A text of at most 125 bytes as WebSocket servers send it."""
    payload = text.encode()
    return bytes([0x81, len(payload)]) + payload


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; every request counts for the id in its query."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if "id" in query:
            with LOCK:
                RUNS[query["id"]] += 1
        act = getattr(self, "at_" + parts.path.rpartition("/")[2], None)
        if act:
            act(query)
        else:
            self.tell(
                {"path": self.path, "method": self.command, "headers": self.headers.items(), "body": body.decode()}
            )

    do_POST = do_HEAD = do_OPTIONS = do_DELETE = do_GET

    def tell(self, found: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        content = json.dumps(found).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def at_runs(self, query: dict[str, str]) -> None:
        """How often something was asked for."""
        self.tell(RUNS[query["of"]])

    def at_slow(self, query: dict[str, str]) -> None:
        """Answer late."""
        time.sleep(float(query["seconds"]))
        self.tell("late")

    def at_dies(self, _query: dict[str, str]) -> None:
        """Break off without an answer, as a process that is killed."""
        self.close_connection = True

    def at_says(self, query: dict[str, str]) -> None:
        """Answer with a status and a header of a certain size."""
        self.tell("said", int(query["status"]), {"X-Filling": "x" * int(query.get("size", 1))})

    def at_events(self, query: dict[str, str]) -> None:
        """Events at certain times, without a word about buffering."""
        self.send_response(200)
        self.send_header("Content-Type", query.get("type", "text/event-stream"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(int(query.get("count", 3))):
            if number:
                time.sleep(float(query.get("every", 1)))
            event = f"data: {number} {os.environ['NODE_NAME']}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def at_socket(self, _query: dict[str, str]) -> None:
        """A WebSocket that repeats what it is told, and before that says which node it is."""
        key = self.headers.get("Sec-WebSocket-Key", "")
        if self.headers.get("Upgrade", "").lower() != "websocket" or not key:
            self.tell("not upgraded", 426)
            return
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        self.wfile.write(frame(os.environ["NODE_NAME"]))
        while head := self.rfile.read(2):
            size = head[1] & 0x7F
            mask, masked = self.rfile.read(4), self.rfile.read(size)
            payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))
            if head[0] & 0x0F == 8:
                self.wfile.write(bytes([0x88, size]) + payload)
                return
            self.wfile.write(frame(payload.decode()))

    def address_string(self) -> str:
        """A socket has no address."""
        return "local"

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


class Server(socketserver.ThreadingUnixStreamServer):
    """Ends with the process, whatever it is about."""

    daemon_threads = True
    request_queue_size = 64


Path(sys.argv[1]).unlink(missing_ok=True)
with Server(sys.argv[1], Handler) as server:
    os.chmod(sys.argv[1], 0o666)  # noqa: PTH101
    server.serve_forever()
