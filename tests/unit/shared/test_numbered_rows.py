# SPDX-License-Identifier: GPL-3.0-or-later
"""What drills conclude from acknowledged rows and from who was seen open."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from numbered_rows import Writes, never_two


def printed(*lines: tuple[float, ...]) -> SimpleNamespace:
    return SimpleNamespace(lines=lambda: [list(line) for line in lines])


def watched(server: int, since: float, until: float) -> list[tuple[float, ...]]:
    """Samples of a server that takes writes from one time to another, twenty a second."""
    return [(server, since + step / 20, since + step / 20 + 0.01, 0) for step in range(round((until - since) * 20))]


def writes(rows: list[tuple[float, ...]], *watches: list[tuple[float, ...]]) -> Writes:
    return Writes(SimpleNamespace(), [printed(*rows)], [printed(*lines) for lines in watches])


ROWS = [(1, 0.5, 31), (2, 0.9, 31), (3, 2.0, 32)]
MOVED = [*watched(0, 0, 1), (0, 1.0, 1.01, 1), (1, 1.0, 1.01, 1), *watched(1, 1.2, 3)]


def test_a_primary_that_has_moved_was_alone():
    found = writes(ROWS, MOVED, MOVED)
    never_two(found, 0)
    assert found.longest_pause() == pytest.approx(1.1)
    assert found.resumed(0, 32) == 2.0


def test_two_that_take_writes_at_once_are_seen_by_different_nodes():
    found = writes(ROWS, watched(0, 0, 2), watched(1, 1.5, 3))
    assert found.seconds_together() == pytest.approx(0.45, abs=0.1)
    with pytest.raises(AssertionError):
        never_two(found, 0)


def test_one_that_says_nothing_is_not_taken_for_open_meanwhile():
    frozen = [*watched(0, 0, 1), *watched(1, 2, 4), *watched(0, 5, 5.2)]
    assert writes(ROWS, frozen, frozen).open_together() == []


def test_a_row_of_the_old_server_after_one_of_the_new_is_seen():
    with pytest.raises(AssertionError):
        never_two(writes([*ROWS, (4, 2.1, 31)], MOVED, MOVED), 0)


def test_nobody_who_watches_is_no_proof():
    with pytest.raises(AssertionError, match="nobody was watched"):
        never_two(writes(ROWS, MOVED, []), 0)
