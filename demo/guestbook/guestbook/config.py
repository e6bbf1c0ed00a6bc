# SPDX-License-Identifier: GPL-3.0-or-later
"""What the environment tells the application."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

FORM = "mysql://user:password@host:3306/database?ssl_ca=/path/ca.pem"
NODE_MAX = 64
RELEASE_FILE = Path(__file__).resolve().parent.parent / ".release"


class ConfigError(Exception):
    """One sentence naming what is wrong with the environment and what to set."""


@dataclass(frozen=True)
class DatabaseUrl:
    """Where a database answers, and as whom to log in there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    ssl_ca: str | None = None

    @classmethod
    def parse(cls, text: str, variable: str) -> DatabaseUrl:
        """Read a URL; an error names the variable and never repeats the value, which holds a password."""
        try:
            parts = urlsplit(text)
            port = parts.port or 3306
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            raise ConfigError(
                f"{variable} is not a URL: write it as {FORM} and percent-encode special characters "
                "in user and password."
            ) from None
        problem = _problem(parts.scheme, parts.hostname, parts.username, parts.path, parts.fragment, options)
        if problem:
            raise ConfigError(f"{variable} {problem}: write it as {FORM}.")
        return cls(
            host=parts.hostname or "",
            port=port,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path[1:]),
            ssl_ca=options.get("ssl_ca"),
        )

    def tls(self) -> ssl.SSLContext | None:
        """Trust exactly `ssl_ca`; the host name is a proxy on loopback and is not in the certificate."""
        if self.ssl_ca is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cafile=self.ssl_ca)
        return context


def _problem(
    scheme: str, host: str | None, user: str | None, path: str, fragment: str, options: Mapping[str, str]
) -> str | None:
    if scheme != "mysql":
        return "does not begin with mysql://"
    if fragment:
        return "contains an unencoded # (percent-encode it as %23)"
    if not host:
        return "names no host"
    if not user:
        return "names no user"
    if len(path) < 2 or "/" in path[1:]:
        return "names no database"
    unknown = sorted(set(options) - {"ssl_ca"})
    if unknown:
        return f"has an option other than ssl_ca ({', '.join(unknown)})"
    if options.get("ssl_ca") == "":
        return "has an empty ssl_ca"
    return None


@dataclass(frozen=True)
class Settings:
    """The whole configuration of one application process."""

    primary: DatabaseUrl
    replica: DatabaseUrl | None
    node: str
    release: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check everything at start, so that a mistake is seen by whoever makes it."""
        return cls(
            primary=primary_url(environ),
            replica=_url(environ, "DATABASE_REPLICA_URL"),
            node=(environ.get("NODE_NAME") or socket.gethostname())[:NODE_MAX],
            release=environ.get("RELEASE") or _released(),
        )


def _released() -> str:
    """Id that the release carries in a file of its own."""
    return RELEASE_FILE.read_text().strip() if RELEASE_FILE.is_file() else "unreleased"


def primary_url(environ: Mapping[str, str]) -> DatabaseUrl:
    """The read-write database, which must be given."""
    url = _url(environ, "DATABASE_URL")
    if url is None:
        raise ConfigError(f"DATABASE_URL is not set: set it to the read-write database, as {FORM}.")
    return url


def _url(environ: Mapping[str, str], variable: str) -> DatabaseUrl | None:
    text = environ.get(variable, "").strip()
    if not text:
        return None
    url = DatabaseUrl.parse(text, variable)
    try:
        url.tls()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{variable} names ssl_ca={url.ssl_ca}, which cannot be loaded ({error}): "
            "give a PEM file this user may read."
        ) from None
    return url
