# SPDX-License-Identifier: GPL-3.0-or-later
"""Values reach conditions, arguments and templates in their types, however they are given and the playbook is started.

Real runs of the collection as a user installs it, by the oldest supported ansible-core and by that of the tests.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.callback.typed_variables import CallbackModule
from ansible_collections.pentad.webstack.plugins.plugin_utils import role_arguments, value_types
from places import TOP

PROGRAMS = {"this core": Path(sys.executable).parent, "oldest core": TOP / ".cache" / "oldest-core" / "bin"}
COLLECTION = Path("ansible_collections/pentad/webstack")
SECRET = "se{{ cr }}et"
INVENTORY = """
[haproxy]
lb1

[web]
web1 haproxy_maxconn=8000 mysql_server_restart=true rollout_lease=90 proof_timeout=7

[all:vars]
ansible_connection=local
upkeep_reboot_after_upgrade=false
"""
VARIABLES = """
nginx_worker_connections: "512"
haproxy_retries: "{{ '4' }}"
app_server_memory_max: 512
app_server_environment: {KEY: "{{ webstack_app_password }}", WORKERS: 8}
webstack_sites:
  - {name: shop, domains: shop.example.com, servers: [{name: web1, address: 192.0.2.21, port: "8080", backup: "no"}]}
webstack_app_password: !vault |
"""
EXTRA = [
    "upkeep_only_when_required=false",
    "mysql_replica_rebuild=web12",
    "webstack_app_workers=8",
    "app_server_redeploy=yes",
    '{"upkeep_downtime": ["db1", "lb1"]}',
    "not_of_ours=8",
]
# What the probe has to see, in these very types.
WANTED = {
    "upkeep_only_when_required": False,
    "mysql_replica_rebuild": ["web12"],
    "webstack_app_workers": 8,
    "app_server_redeploy": True,
    "upkeep_downtime": ["db1", "lb1"],
    "not_of_ours": "8",
    "haproxy_maxconn": 8000,
    # The variable of the play wins over that of the inventory, and is converted, too.
    "mysql_server_restart": False,
    "rollout_lease": 90,
    "upkeep_reboot_after_upgrade": False,
    "nginx_worker_connections": 512,
    "haproxy_retries": 4,
    "app_server_memory_max": "512",
    "app_server_environment": {"KEY": SECRET, "WORKERS": 8},
    "webstack_sites": [
        {
            "name": "shop",
            "domains": ["shop.example.com"],
            "servers": [{"name": "web1", "address": "192.0.2.21", "port": 8080, "backup": False}],
        }
    ],
    "webstack_app_password": SECRET,
    # Given by a task, after the values of the inventory.
    "proof_timeout": 30,
    "condition": "skipped",
    "named": "not named",
    "other host": 8,
    "template": "16 9",
}
PROBE = [
    {
        "hosts": "web",
        "gather_facts": False,
        "vars": {"mysql_server_restart": "no"},
        "tasks": [
            {"ansible.builtin.set_fact": {"proof_timeout": "30"}},
            {"ansible.builtin.command": "true", "when": "upkeep_only_when_required", "register": "condition"},
            {
                "ansible.builtin.command": "true",
                "when": "inventory_hostname in mysql_replica_rebuild",
                "register": "rebuilds",
            },
            {
                "ansible.builtin.copy": {
                    "dest": "{{ probe_output }}",
                    "mode": "0600",
                    "content": "{{ dict(probe_names | zip(query('ansible.builtin.vars', *probe_names)))"
                    " | combine({'condition': 'skipped' if condition is skipped else 'run',"
                    " 'named': 'not named' if rebuilds is skipped else 'named',"
                    " 'other host': hostvars['lb1'].webstack_app_workers,"
                    " 'template': lookup('ansible.builtin.template', probe_template)}) | to_json }}",
                }
            },
        ],
    }
]


class Site:
    """A user's directory beside the installed collection."""

    def __init__(self, where: Path, collections: Path) -> None:
        self.where, self.collections = where, collections

    @property
    def playbooks(self) -> Path:
        """Playbooks of the installed collection."""
        return self.collections / COLLECTION / "playbooks"

    def write(self, name: str, content: Any) -> Path:
        """A file of the user."""
        path = self.where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    def play(self, core: str, playbook: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ansible-playbook in the user's directory."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment |= {
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_INVENTORY": str(self.where / "hosts"),
            "ANSIBLE_VAULT_PASSWORD_FILE": str(self.where / "vault-password"),
            **settings,
        }
        command = [str(PROGRAMS[core] / "ansible-playbook"), playbook, *arguments]
        return subprocess.run(
            command, cwd=self.where, env=environment, capture_output=True, text=True, check=False, timeout=120
        )


cores = pytest.mark.parametrize("core", [name for name, path in PROGRAMS.items() if path.is_dir()])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Site:
    """The collection, built and installed, an inventory in INI and variables, one of them vaulted."""
    where, collections = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("collections")
    galaxy = [str(PROGRAMS["this core"] / "ansible-galaxy"), "collection"]
    built = tmp_path_factory.mktemp("built")
    subprocess.run([*galaxy, "build", "--output-path", built, TOP], check=True, capture_output=True)
    (archive,) = built.glob("*.tar.gz")
    install = [*galaxy, "install", "--force", "--no-deps", "--collections-path", collections, archive]
    subprocess.run(install, check=True, capture_output=True)
    found = Site(where, collections)
    password = found.write("vault-password", "correct horse")
    vault = [str(PROGRAMS["this core"] / "ansible-vault"), "encrypt_string", "--vault-password-file", password, SECRET]
    vaulted = subprocess.run(vault, check=True, capture_output=True, text=True).stdout.split("\n", 1)[1]
    found.write("hosts", INVENTORY)
    found.write("group_vars/all.yml", VARIABLES.rstrip() + "\n" + vaulted)
    found.write("probe.j2", "{{ webstack_app_workers * 2 }} {{ webstack_app_workers + 1 }}")
    (found.playbooks / "probe.yml").write_text(yaml.safe_dump(PROBE))
    return found


@pytest.fixture
def probe(site) -> Callable[..., dict[str, Any]]:
    """Run the probe, started in one of the ways, and tell what it saw."""

    def run(core: str, playbook: str, names: list[str], *arguments: str) -> dict[str, Any]:
        output = site.where / "seen.json"
        output.unlink(missing_ok=True)
        own = {"probe_output": str(output), "probe_template": str(site.where / "probe.j2"), "probe_names": names}
        done = site.play(core, playbook, "-e", json.dumps(own), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr
        return json.loads(output.read_text())

    return run


def ways(site: Site) -> dict[str, str]:
    """How a playbook of the collection can be started."""
    by_name = [{"name": "By its name", "ansible.builtin.import_playbook": "pentad.webstack.probe"}]
    by_path = [{"name": "By its path", "ansible.builtin.import_playbook": str(site.playbooks / "probe.yml")}]
    return {
        "path": str(site.playbooks / "probe.yml"),
        "name": "pentad.webstack.probe",
        "imported by name": str(site.write("by_name.yml", by_name)),
        "imported by path": str(site.write("elsewhere/by_path.yml", by_path)),
    }


@cores
@pytest.mark.parametrize("way", ["path", "name", "imported by name", "imported by path"])
def test_every_value_has_the_type_of_its_spec_however_it_is_given(site, probe, core, way):
    names = [name for name in WANTED if name not in ("condition", "named", "other host", "template")]
    seen = probe(core, ways(site)[way], names, *(part for extra in EXTRA for part in ("-e", extra)))
    assert seen == WANTED


@cores
def test_a_replica_is_rebuilt_by_its_whole_name_alone(probe, core):
    extra = ["-e", "mysql_replica_rebuild='db1, web1'", "-e", "webstack_app_workers=1 upkeep_only_when_required=true"]
    seen = probe(core, "pentad.webstack.probe", ["mysql_replica_rebuild"], *extra)
    assert seen["mysql_replica_rebuild"] == ["db1", "web1"]
    assert (seen["named"], seen["condition"]) == ("named", "run")


DOCUMENTED = sorted(
    {
        (name, text)
        for path in [TOP / "README.md", *(TOP / "docs").glob("*.md"), *TOP.glob("roles/*/meta/argument_specs.yml")]
        for text in re.findall(r"-e ('\{[^']*\}'|[a-z_]+=[^\s`|)]+)", path.read_text())
        for name in re.findall(r"([a-z_]+)(?==|\":)", text)[:1]
    }
)


@cores
def test_every_documented_extra_variable_arrives_in_its_type(probe, core):
    options = role_arguments.options()
    # Those of a playbook alone have no argument spec, and are text.
    assert {name for name, _text in DOCUMENTED} - set(options) <= {"state", "mysql_new_primary", "mysql_rejoin"}
    ours = [(name, shlex.split(text)[0]) for name, text in DOCUMENTED if name in options]
    assert {"upkeep_only_when_required", "upkeep_downtime", "mysql_replica_rebuild"} <= {name for name, _text in ours}
    extra = ["-e", "webstack_app_workers=1", *(part for _name, text in ours for part in ("-e", text))]
    seen = probe(core, "pentad.webstack.probe", [name for name, _text in ours], *extra)
    for name, text in ours:
        assert list(value_types.misfits(seen[name], options[name])) == [], text
        assert seen[name] not in (None, "", [], {})


@cores
def test_roles_used_alone_refuse_what_nothing_converts(site, core):
    """Their main.yml begin with this task, which test_defaults_and_specs.py sees to."""
    site.write("own.yml", [{"hosts": "web1", "gather_facts": False, "tasks": [{"pentad.webstack.variable_types": {}}]}])
    extra = ["-e", "webstack_app_workers=8", "-e", '{"nginx_port": "{{ 8080 }}", "not_of_ours": "8"}']
    alone = site.play(core, "own.yml", *extra)
    told = " ".join(alone.stdout.split()).replace("\\n", " ").replace("\\", "")
    assert alone.returncode == 2
    for sentence in (
        "web1: webstack_app_workers = '8' is text, not a whole number: write webstack_app_workers: 8 in the inventory, "
        "or -e '{\"webstack_app_workers\": 8}' on the command line.",
        "web1: upkeep_reboot_after_upgrade = 'false' is text, not true or false: write",
        "callbacks_enabled = pentad.webstack.typed_variables in ansible.cfg.",
    ):
        assert sentence in told
    assert not [name for name in ("nginx_port", "not_of_ours", "webstack_app_password") if name in told]
    enabled = site.play(core, "own.yml", *extra, ANSIBLE_CALLBACKS_ENABLED="pentad.webstack.typed_variables")
    assert enabled.returncode == 0, enabled.stdout + enabled.stderr


@cores
def test_maintenance_is_on_or_off_in_any_spelling_and_nothing_else(site, core):
    """The role's tasks are replaced by one that tells what they were asked for."""
    asked = site.where / "asked"
    task = {
        "name": "Tell what is asked for",
        "ansible.builtin.copy": {
            "content": "{{ {true: 'on', false: 'off'}[haproxy_maintenance] }}",
            "dest": str(asked),
            "mode": "0600",
        },
    }
    (site.collections / COLLECTION / "roles" / "haproxy" / "tasks" / "maintenance.yml").write_text(
        yaml.safe_dump([task])
    )
    for given, told in (("state=on", "on"), ("{state: off}", "off")):
        done = site.play(core, "pentad.webstack.maintenance", "-e", given)
        assert done.returncode == 0, done.stdout + done.stderr
        assert asked.read_text() == told
    asked.unlink()
    done = site.play(core, "pentad.webstack.maintenance")
    assert "neither on nor off: run it with -e state=on or -e state=off." in " ".join(done.stdout.split())
    assert (done.returncode, asked.exists()) == (2, False)


class Playbook:
    """A playbook without plays."""

    def get_plays(self) -> list[object]:
        return []


def test_what_is_loaded_is_out_of_the_way_of_garbage_collections_in_forks():
    gc.unfreeze()
    CallbackModule().v2_playbook_on_start(Playbook())
    try:
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_filters_and_actions_are_loaded_before_tasks_fork():
    # By these names the loaders of ansible-core know them.
    plugins = "ansible_collections.pentad.webstack.plugins"
    names = {
        f"{plugins}.{kind}.{path.stem}" for kind in ("filter", "action") for path in TOP.glob(f"plugins/{kind}/*.py")
    }
    program = (
        f"import sys; from {plugins}.callback import typed_variables as it; it.load_plugins(); print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(TOP / ".cache" / "collections")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert len(names) > 10
    assert names <= set(done.stdout.split())
