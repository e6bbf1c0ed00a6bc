# SPDX-License-Identifier: GPL-3.0-or-later
"""An empty server is seeded, one that can catch up is left to, and data that nobody gave up are never overwritten."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql_connection import DatabaseError
from ansible_collections.pentad.webstack.plugins.modules import mysql_clone


@pytest.mark.parametrize(
    ("channels", "schemas", "catch_up", "overwrite", "expected"),
    [
        (0, [], False, False, (True, "the server is empty")),
        (1, [], False, False, (False, "the server already has a replication channel")),
        (1, ["shop"], False, False, (False, "the server already has a replication channel")),
        (0, ["shop"], True, False, (False, "the server can catch up from the donor's binary logs")),
        (0, [], True, False, (False, "the server can catch up from the donor's binary logs")),
        (0, ["shop"], False, True, (True, "overwriting was asked for")),
        (1, ["shop"], True, True, (True, "overwriting was asked for")),
    ],
)
def test_what_is_there_decides(channels, schemas, catch_up, overwrite, expected):
    assert mysql_clone.decide(channels, schemas, catch_up, overwrite) == expected


def test_data_of_its_own_are_left_alone():
    with pytest.raises(DatabaseError, match=r"holds data \(guestbook, shop\).*left alone.*mysql_replica_rebuild"):
        mysql_clone.decide(0, ["guestbook", "shop"], False, False)


class Server:
    """A server that answers the questions of the module."""

    def __init__(self, values: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> None:
        self.values, self._rows = values, rows or []
        self.asked: list[tuple[str, list[Any]]] = []

    def value(self, statement: str, values: list[Any] | None = None) -> Any:
        self.asked.append((statement, values or []))
        return next(value for part, value in self.values.items() if part in statement)

    def rows(self, _statement: str) -> list[dict[str, Any]]:
        return self._rows


DONOR = {"gtid_executed": "a:1-100", "gtid_purged": "a:1-10"}


@pytest.mark.parametrize(("subset", "expected"), [(1, True), (0, False), (None, False)])
def test_a_part_of_the_donor_whose_rest_is_still_logged_can_catch_up(subset, expected):
    local, donor = Server({"GTID_SUBSET": subset, "gtid_executed": "a:1-50"}), Server(DONOR)
    assert mysql_clone.can_catch_up(local, donor) is expected
    assert local.asked[-1][1] == ["a:1-50", "a:1-100", "a:1-10", "a:1-50"]


def test_a_server_that_has_executed_nothing_cannot_catch_up():
    donor = Server(DONOR)
    assert mysql_clone.can_catch_up(Server({"gtid_executed": ""}), donor) is False
    assert donor.asked == []


def test_schemas_of_the_server_itself_are_no_data():
    names = ["information_schema", "mysql", "performance_schema", "shop", "sys"]
    assert mysql_clone.user_schemas(Server({}, [{"name": name} for name in names])) == ["shop"]
