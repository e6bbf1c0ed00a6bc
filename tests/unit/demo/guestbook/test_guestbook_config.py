# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment: what is read from it, and what is said about mistakes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from guestbook.config import ConfigError, DatabaseUrl, Settings
from places import TOP

URL = "mysql://app:secret@127.0.0.1:3306/guestbook"
APPLICATION = TOP / "demo" / "guestbook"


def parse(text: str) -> DatabaseUrl:
    return DatabaseUrl.parse(text, "DATABASE_URL")


def test_all_parts_are_read_and_decoded():
    url = parse("mysql://my%40app:p%2Fa%3As%25s+w@127.0.0.1:3307/guest%2Dbook?ssl_ca=/etc/ssl/ca.pem")
    assert url == DatabaseUrl("127.0.0.1", 3307, "my@app", "p/a:s%s+w", "guest-book", "/etc/ssl/ca.pem")


def test_port_password_and_tls_have_defaults():
    url = parse("mysql://app@db/guestbook")
    assert (url.port, url.password, url.ssl_ca, url.tls()) == (3306, "", None, None)


def test_ipv6_host():
    assert parse("mysql://app:x@[::1]:3306/guestbook").host == "::1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("postgres://app:hush@db/guestbook", "does not begin with mysql://"),
        ("guestbook", "does not begin with mysql://"),
        ("mysql:///guestbook", "names no host"),
        ("mysql://db/guestbook", "names no user"),
        ("mysql://app:hush@db", "names no database"),
        ("mysql://app:hush@db/", "names no database"),
        ("mysql://app:hush@db/a/b", "names no database"),
        ("mysql://app:hu/sh@db/guestbook", "percent-encode"),
        ("mysql://app:hush@db:port/guestbook", "percent-encode"),
        ("mysql://app:hush@db:99999/guestbook", "percent-encode"),
        ("mysql://app:hush@[::1/guestbook", "percent-encode"),
        ("mysql://app:hush@db/guestbook?ssl=1", "option other than ssl_ca (ssl)"),
        ("mysql://app:hush@db/guestbook?ssl_ca=", "empty ssl_ca"),
        ("mysql://app:hush@db/guestbook?ssl_ca", "is not a URL"),
        ("mysql://app:hush@db/guest#book", "%23"),
    ],
)
def test_mistakes_name_variable_and_reason_but_no_password(text, reason):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    sentence = str(caught.value)
    assert sentence.startswith("DATABASE_URL ")
    assert reason in sentence
    assert "hu" not in sentence.replace(reason, "")


def test_password_is_not_in_repr():
    assert "hush" not in repr(parse("mysql://app:hush@db/guestbook"))


def test_settings_have_defaults():
    settings = Settings.from_environment({"DATABASE_URL": URL})
    assert settings.replica is None
    assert settings.node == socket.gethostname()[:64]
    assert settings.release == "unreleased"


@pytest.mark.parametrize("environ", [{}, {"DATABASE_URL": ""}, {"DATABASE_URL": " "}])
def test_missing_url(environ):
    with pytest.raises(ConfigError, match="DATABASE_URL is not set: set it to"):
        Settings.from_environment(environ)


def test_replica_url_is_checked_as_well():
    with pytest.raises(ConfigError, match="DATABASE_REPLICA_URL names no database"):
        Settings.from_environment({"DATABASE_URL": URL, "DATABASE_REPLICA_URL": "mysql://app:x@db"})


def test_unusable_ca_is_found_at_start(tmp_path):
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for path in (broken, tmp_path / "absent.pem"):
        with pytest.raises(ConfigError, match="DATABASE_URL names ssl_ca=.*cannot be loaded"):
            Settings.from_environment({"DATABASE_URL": f"mysql://app:x@db/guestbook?ssl_ca={path}"})


@pytest.mark.parametrize(("module", "status"), [("guestbook.wsgi", 3), ("guestbook.migrate", 2)])
def test_start_without_url_is_one_sentence(module, status):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=APPLICATION, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert done.stdout == ""
    assert "DATABASE_URL is not set" in done.stderr
    assert len(done.stderr.splitlines()) == 1
