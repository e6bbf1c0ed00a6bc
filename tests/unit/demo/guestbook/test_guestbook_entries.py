# SPDX-License-Identifier: GPL-3.0-or-later
"""What is accepted as an entry."""

from __future__ import annotations

from datetime import datetime

import pytest
from guestbook.entries import MESSAGE_MAX, NAME_MAX, Draft, Entry, Invalid, draft


def problems(**values: object) -> set[str]:
    with pytest.raises(Invalid) as caught:
        draft({"name": "Ada", "message": "Hello", **values})
    return set(caught.value.fields)


def test_blanks_are_trimmed_and_line_ends_made_one():
    assert draft({"name": "  Ada\u00a0", "message": "\r\n a\r\nb\tc \n"}) == Draft("Ada", "a\nb\tc")


def test_longest_values_count_characters_not_bytes():
    values = {"name": "🎉" * NAME_MAX, "message": "ä\r\n" * (MESSAGE_MAX // 2 - 1) + "🎉"}
    assert draft(values).name == values["name"]


def test_composed_emoji_and_right_to_left_text_are_kept():
    assert draft({"name": "👩‍👩‍👧", "message": "שלום"}) == Draft("👩‍👩‍👧", "שלום")


@pytest.mark.parametrize("value", ["", "   ", "\u200b\u200d", "\u3000", None])
def test_nothing_visible_is_not_enough(value):
    assert problems(name=value) == {"name"}
    assert problems(message=value) == {"message"}


def test_one_character_too_many():
    assert problems(name="x" * (NAME_MAX + 1), message="x" * (MESSAGE_MAX + 1)) == {"name", "message"}


@pytest.mark.parametrize("value", ["a\x00b", "a\x1b[31m", "a\ud800b"])
def test_control_characters_and_half_characters(value):
    assert problems(name=value, message=value) == {"name", "message"}


def test_a_name_has_one_line():
    assert problems(name="a\nb") == {"name"}


@pytest.mark.parametrize("value", [7, ["a"], {"a": 1}, True])
def test_only_text_is_text(value):
    assert problems(name=value) == {"name"}


def test_times_are_utc():
    entry = Entry(1, "Ada", "Hello", datetime(2026, 1, 2, 3, 4, 5, 678900), "web1")
    assert (entry.iso, entry.shown_time) == ("2026-01-02T03:04:05.678Z", "02 Jan 2026, 03:04 UTC")
