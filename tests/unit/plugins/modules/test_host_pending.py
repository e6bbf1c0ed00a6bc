# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change brings about is noted before it, survives a run that ends anywhere, and is done once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.module_utils import pending, systemd
from ansible_collections.pentad.webstack.plugins.modules import host_config, host_pending
from fake_systemd import SYSTEMCTL, install, unit
from places import TOP

HANDLER = "Reload or restart what has changed"


class Killed(BaseException):
    """The run ends here, as if by SIGKILL."""


class Node:
    """A node with two units that run, and a file that one of them reads."""

    def __init__(self, top: Path, run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top, self.run_module, self.monkeypatch = top, run_module, monkeypatch
        self.state = install(top, monkeypatch)
        monkeypatch.setattr(pending, "NOTES", top / "notes")
        monkeypatch.setattr(systemd, "MASKS", (top / "masks",))
        for name in ("a.service", "b.service"):
            unit(self.state, name, "active", "enabled")
        self.file = {
            "owner": str(os.getuid()),
            "group": str(os.getgid()),
            "dest": str(top / "a.conf"),
            "content": "1\n",
            "reload": ["a.service"],
        }
        Path(self.file["dest"]).write_text("1\n")

    def keep(self, content: str = "2\n", check: bool = False, **changes: Any) -> dict[str, Any]:
        """Keep the file and the unit."""
        more = {key: changes.pop(key) for key in ("deferred", "started") if key in changes}
        file = {**self.file, "content": content, **changes}
        return self.run_module(host_config, check=check, files=[file], **{"started": ["a.service"], **more})

    def note(self, *units: str, action: str = "restart") -> dict[str, Any]:
        """Note something else than a file."""
        return self.run_module(host_pending, state="noted", units=list(units), action=action)

    def do(self, *units: str, check: bool = False) -> dict[str, Any]:
        """Do what is noted."""
        return self.run_module(host_pending, check=check, units=list(units))

    def told(self) -> list[str]:
        """What systemd was told, but for questions."""
        lines = (self.state / "calls").read_text().splitlines() if (self.state / "calls").exists() else []
        return [line for line in lines if not line.startswith("show")]


@pytest.fixture
def node(tmp_path, run_module, monkeypatch):
    return Node(tmp_path, run_module, monkeypatch)


def test_a_changed_file_is_pending_until_it_is_done_and_then_no_more(node):
    assert node.keep()["pending"] == {"a.service": "reload"}
    assert node.do()["done"] == {"a.service": "reload"}
    assert node.told() == ["reload a.service"]
    again = node.keep()
    assert (again["changed"], again["pending"]) == (False, {})
    assert node.do()["changed"] is False
    assert node.told() == ["reload a.service"]


def test_a_run_that_fails_later_leaves_it_to_the_next_one(node):
    node.keep()
    # The handlers of the failed run are lost; in the next one the file is as wanted.
    again = node.keep()
    assert (again["changed"], again["changed_files"], again["pending"]) == (True, [], {"a.service": "reload"})
    node.do()
    assert node.told() == ["reload a.service"]


@pytest.mark.parametrize("point", ["before the note", "before the file", "after the file", "before the end"])
def test_wherever_the_run_is_killed_the_service_gets_the_file(node, point):
    """Either the file is not written yet, so that the next run writes it, or what is to be done is noted."""

    def killed(*_words: Any, **_named: Any) -> None:
        raise Killed

    where = {
        "before the note": (pending, "note"),
        "before the file": (host_config.DiscreetModule, "atomic_move"),
        "after the file": (host_config.Configurator, "units"),
        "before the end": (host_config.Configurator, "pending"),
    }[point]
    with node.monkeypatch.context() as patch:
        patch.setattr(*where, killed)
        with pytest.raises(Killed):
            node.keep()
    node.keep()
    node.do()
    assert Path(node.file["dest"]).read_text() == "2\n"
    assert node.told() == ["reload a.service"]


def test_a_reload_that_fails_stays_pending(node):
    node.keep()
    systemctl = node.top / "bin" / "systemctl"
    systemctl.write_text(SYSTEMCTL.replace("reload) ;;", "reload) echo no; exit 1 ;;"))
    failed = node.do()
    assert failed["failed"] is True
    assert "systemctl reload a.service: no" in failed["msg"]
    assert "it hurts" in failed["msg"]
    assert pending.noted() == {"a.service": "reload"}
    systemctl.write_text(SYSTEMCTL)
    assert node.do()["done"] == {"a.service": "reload"}


def test_a_mode_alone_is_noted_before_it_is_set(node):
    Path(node.file["dest"]).chmod(0o600)
    assert node.keep("1\n", mode="0640")["pending"] == {"a.service": "reload"}


def test_a_file_that_is_refused_brings_nothing_about(node):
    assert node.keep(validate="grep good %s")["failed"] is True
    assert pending.noted() == {}


def test_a_restart_includes_a_reload_and_is_not_forgotten_for_one(node):
    node.keep("2\n", reload=[], restart=["a.service"])
    node.keep("3\n")
    assert node.do()["done"] == {"a.service": "restart"}
    assert node.told() == ["restart a.service"]


def test_what_is_started_has_read_everything(node):
    unit(node.state, "a.service")
    assert node.keep()["pending"] == {}
    assert node.do()["done"] == {}


def test_what_does_not_run_needs_nothing(node):
    node.note("stopped.service")
    assert (node.do()["done"], pending.noted()) == ({"stopped.service": "nothing"}, {})


def test_what_cannot_reload_or_just_starts_is_restarted(node):
    (node.state / "a.service.more").write_text("echo\n".replace("echo", "CanReload=no"))
    unit(node.state, "b.service", "activating", "enabled")
    node.note("a.service", "b.service", action="reload")
    assert node.do()["done"] == {"a.service": "restart", "b.service": "restart"}


def test_a_turn_is_left_to_who_names_the_unit(node):
    assert node.keep(deferred=True)["pending"] == {"a.service": "deferred"}
    node.note("b.service")
    assert node.do()["done"] == {"b.service": "restart"}
    again = node.keep(deferred=True)
    assert (again["changed"], again["pending"]) == (False, {"a.service": "deferred"})
    assert node.do("a.service")["done"] == {"a.service": "restart"}
    assert node.keep(deferred=True)["pending"] == {}


def test_a_unit_left_by_an_unfinished_rollout_can_be_taken_over(node):
    node.keep(deferred=True)
    assert node.keep()["pending"] == {"a.service": "restart"}
    assert node.do()["done"] == {"a.service": "restart"}


def test_check_mode_tells_it_and_notes_nothing(node):
    assert node.keep(check=True)["pending"] == {"a.service": "reload"}
    assert not pending.NOTES.exists()
    node.note("b.service")
    assert node.do(check=True)["done"] == {"b.service": "restart"}
    assert (pending.noted(), node.told()) == ({"b.service": "restart"}, [])


def test_a_note_that_was_cut_off_is_a_restart(node):
    node.note("a.service", action="reload")
    (pending.NOTES / "a.service").write_text("")
    (pending.NOTES / ".half").write_text("reload\n")
    assert node.do()["done"] == {"a.service": "restart"}


def test_a_unit_that_is_removed_takes_its_note_along(node, monkeypatch):
    units = node.top / "system"
    units.mkdir()
    monkeypatch.setattr(host_config, "UNITS", units)
    (units / "old.service").write_text("[Unit]\nX-Mark=1\n")
    node.note("old.service", "a.service")
    node.run_module(host_config, label="X-Mark=1")
    assert pending.noted() == {"a.service": "restart"}


# --- the tree -------------------------------------------------------------------------------------------------------


def tasks(found: Any) -> list[dict[str, Any]]:
    """Tasks of a file, those of blocks included."""
    inner = [part for task in found for part in ("block", "rescue", "always") if part in task for part in task[part]]
    return [*found, *(tasks(inner) if inner else [])]


def keeping() -> list[tuple[str, dict[str, Any]]]:
    """Every task of a role that keeps files."""
    paths = sorted((TOP / "roles").glob("*/tasks/*.yml"))
    all_tasks = [(path, task) for path in paths for task in tasks(yaml.safe_load(path.read_text()) or [])]
    return [
        (f"{path.relative_to(TOP)}: {task['name']}", task)
        for path, task in all_tasks
        if "files" in (task.get("pentad.webstack.host_config") or {})
    ]


# What these write is read by nobody who runs already, or by who is restarted by name.
UNREAD = (
    "roles/packages/", "roles/acme/tasks/configure.yml", "roles/mysql_primary/tasks/open.yml",
    "roles/mysql_switchover/tasks/",
    "roles/app_server/tasks/place.yml", "roles/app_server/tasks/roll.yml",
    "roles/app_server/tasks/configure.yml: Compare the configuration that is deferred",
)  # fmt: skip


def test_whoever_writes_files_has_their_consequences_done():
    """Files carry their consequences; without the handler they would wait for ever, and every run would be a change."""
    assert len(keeping()) > 10
    assert [name for name, task in keeping() if task.get("notify") != HANDLER and not name.startswith(UNREAD)] == []


def test_there_is_one_handler_and_it_is_known_wherever_the_topology_is():
    handlers = {str(path.relative_to(TOP)): path for path in (TOP / "roles").glob("*/handlers/*.yml")}
    (only,) = handlers
    assert only == "roles/topology/handlers/main.yml"
    assert [each["name"] for each in yaml.safe_load(handlers[only].read_text())] == [HANDLER]
    notified = {
        name for path in (TOP / "roles").glob("*/tasks/*.yml") for name in re.findall(r"notify: (.+)", path.read_text())
    }
    assert notified == {HANDLER}


def test_certbot_leaves_a_note_where_the_module_looks():
    variables = yaml.safe_load((TOP / "roles" / "acme" / "vars" / "main.yml").read_text())
    assert variables["__acme_pending"] == "/var/lib/webstack/pending/haproxy.service"
    assert Path("/var/lib/webstack/pending") == pending.NOTES
    text = (TOP / "roles" / "acme" / "templates" / "deploy.j2").read_text()
    note, move, done = (
        text.index(part) for part in ("echo reload >", 'mv "$new"', 'rm -f "$old" {{ __acme_pending }}')
    )
    assert note < move < done
