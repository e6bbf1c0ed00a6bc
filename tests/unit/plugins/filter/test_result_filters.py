# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message shows of what tasks returned."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.filter.results import failures, last_words

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
