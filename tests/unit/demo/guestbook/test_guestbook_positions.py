# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions from untrusted cookies, and positions made short enough for them."""

from __future__ import annotations

import pytest
from guestbook.positions import LIMIT, PRIMARY, SHORT, carried, shortened, valid_position

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    "text",
    [
        PRIMARY,
        f"{A}:1",
        f"{A}:1-5:11-18",
        f"{A}:1-5,{B}:3",
        f"{A}:1-5:blue:1-3:7".upper().replace("BLUE", "blue"),
        "0-1-5",
        "0-1-5,1-2-18446744073709551615",
    ],
)
def test_positions_are_recognised(text):
    assert valid_position(text) == text


def test_line_ends_and_spaces_are_taken_out():
    assert valid_position(f" {A}:1-5,\n{B}:3 ") == f"{A}:1-5,{B}:3"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "0-1",
        "0-1-5,",
        "0-1-5;1-1-1",
        A,
        f"{A}:",
        f"{A}:1-",
        f"{A}:1-5,0-1-5",
        f"{A}:1-5') OR SLEEP(9) -- ",
        "'; DROP TABLE entries; --",
        "<script>",
        "٠-١-٥",
        "1" * 100000,
        ",".join(["0-1-5"] * LIMIT),
    ],
)
def test_anything_else_is_ignored(text):
    assert valid_position(text) is None


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_without_a_position_the_primary_is_read(nothing):
    assert carried(nothing) == PRIMARY


def test_short_positions_are_carried_whole():
    assert carried(f"{A}:1-5,\n{B}:3") == f"{A}:1-5,{B}:3"
    assert carried("0-1-5") == "0-1-5"


def long_set() -> str:
    others = [f"{number:08x}{A[8:]}:1-{number}" for number in range(1, 9)]
    return ",\n".join([*others, f"{A}:1-5:7-90"])


def test_long_positions_keep_the_writer_only():
    assert carried(long_set()) is None
    short = shortened(long_set(), ["", A.upper()])
    assert short == f"{A}:1-5:7-90"
    assert valid_position(short) == short


def test_a_group_writes_under_its_own_name():
    assert shortened(long_set(), [B, A]) == f"{A}:1-5:7-90"


def test_a_writer_that_cannot_be_told_or_is_too_long_means_the_primary():
    assert shortened(long_set(), [B]) == PRIMARY
    gaps = ":".join(f"{number}-{number + 1}" for number in range(1, 300, 3))
    assert len(gaps) > SHORT
    assert shortened(f"{A}:{gaps}", [A]) == PRIMARY
