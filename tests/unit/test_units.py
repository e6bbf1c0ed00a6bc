# SPDX-License-Identifier: GPL-3.0-or-later
"""Units are enabled and started where they are not, systemd being asked once."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.modules import units

# As much of systemctl and journalctl as the module uses, over files of states.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$STATE/calls"
command=$1; shift
case $command in
  daemon-reload) ;;
  show)
    shift
    first=yes
    for unit; do
      [ "$first" ] || echo
      first=
      if [ -e "$STATE/$unit" ]; then . "$STATE/$unit"; load=loaded; else load=not-found active=inactive enabled=; fi
      echo "Id=$unit"; echo "Names=$unit"; echo "LoadState=$load"
      echo "ActiveState=$active"; echo "UnitFileState=$enabled"
    done ;;
  enable) for unit; do sed -i s/enabled=.*/enabled=enabled/ "$STATE/$unit"; done ;;
  start)
    for unit; do
      case $unit in bad*) echo "Job for $unit failed." >&2; exit 1 ;; esac
      sed -i s/active=.*/active=active/ "$STATE/$unit"
    done ;;
esac
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    """States of the units, with a systemctl that keeps them."""
    programs, states = tmp_path / "bin", tmp_path / "state"
    programs.mkdir()
    states.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", "#!/bin/sh\necho it hurts\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(states))
    return states


def unit(state: Path, name: str, active: str = "inactive", enabled: str = "disabled") -> None:
    """Have a unit in a state."""
    (state / name).write_text(f"active={active}\nenabled={enabled}\n")


def calls(state: Path) -> list[str]:
    """Commands that systemctl was given."""
    return [line.split()[0] for line in (state / "calls").read_text().splitlines()]


def test_what_does_not_run_is_started_and_enabled_and_then_left_alone(run_module, state):
    unit(state, "a.service")
    unit(state, "b.socket", active="active")
    unit(state, "c.service", active="failed", enabled="enabled")
    done = run_module(units, started=["a.service", "b.socket", "c.service"])
    assert (done["newly_started"], done["newly_enabled"]) == (["a.service", "c.service"], ["a.service", "b.socket"])
    assert done["changed"] is True
    assert "active=active" in (state / "c.service").read_text()
    assert "enabled=enabled" in (state / "b.socket").read_text()
    assert calls(state) == ["show", "enable", "start"]
    assert run_module(units, started=["a.service", "b.socket", "c.service"])["changed"] is False
    assert calls(state)[3:] == ["show"]


def test_what_is_only_to_be_enabled_is_not_started(run_module, state):
    unit(state, "a.service")
    done = run_module(units, enabled=["a.service"])
    assert (done["newly_started"], done["newly_enabled"]) == ([], ["a.service"])
    assert "active=inactive" in (state / "a.service").read_text()


@pytest.mark.parametrize("active", ["active", "activating", "reloading"])
@pytest.mark.parametrize("enabled", ["enabled", "static", "generated"])
def test_what_runs_is_left_alone(run_module, state, active, enabled):
    unit(state, "a.service", active, enabled)
    assert run_module(units, started=["a.service"])["changed"] is False


def test_unit_files_are_read_again_first_where_asked_for(run_module, state):
    unit(state, "a.service", "active", "enabled")
    assert run_module(units, started=["a.service"], daemon_reload=True)["changed"] is False
    assert calls(state) == ["daemon-reload", "show"]


def test_check_mode_tells_the_same_and_does_nothing(run_module, state):
    unit(state, "a.service")
    told = run_module(units, check=True, started=["a.service"], daemon_reload=True)
    assert calls(state) == ["show"]
    done = run_module(units, started=["a.service"])
    for key in ("changed", "newly_started", "newly_enabled", "diff"):
        assert told[key] == done[key]


def test_a_unit_that_does_not_exist_is_named(run_module, state):
    answer = run_module(units, started=["a.service"])
    assert answer["msg"] == "systemd knows no unit a.service: its package or unit file is not installed."


def test_check_mode_does_not_miss_a_unit_whose_package_it_did_not_install(run_module, state):
    assert run_module(units, check=True, started=["a.service"])["changed"] is True


def test_a_unit_that_does_not_start_is_named_with_its_journal(run_module, state):
    unit(state, "bad.service")
    answer = run_module(units, started=["bad.service"])
    assert answer["failed"] is True
    assert "systemctl start bad.service: Job for bad.service failed." in answer["msg"]
    assert "it hurts" in answer["msg"]


def test_nothing_asked_for_is_nothing_done(run_module, state):
    assert run_module(units)["changed"] is False
    assert not (state / "calls").exists()


def test_a_unit_is_known_by_each_of_its_names():
    found = units.parse("Id=mysql.service\nNames=mysql.service mysqld.service\nActiveState=active\n\nId=b\nNames=b\n")
    assert found["mysqld.service"]["ActiveState"] == "active"
    assert set(found) == {"mysql.service", "mysqld.service", "b"}
