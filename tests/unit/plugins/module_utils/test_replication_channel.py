# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever uses the manager of a channel, a module or not, never reads a password in what it tells."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import Connection, ConnectionOptions
from ansible_collections.pentad.webstack.plugins.module_utils.replication.channel import ChannelError, Manager
from scripted_mysql import Pair, error

WANTED = {"source_host": "db9", "source_user": "repl"}


@pytest.fixture(params=["mysql97", "mariadb118"])
def pair(request, network, clock) -> Pair:
    """A recorded replica without a channel."""
    found = Pair(request.param, network, clock)
    found.replica.rows["replica_status"] = []
    return found


def manager(check_mode: bool = False) -> Manager:
    """The manager of the replica's unnamed channel."""
    return Manager(Connection(ConnectionOptions(user="root", unix_socket=Pair.REPLICA)), "", check_mode)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_password_is_masked_in_the_statements(pair, check_mode):
    pair.replica.on("CHANGE ", [])
    found = manager(check_mode)
    found.configure(WANTED, "s3cret", None, False)
    (shown,) = found.statements
    assert ("PASSWORD = '********'" in shown, "s3cret" in shown) == (True, False)
    assert any("s3cret" in statement for statement in pair.replica.told) is not check_mode


def test_a_password_is_masked_in_an_error(pair):
    pair.replica.on("CHANGE ", error(1064, "syntax"))
    with pytest.raises(ChannelError, match=r"PASSWORD = '\*{8}'") as caught:
        manager().configure(WANTED, "s3cret", None, False)
    assert "s3cret" not in str(caught.value)
