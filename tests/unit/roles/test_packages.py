# SPDX-License-Identifier: GPL-3.0-or-later
"""The shadow of mysqld keeps a new server from being shut down by its package while it initializes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

BEGINNING = "USE mysql; \nALTER USER 'root'@'localhost' IDENTIFIED WITH 'auth_socket';\nSHUTDOWN;\n"


@pytest.fixture
def mysqld(top, tmp_path):
    """The shadow, in front of a server that prints its arguments."""
    server = tmp_path / "server"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(0o755)
    between = tmp_path / "mysqld"
    script = (top / "roles/packages/files/mysqld").read_text()
    assert script.count("/usr/sbin/mysqld") == 1
    between.write_text(script.replace("/usr/sbin/mysqld", str(server)))
    between.chmod(0o755)
    return between


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--initialize-insecure", "--user=mysql"], BEGINNING.replace("SHUTDOWN;\n", "")),
        # One that does not initialize ends only because it is told to.
        (["--user=mysql"], BEGINNING),
    ],
)
def test_a_server_that_initializes_is_not_shut_down(mysqld: Path, tmp_path: Path, words: list[str], left: str) -> None:
    beginning = tmp_path / "tmp.X"
    beginning.write_text(BEGINNING)
    given = [*words, f"--init-file={beginning}"]
    ran = subprocess.run([mysqld, *given], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == given
    assert beginning.read_text() == left
