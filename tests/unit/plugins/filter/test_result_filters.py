# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message shows of what tasks returned."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.filter.results import failures, last_words, switchover_report

FAILED, DONE = {"item": 2, "failed": True, "msg": "no"}, {"item": 1, "failed": False}


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ({"results": [DONE, FAILED, {"item": 3}]}, [FAILED]),
        ({"results": []}, []),
        (FAILED, [FAILED]),
        (DONE, []),
        ({}, []),
    ],
)
def test_what_failed_is_found_with_a_loop_and_without(result, failed):
    assert failures(result) == failed


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"stdout": "a\n", "stderr": "b\n", "msg": "non-zero return code"}, "a\n b"),
        ({"stdout": "", "stderr": "b", "msg": "non-zero return code"}, "b"),
        ({"msg": "no such program"}, "no such program"),
        ({"stdout": "", "stderr": ""}, "no output"),
        ({"stdout": "x" * 3000 + "end"}, "x" * 1997 + "end"),
    ],
)
def test_a_failed_command_is_quoted_by_its_end(result, words):
    assert last_words(result) == words


def test_secrets_are_replaced_by_their_names():
    secrets = {"(url)": "mysql://app:pw@db", "(password)": "pw", "(unset)": ""}
    assert last_words({"stderr": "mysql://app:pw@db: pw refused"}, secrets) == "(url): (password) refused"


def test_no_secret_is_cut_in_two_and_shown_in_part():
    assert last_words({"stdout": "12345678" + "x" * 1996}, {"(password)": "12345678"}) == "ord)" + "x" * 1996


SWITCHED = {
    "outcome": "switched", "old": "db1", "new": "db2", "seconds_without_writer": 0.0871, "problems": [],
    "ended_transactions": [{"id": 7}], "ended_sessions": [],
}  # fmt: skip


def test_a_switchover_is_told_in_one_line():
    assert switchover_report(SWITCHED) == (
        "db2 is the primary instead of db1; writes paused for 0.09 s. Ended on db1: 1 transactions, 0 sessions."
    )


def test_what_a_switchover_left_undone_is_told():
    assert switchover_report({**SWITCHED, "problems": ["db3: it is frozen."]}).endswith("db3: it is frozen.")


def test_a_planned_switchover_is_told_in_order():
    steps = [{"name": "close", "server": "db1"}, {"name": "open", "server": "db2"}]
    planned = {"outcome": "planned", "old": "db1", "new": "db2", "steps": steps}
    assert switchover_report(planned) == (
        "db2 would become the primary instead of db1, in these steps: close (db1), open (db2)."
    )
