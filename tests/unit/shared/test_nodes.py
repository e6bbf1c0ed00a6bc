# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on the lab read off a run of a playbook."""

from __future__ import annotations

import pytest
from nodes import Run

RECAP = """
PLAY RECAP *********************************************************************
db1                        : ok=12   changed=0    unreachable=0    failed=0    skipped=3    rescued=0    ignored=0
a-node-with-a-name-that-is-longer-than-the-column : ok=9    changed=2    unreachable=0    failed=1
"""


def test_changed_tasks_are_those_of_the_recap():
    run = Run(0, f"ok: [db1] => changed=7\n{RECAP}")
    assert run.changed == {"db1": 0, "a-node-with-a-name-that-is-longer-than-the-column": 2}


def test_a_run_that_reached_no_host_changed_none():
    assert Run(0, "PLAY RECAP ****\n").changed == {}


def test_a_run_without_a_recap_says_nothing_of_changes():
    with pytest.raises(AssertionError, match="it ended with 4 and no recap: ERROR! no such playbook"):
        assert Run(4, "ERROR! no such playbook").changed
