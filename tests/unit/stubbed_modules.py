# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays of the collection on hosts whose modules answer as a test says, and note what they were told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ansible_runs
import yaml
from places import TOP

# Answers what stands in a file, each answer once and the last one for ever; as an action, which starts no process.
ACTION = """
import json
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        host, name, top = self._task.delegate_to or task_vars["inventory_hostname"], "{name}", "{top}"
        with open(top + "/calls") as file:
            before = sum(json.loads(line)[:2] == [host, name] for line in file)
        with open(top + "/calls", "a") as file:
            file.write(json.dumps([host, name, self._task.args]) + "\\n")
        with open(top + "/answers") as file:
            answers = json.load(file).get(host, {{}}).get(name) or [{{"changed": True}}]
        return answers[min(before, len(answers) - 1)]
"""
# Of three database servers and two web nodes.
ADDRESSES = {"db1": "192.0.2.31", "db2": "192.0.2.32", "db3": "192.0.2.33", "web1": "192.0.2.21", "web2": "192.0.2.22"}
DATABASES, WEB = ("db1", "db2", "db3"), ("web1", "web2")


def history(name: str, **written: int) -> dict[str, Any]:
    """What a server of MariaDB has executed of what each one wrote."""
    last, found = 0, []
    for by, count in written.items():
        last += count
        found.append(f"0-{by[2:]}-{last}")
    return {"mariadb": True, "identity": name[2:], "executed": ",".join(found), "applied": "", "position": found[-1]}


def server(name: str, follows: str = "", writable: bool = False, **written: int) -> dict[str, Any]:
    """What mysql_replication_info returns of it."""
    source = {"host": ADDRESSES.get(follows, ""), "port": 3306, "user": "replication", "id": follows[2:]}
    channel = {"name": "", "source": source, "receiver": {"state": "on", "errno": 0, "error": ""}}
    closed = {"read_only": not writable, "super_read_only": not writable}
    return {
        "engine": {"report_host": ADDRESSES[name]},
        "role": {"observed": "replica" if follows else "standalone", "writable": writable, **closed},
        "channels": [channel] if follows else [],
        "history": history(name, **(written or {"db1": 100})),
        "acknowledging": {"wanted": 0, "connected": 0},
        "schemas": ["shop"],
        "events": {"enabled": [], "waiting": []},
        "primary_marker": False,
        "handed_over_to": "",
    }


class Stage:
    """The collection with these modules in place of its own, and hosts that are all this machine."""

    def __init__(self, top: Path, modules: Collection[str]) -> None:
        self.top = top
        self.inventory: dict[str, Any] = {}
        self.collection = top / "collections" / "ansible_collections" / "pentad" / "webstack"
        self.answers: dict[str, dict[str, list[Any]]] = {}
        self.output = ""
        actions = self.collection / "plugins" / "action"
        actions.mkdir(parents=True)
        for path in (TOP / "plugins" / "action").glob("*.py"):
            if path.stem not in modules:
                (actions / path.name).symlink_to(path)
        for name in modules:
            (actions / f"{name}.py").write_text(ACTION.format(name=name, top=top))
        for path in (*TOP.glob("[a-z]*"), *TOP.glob("plugins/*")):
            link = self.collection / path.relative_to(TOP)
            if not link.exists():
                link.symlink_to(path)

    def says(self, host: str, module: str, *answers: Any) -> None:
        """What a module answers on a host, one after the other."""
        self.answers.setdefault(host, {})[module] = list(answers)

    def run(self, playbook: str, *words: str) -> bool:
        """Run the plays that a playbook has itself, without those that it imports; whether they succeeded."""
        plays = yaml.safe_load((TOP / "playbooks" / f"{playbook}.yml").read_text())
        return self.run_plays([play for play in plays if "hosts" in play], *words)

    def run_plays(self, plays: list[dict[str, Any]], *words: str) -> bool:
        """Run these plays; whether they succeeded."""
        inventory = json.loads(json.dumps(self.inventory))
        inventory["all"].setdefault("vars", {})["ansible_python_interpreter"] = sys.executable
        (self.top / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (self.top / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
        (self.top / "answers").write_text(json.dumps(self.answers))
        (self.top / "calls").write_text("")
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [program, "-i", self.top / "hosts.yml", *words, self.top / "play.yml"],
            env=ansible_runs.environment(ANSIBLE_COLLECTIONS_PATH=str(self.top / "collections")),
            capture_output=True,
            text=True,
            check=False,
        )
        self.output = " ".join((done.stdout + done.stderr).split())
        return done.returncode == 0

    @property
    def calls(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Host, module and options of each call, in order."""
        return [tuple(json.loads(line)) for line in (self.top / "calls").read_text().splitlines()]

    def told(self, module: str) -> dict[str, dict[str, Any]]:
        """What a module was told last, by host."""
        return {host: options for host, name, options in self.calls if name == module}
