from __future__ import annotations

import socket
import sys
import threading
import time

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils import mysql_connection as module
from ansible_collections.pentad.webstack.plugins.module_utils.mysql_connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
    quote,
)


@pytest.fixture
def listener():
    """A server that accepts and does what the test says with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = []

        def serve():
            while True:
                try:
                    connection, _address = server.accept()
                except OSError:
                    return
                accepted.append(connection)
                if serve.greeting is not None:
                    connection.sendall(serve.greeting)
                    connection.close()

        serve.greeting = None
        threading.Thread(target=serve, daemon=True).start()
        serve.port = server.getsockname()[1]
        yield serve
        for connection in accepted:
            connection.close()


def options(port, **more):
    return ConnectionOptions(user="x", host="127.0.0.1", port=port, connect_timeout=2, read_timeout=1, **more)


def test_server_that_accepts_and_hangs(listener):
    began = time.monotonic()
    with pytest.raises(
        DatabaseError, match=r"127.0.0.1:\d+ accepted the connection but did not answer within 1 s"
    ) as e:
        Connection(options(listener.port))
    assert time.monotonic() - began < 4
    assert "frozen" in e.value.hint


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DatabaseError, match="cannot be reached: .*refused") as caught:
        Connection(options(port))
    assert caught.value.errno == 2003


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x01\x00\x00\x00\x0a", b"HTTP/1.1 400 Bad\r\n\r\n"]
)
def test_something_else_listens(listener, greeting):
    listener.greeting = greeting
    with pytest.raises(DatabaseError):
        Connection(options(listener.port))


def test_socket_that_is_not_there(tmp_path):
    with pytest.raises(DatabaseError, match="no.sock"):
        Connection(ConnectionOptions(user="root", unix_socket=str(tmp_path / "no.sock")))


def test_missing_driver_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(DatabaseError, match="python3-pymysql"):
        Connection(options(1))


@pytest.mark.parametrize("name", ["ca_cert", "client_cert"])
def test_missing_tls_file(listener, tmp_path, name):
    with pytest.raises(DatabaseError, match="cannot be used"):
        Connection(options(listener.port, **{name: str(tmp_path / "no.pem")}))


def test_broken_configuration_file(tmp_path):
    path = tmp_path / "my.cnf"
    path.write_text("user=x\nno section")
    with pytest.raises(DatabaseError):
        Connection(ConnectionOptions(config_file=str(path), host="127.0.0.1", port=1))


@pytest.mark.parametrize(
    ("name", "text"), [("a", "`a`"), ("a`b", "`a``b`"), ("100%", "`100%%`"), ("x; DROP", "`x; DROP`")]
)
def test_quote(name, text):
    assert quote(name) == text


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_quote_refuses(name):
    with pytest.raises(DatabaseError):
        quote(name)


def test_options_from_params():
    found = ConnectionOptions.from_params(
        {"login_user": "u", "login_password": "p", "login_host": None, "ca_cert": "c"}
    )
    assert (found.user, found.host, found.port, found.ca_cert, found.read_timeout) == ("u", "localhost", 3306, "c", 10)
    assert found.where == "localhost:3306"
    assert ConnectionOptions(unix_socket="/s").where == "/s"


@pytest.mark.parametrize(
    ("errno", "text", "word"),
    [
        (1045, "Access denied", "refused the login of 'x'"),
        (1698, "Access denied", "socket authentication"),
        (1040, "Too many connections", "max_connections"),
        (1129, "Host is blocked", "FLUSH HOSTS"),
        (2003, "connection timed out", "did not answer within"),
        (2003, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "TLS to"),
        (2026, "no TLS", "TLS to"),
        (4711, "strange", "strange (4711)"),
    ],
)
def test_errors_in_words(errno, text, word):
    assert word in str(module._explain(options(1), "x", errno, text))


def test_denied_and_lost():
    assert DatabaseError("", 1142).denied
    assert not DatabaseError("", 1062).denied
    assert DatabaseError("", 2013).lost
