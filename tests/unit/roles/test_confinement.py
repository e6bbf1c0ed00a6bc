# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that their packages confine: every path that they are handed is one that their profile lets them use.

The kernels that the tests run on confine nothing, so the profiles are judged by their text, as the packages ship it;
C(tests/shared/apparmor/record) writes it down anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ansible_runs
import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.modules import host_config
from apparmor.profiles import essence, profile, shipped

SHIPPED = shipped()
PROFILES = {
    f"{each['name']} of {each['package']}": profile(each["name"], {**SHIPPED["common"], each["name"]: each["lines"]})
    for each in SHIPPED["profiles"]
}
(MYSQLD,) = (found for name, found in PROFILES.items() if name.startswith("usr.sbin.mysqld "))
PLUGINS = "/usr/lib/mysql/plugin"


def test_what_debian_confines_of_ours():
    """Where this changes, the paths of that program belong into the tests below."""
    modes = {name.split()[0]: found.mode for name, found in PROFILES.items()}
    assert modes == {"usr.sbin.mysqld": "enforce", "usr.sbin.mariadbd": "none", "php-fpm": "complain"}


@pytest.mark.parametrize(
    ("path", "permissions", "allowed"),
    [
        ("/etc/mysql/mysql.conf.d/zz-webstack.cnf", "r", True),
        ("/etc/mysql/tls/server.key", "r", True),
        ("/etc/mysql/tls/server.key", "w", False),
        ("/etc/ssl/webstack/ca.pem", "r", False),
        ("/etc/ssl/openssl.cnf", "r", True),
        ("/root/.ansible/tmp/ansible-tmp-1/tmpabc", "r", False),
        ("/var/run/mysqld/mysqld.sock", "rw", True),
        ("/run/mysqld/other.sock", "rw", False),
        ("/usr/lib/mysql/plugin/mysql_clone.so", "rm", True),
        ("/srv/plugin/mysql_clone.so", "m", False),
        ("/var/lib/mysql/db1-slow.log", "rw", True),
        ("/srv/mysql/ibdata1", "r", False),
        ("/proc/17/status", "r", True),
        ("/proc/1/2/status", "r", False),
    ],
)
def test_the_profile_is_read_as_the_kernel_reads_it(path, permissions, allowed):
    assert MYSQLD.allows(path, permissions) is allowed


def test_what_is_denied_wins_and_comments_are_no_rules():
    text = """
    profile p /bin/p flags=(complain) { # a header
      # /etc/** r,
      #include <more>
      @{etc}=/etc/ /usr/etc/
      @{etc}/{a,b}/[xy]? rw, # both
      deny @{etc}/a/xz w,
    }
    """
    found = profile("p", {"p": essence(text), "more": essence("owner /srv/* r,")})
    assert found.mode == "complain"
    assert found.allows("/usr/etc/b/yz", "rw") and found.allows("/etc/a/xz", "r") and found.allows("/srv/x", "r")
    assert not found.allows("/etc/a/xz", "w")
    assert not found.allows("/etc/a/zz", "r")
    assert not found.allows("/srv/", "r")


@pytest.fixture(scope="module")
def handed(top, tmp_path_factory):
    """What the roles hand to the server, from their own defaults."""
    work = tmp_path_factory.mktemp("confinement")
    (work / "state" / "pki").mkdir(parents=True)
    (work / "state" / "pki" / "ca.pem").write_text("the authority\n")
    files = [top / "roles" / "mysql_replica" / "tasks" / f"{name}.yml" for name in ("configure", "seed_mysql")]
    tasks = [task for path in files for task in yaml.safe_load(path.read_text())]
    arguments = {
        name: value
        for task in tasks
        for part in task.values()
        if isinstance(part, dict)
        for name, value in part.items()
    }
    play = {
        "hosts": "db1",
        "gather_facts": False,
        "roles": ["pentad.webstack.mysql_server", "pentad.webstack.mysql_replica"],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "dest": str(work / "handed.json"),
                    "mode": "0600",
                    "content": "{{ {"
                    "'settings': __mysql_server_settings, "
                    "'configuration': __mysql_server_engine.config, "
                    "'trust': __mysql_server_trust | map(attribute='dest'), "
                    f"'channel': {unbraced(arguments['source_ssl_ca'])}, "
                    f"'clone': {unbraced(arguments['donor_ca_cert'])}"
                    "} | to_json }}",
                },
                "tags": "render",
            }
        ],
    }
    (work / "play.yml").write_text(yaml.safe_dump([play]))
    (work / "hosts.yml").write_text(
        yaml.safe_dump(
            {
                "all": {
                    "vars": {
                        "ansible_connection": "local",
                        "ansible_python_interpreter": sys.executable,
                        "webstack_state_dir": str(work / "state"),
                    },
                    "children": {
                        "mysql_primary": {"hosts": {"db1": {"webstack_address": "192.0.2.31"}}},
                        "mysql": {"children": {"mysql_primary": None}},
                    },
                }
            }
        )
    )
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", work / "hosts.yml", "--tags", "render", work / "play.yml"],
        cwd=work, env=ansible_runs.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((work / "handed.json").read_text())


def unbraced(template: str) -> str:
    """The expression of a template that is nothing else."""
    return template.strip().removeprefix("{{").removesuffix("}}").strip()


def test_a_confined_mysql_reads_all_that_it_is_handed(handed):
    settings, configuration = handed["settings"], handed["configuration"]
    paths = {name: value for name, value in settings.items() if str(value).startswith("/")}
    assert set(paths) >= {"socket", "ssl_ca", "ssl_cert", "ssl_key"}
    socket = paths.pop("socket")
    assert MYSQLD.allows(socket, "rw") and MYSQLD.allows(f"{socket}.lock", "rw")
    read = {**paths, "configuration": configuration, "channel": handed["channel"], "clone": handed["clone"]}
    assert {name: path for name, path in read.items() if not MYSQLD.allows(path, "r")} == {}
    assert MYSQLD.allows(f"{PLUGINS}/{settings['plugin_load_add']}", "rm")


def test_the_authority_is_placed_where_the_server_looks_for_it(handed):
    assert {handed["settings"]["ssl_ca"], handed["channel"], handed["clone"]} <= set(handed["trust"])


def test_a_confined_mysql_reads_the_file_that_it_is_to_validate(handed, run_module, tmp_path):
    """Its path is told by the module, with the directory of the test for that of the configuration."""
    configuration = Path(handed["configuration"])
    seen = tmp_path / "seen"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$1" >{seen}\n')
    program.chmod(0o755)
    etc = tmp_path / configuration.parent.relative_to("/")
    etc.mkdir(parents=True)
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    file = {**owner, "dest": str(etc / configuration.name), "content": "[mysqld]\n", "validate": f"{program} %s"}
    assert run_module(host_config, files=[file])["changed"] is True
    judged = Path(seen.read_text().strip()).relative_to(tmp_path)
    assert MYSQLD.allows(f"/{judged}", "r")
    # A server that starts at this moment must not take it for a part of its configuration.
    assert not judged.name.endswith(".cnf")


def test_a_confined_mysql_may_have_its_data_on_another_disk(top):
    """The role adds the directory to the administrator's own part of the profile."""
    tasks = yaml.safe_load((top / "roles/mysql_server/tasks/datadir.yml").read_text())
    added = next(task["ansible.builtin.blockinfile"] for task in tasks if "ansible.builtin.blockinfile" in task)
    name = added["path"].removeprefix("/etc/apparmor.d/")
    lines = essence(added["block"].replace("{{ __mysql_server_datadir }}", "/srv/mysql"))
    (shipped,) = (each["lines"] for each in SHIPPED["profiles"] if each["name"] == "usr.sbin.mysqld")
    found = profile("usr.sbin.mysqld", {**SHIPPED["common"], "usr.sbin.mysqld": shipped, name: lines})
    assert found.allows("/srv/mysql/", "r") and found.allows("/srv/mysql/shop/orders.ibd", "rwk")
    assert not MYSQLD.allows("/srv/mysql/shop/orders.ibd", "r") and not found.allows("/srv/other", "r")
