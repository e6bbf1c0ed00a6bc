# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thin layer over PyMySQL, in which every wait is bounded and every error is a sentence."""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Sequence

from .dialect import Dialect

DRIVER_MISSING = (
    "The Python library PyMySQL is not installed for {python}. "
    "Install the package python3-pymysql (Debian, Ubuntu), or PyMySQL with pip."
)

SYSTEM_SCHEMAS = ("mysql", "sys", "performance_schema", "information_schema")
_SSL_CONNECTION_ERROR = 2026
_UNREACHABLE = {2002, 2003}
_LOST = {2006, 2013, 2014}
_ACCESS = {1044, 1045, 1142, 1143, 1227, 1370}

Row = Dict[str, Any]


class DatabaseError(Exception):
    """A failure as a sentence: which server, what happened, what to do."""

    def __init__(self, message: str, errno: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.errno, self.hint = message, errno, hint

    @property
    def denied(self) -> bool:
        """Whether the server refused the account or a privilege."""
        return self.errno in _ACCESS

    @property
    def lost(self) -> bool:
        """Whether the connection is gone, so that only a new one helps."""
        return self.errno in _LOST

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


@dataclass(frozen=True)
class ConnectionOptions:
    """How to connect to a server: its address, the account, TLS and timeouts."""

    user: str | None = None
    password: str | None = None
    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None
    config_file: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    check_hostname: bool | None = None
    connect_timeout: int = 30
    read_timeout: int = 10
    # TLS over the socket, unverified: a server shows some values only to a session over TLS.
    socket_tls: bool = False
    # What messages call the server, instead of its address.
    name: str = ""

    @property
    def where(self) -> str:
        """The server as messages name it."""
        return self.name or self.unix_socket or f"{self.host}:{self.port}"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ConnectionOptions:
        """From the login_* options of a module."""
        return cls(
            # An empty one is none.
            user=params.get("login_user") or None,
            password=params.get("login_password") or None,
            host=params.get("login_host") or "localhost",
            port=params.get("login_port") or 3306,
            unix_socket=params.get("login_unix_socket"),
            config_file=params.get("config_file"),
            ca_cert=params.get("ca_cert"),
            client_cert=params.get("client_cert"),
            client_key=params.get("client_key"),
            check_hostname=params.get("check_hostname"),
            connect_timeout=params.get("connect_timeout") or 30,
            read_timeout=params.get("read_timeout") or 10,
        )


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options by which every database module reaches its server."""
    return {
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "login_host": {"type": "str", "default": "localhost"},
        "login_port": {"type": "int", "default": 3306},
        "login_unix_socket": {"type": "str"},
        "config_file": {"type": "path", "default": "~/.my.cnf"},
        "connect_timeout": {"type": "int", "default": 30},
        "read_timeout": {"type": "int", "default": 10},
        "ca_cert": {"type": "path", "aliases": ["ssl_ca"]},
        "client_cert": {"type": "path", "aliases": ["ssl_cert"]},
        "client_key": {"type": "path", "aliases": ["ssl_key"]},
        "check_hostname": {"type": "bool"},
    }


def quote(identifier: str) -> str:
    """An identifier quoted for a statement, in which a percent sign is written twice."""
    if not identifier or "\0" in identifier:
        raise DatabaseError(f"{identifier!r} cannot be the name of a database object.")
    return "`" + identifier.replace("`", "``").replace("%", "%%") + "`"


def _driver() -> Any:
    try:
        import pymysql  # noqa: PLC0415 - the modules must be able to say which package is missing
        import pymysql.cursors  # noqa: PLC0415 - likewise
    except ImportError as error:
        import sys  # noqa: PLC0415 - needed for this message alone

        raise DatabaseError(DRIVER_MISSING.format(python=sys.executable)) from error
    return pymysql


def _tls(options: ConnectionOptions) -> ssl.SSLContext | None:
    """The TLS context for a TCP connection; unverified where no CA is given (better than plain text)."""
    try:
        context = ssl.create_default_context(cafile=options.ca_cert)
        # The certificates that the servers generate for themselves are not strictly RFC 5280.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if not options.ca_cert:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif options.check_hostname is not None:
            context.check_hostname = options.check_hostname
        if options.client_cert:
            context.load_cert_chain(options.client_cert, options.client_key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(f for f in (options.ca_cert, options.client_cert, options.client_key) if f)
        raise DatabaseError(f"The TLS files ({files}) cannot be used: {error}.") from error
    return context


def _explain(options: ConnectionOptions, user: str, errno: int | None, text: str) -> DatabaseError:
    where = options.where
    if errno == 1045:
        hint = "Check login_user and login_password, and that the account exists for the host this connects from."
        if options.unix_socket:
            hint = "Check login_user and login_password; roles take them from webstack_mysql_login_user and _password."
        return DatabaseError(f"{where} refused the login of {user!r} (1045: {text}).", errno, hint)
    if errno == 1698:
        hint = "The account uses socket authentication: log in over login_unix_socket as that system user."
        return DatabaseError(f"{where} refused the login of {user!r} (1698: {text}).", errno, hint)
    if errno == 1040:
        return DatabaseError(f"{where} has no free connection left (1040: {text}).", errno, "Raise max_connections.")
    if errno == 1129:
        hint = "Run FLUSH HOSTS (or TRUNCATE performance_schema.host_cache) there."
        return DatabaseError(f"{where} has blocked this host after failed connections (1129).", errno, hint)
    if errno == _SSL_CONNECTION_ERROR or "CERTIFICATE_VERIFY_FAILED" in text:
        hint = "Check ca_cert, and that the certificate of the server names this host."
        return DatabaseError(f"TLS to {where} failed: {text}.", _SSL_CONNECTION_ERROR, hint)
    if errno == 2013 or "timed out" in text:
        if "connect" in text.lower() and errno == 2003:
            hint = "Check the address, the port and the firewall between the two hosts."
            return DatabaseError(f"{where} did not answer within {options.connect_timeout} s: {text}.", errno, hint)
        hint = "The process may be frozen or starved, or the network cut: check the server itself."
        return DatabaseError(
            f"{where} accepted the connection but did not answer within {options.read_timeout} s.", errno, hint
        )
    if errno in (2002, 2003):
        hint = "Check that the server runs and listens there."
        return DatabaseError(f"{where} cannot be reached: {text}.", errno, hint)
    return DatabaseError(f"{where}: {text} ({errno}).", errno)


def _raw_connect(driver: Any, options: ConnectionOptions, tls: ssl.SSLContext | None) -> Any:
    arguments: dict[str, Any] = {
        "user": options.user,
        "password": (options.password or "").encode(),
        "connect_timeout": options.connect_timeout,
        "read_timeout": options.read_timeout,
        "write_timeout": options.read_timeout,
        "autocommit": True,
        "charset": "utf8mb4",
        # The server's own may be ANSI_QUOTES, with which SHOW GRANTS quotes differently.
        "sql_mode": "",
        "cursorclass": driver.cursors.DictCursor,
        "program_name": "pentad.webstack",
        # Times are compared; in UTC no hour comes twice.
        "init_command": "SET SESSION time_zone = '+00:00'",
    }
    config = Path(options.config_file).expanduser() if options.config_file else None
    if config and config.is_file() and not options.user:
        arguments["read_default_file"] = str(config)
    elif not options.user:
        arguments["user"] = "root"
    if options.unix_socket:
        arguments["unix_socket"] = options.unix_socket
    else:
        # The driver's own default is the same host; unset, the file may name another one.
        arguments["host"] = None if options.host == "localhost" and "read_default_file" in arguments else options.host
        arguments["port"] = options.port
    arguments.update({"ssl_disabled": True} if tls is None else {"ssl": tls})
    return driver.connect(**arguments)


class Connection:
    """One session; statements return rows as dicts with the server's column names."""

    def __init__(self, options: ConnectionOptions) -> None:
        self.options = options
        self._driver = _driver()
        self._raw = self._open()
        try:
            row = self.one("SELECT @@version AS version, @@version_comment AS comment")
            self.dialect = Dialect.of(_text(row.get("version")), _text(row.get("comment")))
        except DatabaseError:
            self.close()
            raise

    def _open(self) -> Any:
        options, driver = self.options, self._driver
        user = options.user or "the account of the configuration file"
        wants_tls = bool(options.ca_cert or options.client_cert)
        tls = None if options.unix_socket and not options.socket_tls else _tls(options)
        try:
            raw = self._try(options, tls, wants_tls)
        except driver.err.MySQLError as error:
            errno, text = _error_parts(error)
            raise _explain(options, user, errno, text) from error
        except ssl.SSLError as error:
            raise _explain(options, user, _SSL_CONNECTION_ERROR, str(error)) from error
        except (OSError, RuntimeError, ValueError, UnicodeError) as error:
            raise DatabaseError(f"{options.where}: {error}.") from error
        except Exception as error:
            # The driver lets parser errors of the option file and protocol surprises through as they are.
            raise DatabaseError(f"{options.where}: {type(error).__name__}: {error}.") from error
        if wants_tls and not options.unix_socket and not isinstance(getattr(raw, "_sock", None), ssl.SSLSocket):
            raw.close()
            raise DatabaseError(
                f"{options.where} offers no TLS, but ca_cert or client_cert asks for it.", _SSL_CONNECTION_ERROR
            )
        return raw

    def _try(self, options: ConnectionOptions, tls: ssl.SSLContext | None, wants_tls: bool) -> Any:
        try:
            return _raw_connect(self._driver, options, tls)
        except self._driver.err.OperationalError as error:
            # Newer drivers refuse a server without TLS; without a CA plain text is the fallback.
            if tls is None or wants_tls or "SSL is required" not in str(error):
                raise
            return _raw_connect(self._driver, options, None)

    def reopen(self) -> None:
        """A new session, after one that was lost."""
        self.close()
        self._raw = self._open()

    def rows(self, statement: str, arguments: Sequence[Any] = (), as_text: bool = True) -> list[Row]:
        """The rows of a statement, as text unless as_text is false."""
        try:
            with self._raw.cursor() as cursor:
                # Always with arguments, so that a percent sign is always written twice.
                cursor.execute(statement, tuple(arguments))
                found = list(cursor.fetchall())
                if not as_text:
                    return found
                return [{key: _text(value) for key, value in row.items()} for row in found]
        except self._driver.err.MySQLError as error:
            errno, text = _error_parts(error)
            if errno in _LOST or errno == 0:
                hint = "The process may be frozen or starved, or the network cut: check the server itself."
                message = f"{self.where} did not answer a statement within {self.options.read_timeout} s ({text})."
                raise DatabaseError(message, errno or 2013, hint) from error
            raise DatabaseError(f"{self.where}: {text} ({errno}).", errno) from error

    def one(self, statement: str, arguments: Sequence[Any] = ()) -> Row:
        """The first row; empty if there is none."""
        found = self.rows(statement, arguments)
        return found[0] if found else {}

    def value(self, statement: str, arguments: Sequence[Any] = ()) -> Any:
        """The first value of the first row; None if there is none."""
        return next(iter(self.one(statement, arguments).values()), None)

    @contextlib.contextmanager
    def longer(self, seconds: float) -> Iterator[None]:
        """Allow a statement that is meant to take this long on top of the usual limit."""
        usual = self._raw._read_timeout
        self._raw._read_timeout = self.options.read_timeout + seconds
        try:
            yield
        finally:
            self._raw._read_timeout = usual

    @property
    def where(self) -> str:
        """The server as messages name it."""
        return self.options.where

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        with contextlib.suppress(Exception):
            self._raw.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def connect_to_starting(options: ConnectionOptions, seconds: float = 30) -> Connection:
    """A session with a local server that may still be starting, as after a copy of its data."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Connection(options)
        except DatabaseError as error:
            absent = error.errno in _UNREACHABLE or error.lost
            if not options.unix_socket or not absent or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def client_options(options: ConnectionOptions, folder: Path) -> list[str]:
    """First options of the server's own programs: a file with the login, so that no list of processes shows it.

    Without an account of its own such a program reads its own option files, as a connection does.
    """
    if not options.user:
        return []
    path = folder / "login.cnf"
    path.touch(mode=0o600)
    quoted = [str(word).replace("\\", "\\\\").replace('"', '\\"') for word in (options.user, options.password or "")]
    path.write_text('[client]\nuser="{}"\npassword="{}"\n'.format(*quoted), encoding="utf-8")
    return [f"--defaults-extra-file={path}"]


def shown_certificate(options: ConnectionOptions) -> bytes:
    """The certificate that a server shows to those who log in, in DER; it is read and not verified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    driver = _driver()
    try:
        raw = _raw_connect(driver, options, context)
    except driver.err.MySQLError as error:
        errno, text = _error_parts(error)
        raise _explain(options, options.user or "root", errno, text) from error
    except OSError as error:
        raise DatabaseError(f"TLS to {options.where} failed: {error}.", _SSL_CONNECTION_ERROR) from error
    try:
        secured = raw._sock
        return (secured.getpeercert(binary_form=True) if isinstance(secured, ssl.SSLSocket) else None) or b""
    finally:
        raw.close()


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else value


def _error_parts(error: Exception) -> tuple:
    arguments = error.args
    text = str(arguments[1]) if len(arguments) >= 2 and isinstance(arguments[0], int) else str(error)
    # The driver repeats the host and an errno in its own words; keep the reason.
    reason = re.match(r"Can't connect to MySQL server on '[^']*' \((.*)\)$", text)
    errno = arguments[0] if arguments and isinstance(arguments[0], int) else None
    return errno, (reason.group(1) if reason else text)


def user_schemas(connection: Connection) -> list[str]:
    """Databases that are not the server's own; directories without tables, as a file system's lost+found, are none."""
    rows = connection.rows("SELECT schema_name AS name FROM information_schema.schemata ORDER BY 1")
    names = [row["name"] for row in rows]
    return [name for name in names if name not in SYSTEM_SCHEMAS and not name.startswith("#mysql50#")]
