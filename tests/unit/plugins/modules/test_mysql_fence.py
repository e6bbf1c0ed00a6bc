# SPDX-License-Identifier: GPL-3.0-or-later
"""An old primary is stopped so that neither a reboot nor a thaw brings it back, and let run again without its right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils import systemd
from ansible_collections.pentad.webstack.plugins.modules import mysql_fence

# The state of the unit is a file; one that is stopped while it runs confirms commits.
SYSTEMCTL = """#!/bin/sh
[ "$1" = show ] || echo "$*" >>"$STATE/calls"
case $1 in
  show) echo Id=mysql.service; echo Names=mysql.service; echo "ActiveState=$(cat "$STATE/active")" ;;
  mask) [ ! -e "$UNITS/mysql.service" ] || { echo "File mysql.service already exists." >&2; exit 1; }
        ln -s /dev/null "$UNITS/mysql.service" ;;
  unmask) rm "$UNITS/mysql.service" ;;
  stop) grep -qx active "$STATE/active" && touch "$STATE/confirmed"
        [ -e "$STATE/immortal" ] || echo inactive >"$STATE/active" ;;
  kill) [ -e "$STATE/immortal" ] || echo failed >"$STATE/active" ;;
  start) [ ! -e "$UNITS/mysql.service" ] || exit 1; echo active >"$STATE/active" ;;
esac
"""


class Node:
    """A node with a running server that is the primary."""

    def __init__(self, top: Path, run_module: Any) -> None:
        self.top, self._run = top, run_module
        self.marker, self.unit = top / "webstack-primary", top / "units" / "mysql.service"
        self.marker.touch()
        self.active("active")

    def active(self, state: str) -> None:
        (self.top / "active").write_text(state)

    def fence(self, state: str = "fenced", check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"service": "mysql.service", "primary_marker": str(self.marker), **more}
        return self._run(mysql_fence, check=check, state=state, **given)

    @property
    def called(self) -> list[str]:
        """What systemctl was told, besides to show."""
        calls = self.top / "calls"
        return [line.split()[0] for line in calls.read_text().splitlines()] if calls.exists() else []

    @property
    def masked(self) -> bool:
        return self.unit.is_symlink()


@pytest.fixture
def node(tmp_path, run_module, monkeypatch, clock):
    (tmp_path / "units").mkdir()
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setenv("UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(systemd, "MASKS", (tmp_path / "units",))
    return Node(tmp_path, run_module)


def test_a_fenced_server_is_killed_and_nothing_starts_it(node):
    done = node.fence()
    assert (done["changed"], done["active"], done["killed"]) == (True, "inactive", True)
    assert (node.masked, node.marker.exists()) == (True, False)
    # In this order: one that is killed first could be started again in between.
    assert node.called == ["mask", "kill", "stop"]
    assert node.fence()["changed"] is False
    assert node.called == ["mask", "kill", "stop"]


def test_it_is_killed_and_not_asked_to_end(node, clock):
    node.fence()
    assert not (node.top / "confirmed").exists()
    # A frozen one would not end in any time that it is given.
    assert clock.naps == []


def test_one_that_is_down_is_masked_all_the_same(node):
    node.active("failed")
    assert node.fence()["changed"] is True
    assert (node.called, node.masked, node.marker.exists()) == (["mask"], True, False)


def test_an_interrupted_fence_is_finished(node):
    node.unit.symlink_to("/dev/null")
    assert node.fence()["changed"] is True
    assert (node.called, node.marker.exists()) == (["kill", "stop"], False)


def test_one_that_cannot_be_killed_or_masked_is_not_fenced(node):
    (node.top / "immortal").touch()
    assert "still active 60 s after it was killed" in node.fence()["msg"]
    node.unit.unlink()
    node.unit.write_text("[Service]")
    assert "File mysql.service already exists" in node.fence()["msg"]


def test_a_released_server_comes_up_without_its_right(node):
    node.fence()
    node.marker.touch()
    done = node.fence("released")
    assert (done["changed"], done["active"]) == (True, "active")
    assert (node.masked, node.marker.exists()) == (False, False)
    assert node.called[3:] == ["unmask", "start"]
    assert node.fence("released")["changed"] is False


def test_one_that_runs_keeps_its_right(node):
    assert node.fence("released")["changed"] is False
    assert node.marker.exists()


@pytest.mark.parametrize("state", ["fenced", "released"])
def test_check_mode_changes_nothing(node, state):
    if state == "released":
        node.active("inactive")
    assert node.fence(state, check=True)["changed"] is True
    assert (node.called, node.marker.exists()) == ([], True)
