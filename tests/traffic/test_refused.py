# SPDX-License-Identifier: GPL-3.0-or-later
"""Every program that judges a file says why it refuses one, and the module host_config passes that on."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
import yaml
from conftest import TOP, Traffic

# Role, file that it writes, what is wrong with the content, and what the program says of it.
REFUSED = [
    ("haproxy", "haproxy.cfg", "global\n  maxcon 3\n", "unknown keyword 'maxcon'"),
    ("haproxy", "save-state", "if true; then\n", "Syntax error"),
    ("nginx", "nginx.conf", "events {}\nhttp { servr { } }\n", 'unknown directive "servr"'),
    ("monitoring", "prometheus.yml", "global: {scrape_interval: soon}\n", 'not a valid duration string: "soon"'),
    ("monitoring", "rules.yml", "groups: [{name: x, rules: [{alert: A, expr: sum(}]}]\n", "unclosed left parenthesis"),
    ("monitoring", "alertmanager.yml", "route: {receiver: nobody}\n", 'undefined receiver "nobody"'),
    ("app_server", "app.conf", "[app]\nuser = app\npm.max_childrn = 8\n", "unknown entry 'pm.max_childrn'"),
]
# By what is rendered, where the role does not say it in one word.
NAMED = {"save-state": "sh -n", "app.conf": "--test", "rules.yml": "check rules", "alertmanager.yml": "check-config",
         "prometheus.yml": "check config", "haproxy.cfg": "haproxy ", "nginx.conf": "nginx "}  # fmt: skip


def commands(found: Any) -> list[str]:
    """Every command of an option validate in variables of a role."""
    if isinstance(found, dict):
        own = [str(found["validate"])] if "validate" in found else []
        return own + [command for value in found.values() for command in commands(value)]
    return [command for value in found for command in commands(value)] if isinstance(found, list) else []


@pytest.mark.parametrize(("role", "name", "content", "reason"), REFUSED, ids=[each[1] for each in REFUSED])
def test_a_refused_file_is_refused_with_the_reason(traffic: Traffic, role, name, content, reason):
    variables = yaml.safe_load((TOP / "roles" / role / "vars" / "main.yml").read_text())
    (command,) = {each for each in commands(variables) if NAMED[name] in each}
    command = command.replace("{{ __app_server_fpm }}", "/usr/sbin/php-fpm8.4")
    node = traffic["php"].container
    file = {"dest": f"/tmp/{name}", "content": content, "validate": command}
    done = subprocess.run(
        ["ansible", node, "-i", f"{node},", "-c", "community.docker.docker", "-m", "pentad.webstack.host_config",
         "-a", json.dumps({"files": [file]})],
        env=os.environ | {"ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).replace("''", "'").split())
    assert done.returncode != 0
    assert f"/tmp/{name} was not changed, because '" in said
    assert reason in said
