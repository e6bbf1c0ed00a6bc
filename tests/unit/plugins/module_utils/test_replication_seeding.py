# SPDX-License-Identifier: GPL-3.0-or-later
"""An empty server is seeded, one that can catch up is left to, and data that nobody gave up are never overwritten."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.seeding import SeedError, needs_copy


@pytest.mark.parametrize(
    ("channels", "schemas", "catch_up", "overwrite", "expected"),
    [
        (0, [], False, False, (True, "the server is empty")),
        (1, [], False, False, (False, "the server already has a replication channel")),
        (1, ["shop"], False, False, (False, "the server already has a replication channel")),
        (0, ["shop"], True, False, (False, "the server can catch up from the source's binary logs")),
        (0, [], True, False, (False, "the server can catch up from the source's binary logs")),
        (0, ["shop"], False, True, (True, "overwriting was requested")),
        (1, ["shop"], True, True, (True, "overwriting was requested")),
    ],
)
def test_what_is_there_decides(channels, schemas, catch_up, overwrite, expected):
    assert needs_copy(channels, schemas, catch_up, overwrite) == expected


def test_data_of_its_own_are_left_alone():
    with pytest.raises(SeedError, match=r"holds data \(guestbook, shop\).*nothing was changed.*mysql_replica_rebuild"):
        needs_copy(0, ["guestbook", "shop"], False, False)


def test_data_are_kept_if_the_source_has_none_of_their_transactions():
    with pytest.raises(SeedError, match=r"\(shop\) and the source has none of its transactions") as refused:
        needs_copy(0, ["shop"], False, False, related=False)
    assert "rebuild" not in str(refused.value)
