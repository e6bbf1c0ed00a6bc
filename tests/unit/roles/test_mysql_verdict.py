# SPDX-License-Identifier: GPL-3.0-or-later
"""The command asks the server and the one that it follows by now, and says what the playbooks would say."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import node_programs
import pytest
import yaml

program = node_programs.load("roles/mysql_health/files/mysql-verdict")

CONFIG = {
    "socket": "/run/mysqld.sock",
    "administrator": {"user": "root", "password": "s3cret"},
    "source_account": {"user": "verification", "password": "secret", "ca_cert": "/ca.pem"},
    "policy": {"max_lag": 7},
}
RESULT: dict[str, Any] = {
    "verdict": "ok",
    "coverage": "full",
    "checks": [{"id": "role", "status": "pass", "severity": "critical", "message": "It is a replica.", "hint": ""}],
    "engine": {"flavor": "mysql", "version": "9.7.0"},
    "role": {"observed": "replica"},
    "channels": [],
    "gtid": None,
    "promotion": {"promotable": True},
}


class Verifier:
    """In place of the core: follows a source or not, and gives the verdict that it is told."""

    source: str | None = "192.0.2.31"
    reachable = True
    verdict = "ok"
    primary_history: Any = None
    asked: list[Any]

    def __init__(self, local: Any, policy: dict[str, Any], primary: Any = None) -> None:
        self.arguments = (local, policy, primary)

    def __enter__(self) -> Verifier:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def judge(self, **_how: bool) -> Any:
        if not self.reachable:
            raise program.DatabaseError("gone")
        channels = [SimpleNamespace(source_host=self.source, source_port=3307)] if self.source else []
        return SimpleNamespace(local=SimpleNamespace(channels=channels)), None

    def report(self) -> dict[str, Any]:
        self.asked.append(self.arguments)
        return {**RESULT, "verdict": self.verdict}


@pytest.fixture
def core(monkeypatch, tmp_path):
    """The command with a configuration and a core that answers."""
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(CONFIG))
    monkeypatch.setattr(program, "CONFIG", path)
    chosen = type("Chosen", (Verifier,), {"asked": []})
    monkeypatch.setattr(program, "Verifier", chosen)
    return chosen


@pytest.fixture
def run(monkeypatch):
    """Run the command."""

    def command(*words: str) -> int:
        monkeypatch.setattr(program.sys, "argv", ["mysql-verdict", *words])
        return program.main()

    return command


@pytest.mark.parametrize(("verdict", "status"), [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3)])
def test_the_exit_status_is_the_verdict(core, run, capsys, verdict, status):
    core.verdict = verdict
    assert run() == status
    assert capsys.readouterr().out.startswith(verdict.upper())


def test_the_source_is_asked_where_the_server_follows_it_now(core, run):
    run()
    ((local, policy, primary),) = core.asked
    assert (local.unix_socket, local.user, local.password) == ("/run/mysqld.sock", "root", "s3cret")
    assert policy["max_lag"] == 7
    assert (primary.host, primary.port, primary.user, primary.ca_cert) == (
        "192.0.2.31",
        3307,
        "verification",
        "/ca.pem",
    )


@pytest.mark.parametrize("fault", [{"source": None}, {"reachable": False}], ids=["primary", "unreachable"])
def test_without_a_source_the_server_is_judged_alone(core, run, fault):
    for name, value in fault.items():
        setattr(core, name, value)
    run()
    assert core.asked[0][2] is None


def test_the_verdict_comes_as_json_and_for_prometheus(core, run, capsys):
    run("--format", "json")
    assert json.loads(capsys.readouterr().out)["verdict"] == "ok"
    run("--format", "prometheus")
    assert 'mysql_replication_verdict{verdict="ok"} 1' in capsys.readouterr().out


def test_a_file_is_replaced_at_once_and_for_all_to_read(core, run, tmp_path, capsys):
    core.verdict = "critical"
    target = tmp_path / "out" / "replication.prom"
    target.parent.mkdir()
    target.write_text("old")
    assert run("--format", "prometheus", "--output", str(target)) == 0
    assert 'mysql_replication_verdict{verdict="critical"} 1' in target.read_text()
    assert (target.stat().st_mode & 0o777, [path.name for path in target.parent.iterdir()]) == (0o644, [target.name])
    assert capsys.readouterr().out == ""


def test_what_the_source_had_is_kept_for_when_it_is_gone(core, run, tmp_path):
    """It alone tells then which transactions a replica has of its own."""
    target = tmp_path / "source.json"
    run("--keep-source", str(target))
    assert not target.exists()
    history = {"mariadb": True, "identity": "1", "executed": "0-1-100"}
    core.primary_history = SimpleNamespace(as_dict=lambda: history)
    run("--keep-source", str(target))
    core.primary_history = None
    run("--keep-source", str(target))
    assert json.loads(target.read_text()) == history


def test_without_the_configuration_it_says_how_to_run(core, run, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(program, "CONFIG", tmp_path / "none")
    assert run() == 3
    assert "cannot be read (No such file or directory): run this as root." in capsys.readouterr().err


def imported(core: Path, path: Path, package: tuple[str, ...]) -> set[str]:
    """The modules of the core that a file in this package of the core imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            module = (*package[: len(package) + 1 - node.level], *module)
        elif module[0] == "mysql_replication":
            module = module[1:]
        else:
            continue
        whole = core.joinpath(*module).is_dir()
        found |= {"/".join((*module, each.name)) for each in node.names} if whole else {"/".join(module)}
    return found


def test_the_node_gets_every_file_of_the_core(top):
    variables = yaml.safe_load((top / "roles/mysql_health/vars/main.yml").read_text())
    listed = [name.removesuffix(".py") for name in variables["__mysql_health_core"]]
    core, needed = top / "plugins" / "module_utils", set()
    for program in (top / "roles/mysql_health/files").iterdir():
        needed |= imported(core, program, ()) if program.is_file() else set()
    for name in listed:
        needed |= imported(core, core / f"{name}.py", Path(name).parent.parts)
    assert needed == set(listed) & needed, "what is imported has to be installed"
    assert set(listed) == needed, "and nothing else"
    packages = {each["path"].partition("}}/")[2] or "." for each in variables["__mysql_health_packages"]}
    assert packages == {str(each) for name in listed for each in Path(name).parents}, "in a directory that is there"
