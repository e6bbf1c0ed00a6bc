# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the collection is, and a way to run one of its modules as Ansible does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol

import pymysql
import pytest
from ansible.module_utils import basic
from ansible_collections.pentad.webstack.plugins.action import release_archive
from places import TOP
from scripted_mysql import Clock, Network

PLUGINS = "ansible_collections.pentad.webstack.plugins"
# Those that wait for a server or a site.
WAITING = (
    "module_utils.mysql.connection",
    "module_utils.replication.channel",
    "module_utils.replication.compare",
    "module_utils.replication.facts",
    "module_utils.replication.promotion",
    "module_utils.replication.switchover",
    "module_utils.replication.verifier",
    "modules.mariadb_seed",
    "modules.mysql_clone",
    "modules.mysql_fence",
    "modules.mysql_primary_sightings",
    "modules.mysql_replica_settle",
    "modules.site_probe",
)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Have cases show what they are given, and of a long value its beginning alone."""
    if not isinstance(val, (str, dict, list)):
        return None
    try:
        text = (val if isinstance(val, str) else json.dumps(val)).encode("unicode_escape").decode()
    except TypeError:
        return None
    return text if len(text) <= 40 else f"{text[:37]}..."


class RunModule(Protocol):
    """Runs a module's main and returns what it answered."""

    def __call__(self, module: ModuleType, check: bool = False, **arguments: Any) -> dict[str, Any]: ...


@pytest.fixture(scope="session")
def top() -> Path:
    """Directory of the collection."""
    return TOP


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunModule:
    """Run a module's main with these arguments, through a real AnsibleModule."""

    def run(module: ModuleType, check: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(given, default=str).encode())
        # How values are written down; before ansible-core 2.19 there was but one way.
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            module.main()
        answer = json.loads(capsys.readouterr().out)
        assert bool(answer.get("failed")) == bool(ended.value.code)
        return answer

    return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of everything that waits for a server or a site."""
    found = Clock()
    for name in WAITING:
        monkeypatch.setattr(f"{PLUGINS}.{name}.time", found)
    return found


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """The scripted servers that the driver reaches in this test; all others refuse."""
    found = Network()
    monkeypatch.setattr(pymysql, "connect", found.connect)
    return found


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run release_archive as a task does, its archives going to state/releases."""

    def run(check: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"dest": tmp_path / "state" / "releases", **arguments}
        written = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
        task = SimpleNamespace(args=written, check_mode=check, async_val=0, diff=False)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=""))
        return release_archive.ActionModule(task, connection, None, None, None, None).run(None, {})

    return run
