# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd of a few units, whose states are files."""

from __future__ import annotations

from pathlib import Path

import pytest

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
      # Whatever else is told of it.
      [ ! -e "$STATE/$unit.more" ] || cat "$STATE/$unit.more"
    done ;;
  disable) ;;
  enable) for unit; do sed -i s/enabled=.*/enabled=enabled/ "$STATE/$unit"; done ;;
  reload) ;;
  start | restart)
    for unit; do
      case $unit in bad*) echo "Job for $unit failed." >&2; exit 1 ;; esac
      sed -i s/active=.*/active=active/ "$STATE/$unit"
      [ ! -e "$STATE/$unit.after" ] || mv "$STATE/$unit.after" "$STATE/$unit.more"
    done ;;
esac
"""


def install(top: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have this systemd answer below a directory; returns where its states are."""
    state = top / "state"
    state.mkdir()
    (top / "bin").mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", "#!/bin/sh\necho it hurts\n")):
        (top / "bin" / name).write_text(text)
        (top / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{top / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(state))
    return state


def unit(state: Path, name: str, active: str = "inactive", enabled: str = "disabled") -> None:
    """Have a unit in a state."""
    (state / name).write_text(f"active={active}\nenabled={enabled}\n")
