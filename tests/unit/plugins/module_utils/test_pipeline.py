# SPDX-License-Identifier: GPL-3.0-or-later
"""Of two programs in a pipe, how each ended and what it said is known."""

from __future__ import annotations

import os

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.pipeline import Ended, pipeline


def sh(script: str) -> list[str]:
    """A program out of a line of shell."""
    return ["sh", "-c", script]


def test_what_the_first_writes_the_second_reads(tmp_path):
    copy = tmp_path / "copy"
    assert pipeline(sh("printf 'a\\nb'"), sh(f"cat > {copy}")) == (Ended(0, ""), Ended(0, ""))
    assert copy.read_text() == "a\nb"


def test_each_is_told_apart_by_its_status_and_its_last_words():
    first, second = pipeline(sh("echo one >&2; exit 3"), sh("echo two >&2; exit 4"))
    assert (first, second) == (Ended(3, "one\n"), Ended(4, "two\n"))


def test_the_first_ends_when_nobody_reads_any_more():
    first, second = pipeline(["yes"], sh("read line; echo enough >&2; exit 1"))
    assert second == Ended(1, "enough\n")
    assert first.code != 0


def test_the_first_has_nothing_to_read(tmp_path):
    (tmp_path / "typed").write_text("typed by somebody")
    usual = os.dup(0)
    with (tmp_path / "typed").open() as typed:
        os.dup2(typed.fileno(), 0)
    try:
        assert pipeline(["cat"], sh("wc -c >&2"))[1].stderr.strip() == "0"
    finally:
        os.dup2(usual, 0)
        os.close(usual)


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        pipeline(["no-such-program"], ["cat"])
