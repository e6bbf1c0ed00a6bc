# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper that all tests wait with."""

from __future__ import annotations

import pytest
from waiting import wait


def test_what_the_condition_gave_is_returned(monkeypatch):
    monkeypatch.setattr("waiting.time.sleep", lambda _seconds: None)
    answers = iter([None, "", "found"])
    assert wait("an answer", lambda: next(answers)) == "found"


def test_a_wait_in_vain_fails_and_says_what_for():
    with pytest.raises(AssertionError, match="waited 0 s in vain for rain"):
        wait("rain", lambda: False, 0)
