# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that the survey has found in line is not asked again, and one that differs in anything is."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from ansible_collections.pentad.webstack.plugins.action import host_config as action
from ansible_collections.pentad.webstack.plugins.module_utils import pending, systemd
from ansible_collections.pentad.webstack.plugins.module_utils.node_state import packed, unpacked
from ansible_collections.pentad.webstack.plugins.modules import host_config, host_survey

OWNED = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
MARK = "X-Webstack-Application=shop"
# What systemd tells of every unit that it has loaded.
SYSTEMCTL = """#!/bin/sh
printf 'Id=%s\\nNames=%s\\nActiveState=%s\\nUnitFileState=enabled\\n' shop.service 'shop.service shop2.service' active
"""


class Node:
    """A node of which everything is as wanted, its survey, and the tasks that look at it."""

    def __init__(self, top: Path, run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top, self.run_module = top, run_module
        self.units = top / "system"
        self.file = {**OWNED, "dest": str(top / "etc" / "app.conf"), "content": "grün\n", "mode": "0640"}
        self.file["restart"] = ["reader.service"]
        self.unit = {**OWNED, "dest": str(self.units / "shop.service"), "content": f"[Unit]\n{MARK}\n"}
        self.account = {**OWNED, "dest": str(top / "sysusers.d" / "a.conf"), "content": f"u {OWNED['owner']} -\n"}
        self.directory = {**OWNED, "path": str(top / "etc"), "mode": "0750"}
        self.wanted: dict[str, Any] = {
            "directories": [self.directory],
            "files": [self.file, self.unit, self.account],
            "label": MARK,
            "started": ["shop.service", "shop2.service"],
            "enabled": ["resume.service"],
        }
        (top / "etc").mkdir(mode=0o750)
        (self.units / "multi-user.target.wants").mkdir(parents=True)
        (self.units / "multi-user.target.wants" / "resume.service").symlink_to("/lib/systemd/system/resume.service")
        (top / "sysusers.d").mkdir()
        for each in self.wanted["files"]:
            Path(each["dest"]).write_text(each["content"])
            Path(each["dest"]).chmod(int(each.get("mode", "0644"), 8))
        (top / "bin").mkdir()
        (top / "bin" / "systemctl").write_text(SYSTEMCTL)
        (top / "bin" / "systemctl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{top / 'bin'}:/usr/bin:/bin")
        monkeypatch.setattr(host_survey, "UNITS", self.units)
        monkeypatch.setattr(action, "ACCOUNTS", top / "sysusers.d")
        monkeypatch.setattr(pending, "NOTES", top / "notes")
        monkeypatch.setattr(systemd, "UNITS", self.units)
        for module in (systemd, host_survey):
            monkeypatch.setattr(module, "MASKS", (self.units,))

    def told(self, more: str) -> None:
        """Have systemd tell more of its units."""
        (self.top / "bin" / "systemctl").write_text(SYSTEMCTL.replace("Unit", f"{more}\\nUnit"))

    def survey(self) -> str:
        """What the survey tells."""
        answer = self.run_module(host_survey, gather_subset=["state"], state_of=[f"{self.top}/**/*"])
        assert set(answer) >= {"state"}
        assert "packages" not in answer
        return answer["state"]

    def task(self, observed: str | None = None, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What a task answers, and with what it asked the node."""
        asked: list[dict[str, Any]] = []
        observed = self.survey() if observed is None else observed
        task = SimpleNamespace(args={**self.wanted, "observed": observed, **changes}, check_mode=False, async_val=0)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=""))
        variables = {"ansible_search_path": [str(self.top)], "greeting": "hello"}
        loader = DataLoader()
        plugin = action.ActionModule(task, connection, None, loader, Templar(loader, variables), None)

        def execute(name: str, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
            assert name == "pentad.webstack.host_config"
            asked.append(arguments)
            return {"changed": True}

        plugin._execute_module = execute
        return plugin.run(None, variables), asked

    def asked(self, **changes: Any) -> bool:
        """Whether the node is asked."""
        return bool(self.task(**changes)[1])


@pytest.fixture
def node(tmp_path, run_module, monkeypatch):
    """A node in line."""
    return Node(tmp_path, run_module, monkeypatch)


def test_what_the_survey_shows_is_not_asked_again(node):
    answer, asked = node.task()
    assert asked == []
    told = {key: answer[key] for key in ("changed", "changed_files", "newly_started", "newly_enabled")}
    assert told == {"changed": False, "changed_files": [], "newly_started": [], "newly_enabled": []}


def test_no_template_takes_the_state_for_a_dictionary(node):
    assert node.survey().rstrip("=").replace("+", "").replace("/", "").isalnum()


def test_without_a_survey_the_node_is_asked(node):
    answer, asked = node.task(observed="")
    assert answer["changed"] is True
    (told,) = asked
    assert {**told, "files": None} == {**node.wanted, "files": None, "observed": ""}
    assert [{**each, **wanted} for each, wanted in zip(told["files"], node.wanted["files"], strict=True)] == told[
        "files"
    ]


def test_a_survey_of_other_paths_has_the_node_asked(node):
    known = {**unpacked(node.survey()), "paths": {}}
    assert node.asked(observed=packed(known))


@pytest.mark.parametrize(
    "change",
    [
        lambda node: Path(node.file["dest"]).write_text("grau\n"),
        lambda node: Path(node.file["dest"]).chmod(0o600),
        lambda node: Path(node.file["dest"]).unlink(),
        lambda node: Path(node.directory["path"]).chmod(0o755),
        lambda node: (node.units / "multi-user.target.wants" / "resume.service").unlink(),
        lambda node: (node.units / "shop-old.service").write_text(f"[Unit]\n{MARK}\n"),
        lambda node: (node.top / "bin" / "systemctl").write_text(SYSTEMCTL.replace("active", "failed")),
        lambda node: node.told("SubState=auto-restart"),
        lambda node: node.told("NeedDaemonReload=yes"),
        lambda node: (node.units / "shop2.service").symlink_to(os.devnull),
        lambda node: pending.note("shop.service", "reload"),
        lambda node: pending.note("shop.service", "deferred"),
        lambda node: pending.note("reader.service", "restart"),
    ],
    ids=[
        "content",
        "mode",
        "gone",
        "directory",
        "not enabled",
        "left over",
        "not running",
        "crash loop",
        "unread",
        "masked",
        "pending",
        "deferred",
        "pending for another",
    ],  # fmt: skip
)
def test_whatever_differs_has_the_node_asked(node, change):
    change(node)
    assert node.asked()


@pytest.mark.parametrize(
    "wanted",
    [
        {"started": ["other.service"]},
        {"enabled": ["other.service"]},
        {"directories": [{"path": "/no/such/directory"}]},
        {"files": [{"dest": "/no/such/file", "content": ""}]},
    ],
)
def test_whatever_is_wanted_besides_has_the_node_asked(node, wanted):
    assert node.asked(**wanted)


@pytest.mark.parametrize("key", ["owner", "group"])
def test_another_owner_has_the_node_asked(node, key):
    assert node.asked(files=[{**node.file, key: "somebody"}], label=None)
    assert node.asked(directories=[{**node.directory, key: "somebody"}])


def test_an_account_that_is_missing_has_the_node_asked(node):
    Path(node.account["dest"]).write_text("u no-such-account-here -\n")
    wanted = {**node.account, "content": "u no-such-account-here -\n"}
    assert node.asked(files=[node.file, node.unit, wanted])


def test_a_directory_is_no_file_and_a_file_no_directory(node):
    assert node.asked(files=[{**OWNED, "dest": str(node.top / "etc"), "content": "", "mode": "0750"}], label=None)
    assert node.asked(directories=[{**OWNED, "path": node.file["dest"], "mode": "0640"}])


def test_a_file_that_is_only_to_be_there_may_hold_anything(node):
    assert not node.asked(files=[{**node.file, "content": "other\n", "force": False}, node.unit])
    assert node.asked(files=[{**node.file, "content": "other\n"}, node.unit])


def test_modes_are_compared_however_they_are_written(node):
    assert not node.asked(files=[{**node.file, "mode": "640"}, node.unit])
    assert node.asked(files=[{**node.file, "mode": "u=rw,g=r"}, node.unit])


def test_links_and_large_files_are_passed_over(node):
    (node.top / "etc" / "link").symlink_to(node.file["dest"])
    (node.top / "etc" / "large").write_bytes(b"x" * (host_survey.LARGEST_FILE + 1))
    found = unpacked(node.survey())["paths"]
    assert node.file["dest"] in found
    assert not set(found) & {str(node.top / "etc" / name) for name in ("link", "large")}


def test_who_asks_for_no_state_gets_none(node):
    assert node.run_module(host_survey, gather_subset=["state"])["state"] == ""


def test_the_module_itself_agrees(node, monkeypatch):
    monkeypatch.setattr(host_config, "ACCOUNTS", node.top / "sysusers.d")
    monkeypatch.setattr(host_config, "UNITS", node.units)
    wanted = {**node.wanted, "enabled": []}
    assert node.run_module(host_config, **wanted)["changed"] is False


def test_what_is_pending_for_others_has_nobody_asked(node):
    pending.note("other.service", "restart")
    assert not node.asked()


@pytest.fixture(scope="module", autouse=True)
def _plugins():
    """Have the plugins of ansible-core found, as its programs do when they start; other tests import as Python does."""
    init_plugin_loader()
    yield
    _AnsibleCollectionFinder._remove()


def templated(node: Node, text: str, **more: Any) -> list[dict[str, Any]]:
    """The file of the node by a template of that text."""
    (node.top / "templates").mkdir(exist_ok=True)
    (node.top / "templates" / "app.conf.j2").write_text(text)
    return [{**{key: value for key, value in node.file.items() if key != "content"}, "template": "app.conf.j2", **more}]


def test_a_template_is_rendered_with_variables_of_its_host_and_file(node):
    files = templated(node, "{{ greeting }} {{ whom }}\n", vars={"whom": "world"})
    _answer, asked = node.task(files=files)
    (file,) = asked[0]["files"]
    assert file["content"] == "hello world\n"
    assert not {"template", "vars"} & set(file)


def test_a_file_is_copied_as_it_is(node):
    (node.top / "files").mkdir()
    (node.top / "files" / "app.conf").write_text("{{ greeting }}\n\n")
    _answer, asked = node.task(files=[{"dest": node.file["dest"], "src": "app.conf"}])
    assert asked[0]["files"][0]["content"] == "{{ greeting }}\n\n"


def test_what_a_template_renders_to_is_compared_with_the_survey(node):
    assert not node.asked(files=[*templated(node, "grün\n"), node.unit, node.account])
    assert node.asked(files=[*templated(node, "gelb\n"), node.unit, node.account])


@pytest.mark.parametrize("more", [{"content": "x"}, {"template": None}], ids=["both", "neither"])
def test_a_file_has_either_a_template_or_a_content(node, more):
    with pytest.raises(AnsibleError, match="content"):
        node.task(files=templated(node, "", **more))
