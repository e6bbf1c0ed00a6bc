# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role app_server says of a release that a rollback has replaced."""

from __future__ import annotations

import json

import pytest
import yaml
from places import TOP
from stubbed_modules import Stage

ROLE = TOP / "roles" / "app_server"
LEFT_OUT = "Release 0a1b was rolled back and is left out until its source changes: deploy.yml tries it again."


@pytest.mark.parametrize(
    ("rolled_back", "words", "told"),
    [("0a1b", (), True), ("0a1b", ("-e", "app_server_redeploy=true"), False), ("2c3d", (), False), ("", (), False)],
)
def test_a_release_that_was_rolled_back_is_named(tmp_path, rolled_back, words, told):
    tasks = yaml.safe_load((ROLE / "tasks" / "configure.yml").read_text())
    play = {
        "hosts": "web",
        "gather_facts": False,
        "vars_files": [str(ROLE / kind / "main.yml") for kind in ("defaults", "vars")],
        "roles": [{"role": "pentad.webstack.topology", "rolespec_validate": False}],
        "tasks": [task for task in tasks if task["name"] == "Report that the release is left out"],
    }
    stage = Stage(tmp_path, ())
    links = {"/srv/app/withdrawn": f"/srv/app/releases/{rolled_back}" if rolled_back else ""}
    known = {"webstack_app_root": "/srv/app", "__webstack_survey": {"links": links}}
    hosts = {host: {"ansible_connection": "local"} for host in ("web1", "web2")}
    stage.inventory = {"all": {"hosts": hosts, "children": {"web": {"hosts": hosts}}, "vars": known}}
    packed = json.dumps({"__app_server_packed": {"id": "0a1b"}})
    assert stage.run_plays([play], "-e", packed, *words), stage.output
    assert stage.output.count(LEFT_OUT) == int(told), stage.output
