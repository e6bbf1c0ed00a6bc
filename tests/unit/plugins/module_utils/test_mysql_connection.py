from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time

import pymysql
import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql import connection as module
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
    quote,
)
from scripted_mysql import LOST, Server, error


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


def test_an_empty_account_is_none():
    found = ConnectionOptions.from_params({"login_user": "", "login_password": ""})
    assert (found.user, found.password) == (None, None)


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


# --- a session with a scripted server -------------------------------------------------------------------------------


@pytest.fixture
def server(network):
    """A server at db1, which every test may script."""
    return network.add("db1:3306", Server("11.8.6-MariaDB", "Debian"))


def session(**more):
    return Connection(ConnectionOptions(**{"user": "x", "host": "db1", **more}))


def test_the_version_makes_the_dialect_and_the_end_closes_the_session(server):
    with session() as connection:
        assert (connection.dialect.flavor, connection.dialect.version, connection.where) == (
            "mariadb", (11, 8, 6), "db1:3306",
        )  # fmt: skip
        assert server.closed == 0
    assert server.closed == 1


def test_a_session_that_cannot_say_its_version_is_closed(server):
    server.on("SELECT @@version", LOST)
    with pytest.raises(DatabaseError, match=r"db1:3306 did not answer a statement within 10 s") as caught:
        session()
    assert (caught.value.lost, server.closed) == (True, 1)


def test_values_come_as_text_and_by_name(server):
    server.on("SELECT a", [{"a": b"\xe4\xf6", "b": 3, "c": None}])
    connection = session()
    assert connection.rows("SELECT a") == [{"a": "\ufffd\ufffd", "b": 3, "c": None}]
    assert connection.rows("SELECT a", as_text=False)[0]["a"] == b"\xe4\xf6"
    assert connection.one("SELECT a")["b"] == 3
    assert connection.value("SELECT a") == "\ufffd\ufffd"


def test_of_nothing_there_is_no_row_and_no_value(server):
    server.on("SELECT a", [])
    connection = session()
    assert (connection.one("SELECT a"), connection.value("SELECT a")) == ({}, None)


@pytest.mark.parametrize("errno", [2006, 2013, 2014])
def test_a_lost_session_says_how_long_was_waited_and_where_to_look(server, errno):
    server.on("SELECT 1", error(errno, "gone"))
    with pytest.raises(DatabaseError, match=r"did not answer a statement within 7 s \(gone\)") as caught:
        session(read_timeout=7).rows("SELECT 1")
    assert caught.value.errno == errno
    assert "frozen or starved" in caught.value.hint


def test_a_session_closed_by_the_driver_counts_as_lost(server):
    server.on("SELECT 1", pymysql.err.InterfaceError(0, ""))
    with pytest.raises(DatabaseError) as caught:
        session().rows("SELECT 1")
    assert (caught.value.errno, caught.value.lost) == (2013, True)


def test_an_error_of_a_statement_is_told_with_its_number(server):
    server.on("SELECT 1", error(1142, "SELECT command denied"))
    with pytest.raises(DatabaseError, match=r"^db1:3306: SELECT command denied \(1142\)\.$") as caught:
        session().rows("SELECT 1")
    assert caught.value.denied


def test_only_a_statement_that_is_meant_to_take_long_may_do_so(server):
    limits = []
    connection = session(read_timeout=3)
    server.on("SELECT 1", lambda *_: limits.append(connection._raw._read_timeout) or [])
    server.on("SELECT 2", error(1064))
    connection.rows("SELECT 1")
    with connection.longer(60):
        connection.rows("SELECT 1")
    with pytest.raises(DatabaseError), connection.longer(60):
        connection.rows("SELECT 2")
    connection.rows("SELECT 1")
    assert limits == [3, 63, 3]


def test_a_lost_session_can_be_opened_again(server):
    connection = session()
    connection.reopen()
    assert (len(server.opened), server.closed) == (2, 1)
    server.on("SELECT 1", [{"one": 1}])
    assert connection.value("SELECT 1") == 1


def test_a_session_that_cannot_be_closed_is_left_alone(server, monkeypatch):
    connection = session()
    monkeypatch.setattr(connection._raw, "close", lambda: 1 / 0)
    connection.close()
    assert server.closed == 0


# --- how it logs in -------------------------------------------------------------------------------------------------


def test_the_option_file_gives_account_and_host_unless_they_are_told(server, network, tmp_path):
    network.add("None:3306", server)
    path = tmp_path / "my.cnf"
    path.write_text("[client]\nuser=file\nhost=db1\n")
    Connection(ConnectionOptions(config_file=str(path)))
    Connection(ConnectionOptions(config_file=str(path), user="told", host="db1"))
    from_file, told = server.opened
    assert (from_file["read_default_file"], from_file["host"], from_file["user"]) == (str(path), None, None)
    assert ("read_default_file" in told, told["host"], told["user"]) == (False, "db1", "told")


def test_without_account_and_file_it_is_root(server, tmp_path):
    Connection(ConnectionOptions(host="db1", config_file=str(tmp_path / "none.cnf")))
    assert server.opened[0]["user"] == "root"


def test_over_a_socket_nothing_is_encrypted(network):
    server = network.add("/run/mysqld.sock", Server())
    Connection(ConnectionOptions(user="root", unix_socket="/run/mysqld.sock"))
    assert (server.opened[0].get("ssl_disabled"), "ssl" in server.opened[0]) == (True, False)


def test_over_tcp_everything_is_encrypted_if_unverified(server):
    session()
    context = server.opened[0]["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate that vouches for itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, path = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(key), "-out", str(path), "-subj", "/CN=db1", "-days", "2"],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"key": str(key), "certificate": str(path)}


@pytest.mark.parametrize(("check", "expected"), [(None, True), (True, True), (False, False)])
def test_with_an_authority_the_certificate_and_its_name_are_verified(certificate, check, expected):
    context = module._tls(ConnectionOptions(ca_cert=certificate["certificate"], check_hostname=check))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, expected)
    assert [found["subject"] for found in context.get_ca_certs()] == [((("commonName", "db1"),),)]


def test_a_client_certificate_needs_its_own_key(certificate):
    module._tls(ConnectionOptions(client_cert=certificate["certificate"], client_key=certificate["key"]))
    with pytest.raises(DatabaseError, match="cannot be used"):
        module._tls(ConnectionOptions(client_cert=certificate["certificate"]))


NO_TLS = pymysql.err.OperationalError(2026, "SSL is required but the server doesn't support it")


def test_a_server_without_tls_gets_plain_text_unless_tls_is_asked_for(server, network, monkeypatch):
    def connect(**arguments):
        if "ssl" in arguments:
            raise NO_TLS
        return network.connect(**arguments)

    monkeypatch.setattr(pymysql, "connect", connect)
    session()
    assert [arguments.get("ssl_disabled") for arguments in server.opened] == [True]


def test_a_server_without_tls_is_refused_where_a_certificate_is_asked_for(server, certificate):
    with pytest.raises(DatabaseError, match="db1:3306 offers no TLS, but ca_cert or client_cert asks for it") as caught:
        session(ca_cert=certificate["certificate"])
    assert (caught.value.errno, server.closed) == (2026, 1)
    server.refusal = NO_TLS
    with pytest.raises(DatabaseError, match="TLS to db1:3306 failed"):
        session(ca_cert=certificate["certificate"])
    assert not [arguments for arguments in server.opened if "ssl" not in arguments], "plain text is not even tried"


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (error(1045, "Access denied for user 'x'"), r"refused the login of 'x' \(1045"),
        (ssl.SSLCertVerificationError("self-signed"), "TLS to db1:3306 failed"),
        (OSError("no route"), r"^db1:3306: no route\."),
        (RuntimeError("cryptography is required"), "cryptography is required"),
        (AttributeError("odd"), r"^db1:3306: AttributeError: odd\."),
    ],
)
def test_every_failure_to_log_in_names_the_server(server, refusal, text):
    server.refusal = refusal
    with pytest.raises(DatabaseError, match=text):
        session()


def test_the_account_of_an_option_file_is_not_guessed(server):
    server.refusal = error(1045, "Access denied")
    with pytest.raises(DatabaseError, match="refused the login of 'the account of the configuration file'"):
        Connection(ConnectionOptions(host="db1"))
