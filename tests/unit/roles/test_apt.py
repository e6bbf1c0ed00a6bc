# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever calls apt waits for another program that holds its locks, as one does on a fresh machine, and says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from places import TOP


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tasks of a file, those in blocks and plays included."""
    for entry in entries:
        yield entry
        for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks(entry.get(part) or [])


CALLS = [
    pytest.param(task, id=f"{path.relative_to(TOP)}: {task['name']}")
    for folder in ("roles/*/tasks", "roles/*/handlers", "playbooks")
    for path in sorted(TOP.glob(f"{folder}/*.yml"))
    for task in tasks(yaml.safe_load(path.read_text()) or [])
    if "ansible.builtin.apt" in task
]


@pytest.mark.parametrize("task", CALLS)
def test_apt_waits_for_its_locks_and_says_so(task):
    assert task["ansible.builtin.apt"]["lock_timeout"] == "{{ __webstack_apt_slice }}"
    seen = task["register"]
    # Any other failure is not repeated.
    assert task["until"] == f"{seen} is not failed or {seen}.msg is not search(__webstack_apt_busy)"
    assert (task["retries"], task["delay"]) == ("{{ __webstack_apt_retries }}", 1)


def test_all_calls_were_found():
    assert len(CALLS) >= 7


@pytest.mark.parametrize(
    ("said", "busy"),
    [
        # As the module says it of the index, and apt-get of dpkg.
        ("Failed to lock apt for exclusive operation: Failed to lock directory /var/lib/apt/lists/: E:...", True),
        ("'apt-get install' failed: E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 31", True),
        ("failed: E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another ...", True),
        ("dpkg: error: dpkg frontend lock was locked by another process with pid 31", True),
        ("No package matching 'nginx' is available", False),
        ("Failed to update apt cache after 5 retries: unknown reason", False),
    ],
)
def test_only_a_lock_is_waited_for(said, busy):
    pattern = yaml.safe_load((TOP / "roles/topology/vars/main.yml").read_text())["__webstack_apt_busy"]
    assert bool(re.search(pattern, said)) is busy
