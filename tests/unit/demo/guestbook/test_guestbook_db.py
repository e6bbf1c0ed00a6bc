# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging in where a proxy, and not the database, accepts the connection."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time

import pymysql
import pytest
from guestbook.config import DatabaseUrl
from guestbook.db import code, open_connection

WITHOUT_TLS = (
    b"\x0a9.7.0\0" + struct.pack("<I", 1) + b"saltsalt\0" + struct.pack("<HBHH", 0xF7FF, 45, 2, 0x81FF)
    + b"\x15" + b"\0" * 10 + b"saltsaltsalt\0" + b"caching_sha2_password\0"
)  # fmt: skip


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url(listener):
    return DatabaseUrl("127.0.0.1", listener.getsockname()[1], "app", "secret", "guestbook")


def test_a_proxy_that_stays_silent_costs_the_connect_timeout_only(listener):
    started = time.monotonic()
    with pytest.raises(pymysql.MySQLError) as caught:
        open_connection(url(listener), connect_seconds=0.2, io_seconds=30)
    assert code(caught.value) == 2013
    assert time.monotonic() - started < 5


def test_a_peer_that_is_no_database_is_an_ordinary_error(listener):
    def answer():
        peer, _address = listener.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    with pytest.raises(pymysql.MySQLError):
        open_connection(url(listener), connect_seconds=2)


def test_without_tls_on_offer_nothing_is_sent(listener, monkeypatch):
    received = []

    def answer():
        peer, _address = listener.accept()
        with peer:
            peer.sendall(struct.pack("<I", len(WITHOUT_TLS)) + WITHOUT_TLS)
            received.append(peer.recv(4096))

    server = threading.Thread(target=answer, daemon=True)
    server.start()
    monkeypatch.setattr(DatabaseUrl, "tls", lambda _self: ssl.create_default_context())
    with pytest.raises(pymysql.MySQLError) as caught:
        open_connection(url(listener), connect_seconds=2)
    server.join(5)
    assert code(caught.value) == 2026
    assert received == [b""]
