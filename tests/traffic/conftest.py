# SPDX-License-Identifier: GPL-3.0-or-later
"""Two balancers, two web nodes and one with PHP in containers: HAProxy and nginx with the files of the roles."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from issued import Authority
from places import TOP
from waiting import wait

IMAGE = "webstack-traffic"
# Of this run alone: another checkout may be tested at the same time.
NETWORK = f"traffic-{os.getpid()}"
PREFIX = f"{NETWORK}-"
DOMAIN, OTHER = "www.example.com", "example.com"
BALANCERS, WEB = ("lb1", "lb2"), ("web1", "web2")
NODES = (*BALANCERS, *WEB, "php")
ADDED = ["192.0.2.80", "Intern.example", "2001:db8::80"]
# Short ones, so that what has to outlast them is seen to.
TIMEOUTS = {
    "connect": "2s", "client": "2s", "server": "2s", "http-request": "3s", "http-keep-alive": "3s", "queue": "2s",
    "check": "1s",
}  # fmt: skip
ALL = {
    "haproxy_timeouts": TIMEOUTS,
    "haproxy_slowstart": "1s",
    "haproxy_additional_hosts": ADDED,
    "haproxy_maxconn": 1000,
    "webstack_stream_paths": ["/stream/"],
    "webstack_app_docroot": "",
    "webstack_app_socket": "/run/app.sock",
}
# What sets a node apart.
VARIABLES: dict[str, dict[str, Any]] = {
    "lb1": {"webstack_certificate_source": "acme", "webstack_public_https_port": 8443},
    "lb2": {},
    "web1": {"webstack_public_https_port": 8443},
    "web2": {"webstack_public_https_port": 8443},
    "php": {"webstack_app_runtime": "php", "webstack_app_docroot": "public", "webstack_app_php_version": "8.4"},
}
ROLES = ("haproxy", "nginx", "app_server")


def docker(*words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a Docker command."""
    done = subprocess.run(["docker", *words], capture_output=True, timeout=120, check=False, **options)
    assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.decode()}{done.stdout.decode()}"
    return done


class Node:
    """A container with the programs of a node."""

    def __init__(self, name: str) -> None:
        self.name, self.container = name, PREFIX + name
        self.address = ""

    def start(self) -> None:
        """Run it, with nothing in it yet."""
        docker("run", "--detach", "--init", "--name", self.container, "--network", NETWORK, "--tmpfs", "/run", IMAGE,
               "sleep", "infinity")  # fmt: skip
        seen = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.container)
        self.address = seen.stdout.decode().strip()

    def sh(self, command: str, check: bool = True) -> str:
        """Output of a shell command."""
        done = docker("exec", self.container, "sh", "-c", command, check=check)
        return (done.stdout + done.stderr).decode()

    def begin(self, command: str) -> None:
        """Run a command that goes on."""
        docker("exec", "--detach", self.container, "sh", "-c", f"exec {command} >>/run/log 2>&1")

    def write(self, files: list[dict[str, Any]]) -> None:
        """Write files, as the module host_config does."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for file in files:
                info = tarfile.TarInfo(file["dest"].lstrip("/"))
                content = file["content"].encode()
                info.size, info.mode, info.mtime = len(content), int(file.get("mode", "0644"), 8), int(time.time())
                tar.addfile(info, io.BytesIO(content))
        docker("cp", "-", f"{self.container}:/", input=packed.getvalue())


# Each file with its content, as the action host_config finds it.
TOLD = """
{%- set told = [] -%}
{%- for file in files -%}
{%- set given = lookup('ansible.builtin.template', file.template, template_vars=file.vars | default({}))
                if file.template is defined else file.content -%}
{%- set _ = told.append(file | combine({'content': given})) -%}
{%- endfor -%}
{{ told | to_json }}
"""


def play(host: str, output: Path) -> dict[str, Any]:
    """A play that tells the files that the roles would write; their tasks are not tagged."""
    files = "__haproxy_files" if host in BALANCERS else "[__nginx_configuration]"
    if host == "php":
        files += " + __app_server_fpm_files[:1]"
    return {
        "hosts": host,
        "gather_facts": False,
        "roles": [f"pentad.webstack.{role}" for role in ROLES],
        "vars": {"files": "{{ " + files + " }}"},
        "tasks": [
            {
                "name": "Tell the files",
                "ansible.builtin.copy": {
                    "content": TOLD,
                    "dest": str(output / f"{host}.json"),
                    "mode": "0600",
                },
                "tags": "tell",
            }
        ],
    }


def rendered(work: Path, addresses: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The files of each node."""
    hosts = {name: {"webstack_address": addresses[name], **VARIABLES[name]} for name in NODES}
    inventory = {
        "all": {
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "webstack_state_dir": str(work / "state"),
                **ALL,
            },
            "hosts": hosts,
            "children": {
                "haproxy": {"hosts": dict.fromkeys(BALANCERS)},
                "web": {"hosts": dict.fromkeys(WEB)},
                "mysql": {"hosts": {}},
            },
        }
    }
    # Where a lookup finds the templates that it would find in the role.
    (work / "templates").mkdir()
    for role in ROLES:
        for template in (TOP / "roles" / role / "templates").iterdir():
            (work / "templates" / template.name).symlink_to(template)
    (work / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (work / "render.yml").write_text(yaml.safe_dump([play(name, work) for name in NODES]))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
        "ANSIBLE_NOCOLOR": "true",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", work / "hosts.yml", "--tags", "tell",
         work / "render.yml"],
        cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads((work / f"{name}.json").read_text()) for name in NODES}


def certified(work: Path, authority: Authority, *names: str) -> tuple[str, str]:
    """A certificate and its key as PEM."""
    certificate, key = authority.issue(*names)
    return certificate.read_text(), key.read_text()


class Traffic:
    """The nodes, running."""

    def __init__(self, work: Path, nodes: dict[str, Node], files: dict[str, Any], authority: Authority) -> None:
        self.work, self.nodes, self.files, self.authority = work, nodes, files, authority

    def __getitem__(self, name: str) -> Node:
        """A node."""
        return self.nodes[name]

    def http2(self, name: str, streams: list[Any], *words: str) -> dict[str, str]:
        """What a client of HTTP/2 sees of the last of these requests, each given by its headers."""
        node = self.nodes[name]
        node.write([{"dest": "/opt/http2.py", "content": Path(__file__).with_name("http2.py").read_text()}])
        given = json.dumps({"address": node.address, "name": DOMAIN, "streams": streams})
        done = docker("exec", node.container, "python3", "/opt/http2.py", given, *words)
        return json.loads(done.stdout)

    def up(self, balancer: str) -> bool:
        """Whether a balancer has both web nodes in use."""
        shown = self.nodes[balancer].sh("echo 'show stat' | socat - /run/haproxy/admin.sock", check=False)
        return sum(f"site,{name}," in line and ",UP," in line for line in shown.splitlines() for name in WEB) == 2

    def run_balancer(self, name: str) -> None:
        """HAProxy as its unit starts it, but for what tells systemd."""
        certificate, key = certified(self.work, self.authority, DOMAIN, OTHER)
        node = self.nodes[name]
        node.write([*self.files[name], {"dest": "/etc/haproxy/certificates/site.pem", "content": key + certificate}])
        node.sh("mkdir -p /run/haproxy && haproxy -c -f /etc/haproxy/haproxy.cfg")
        node.begin("haproxy -W -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -S /run/haproxy-master.sock")

    def run_web(self, name: str) -> None:
        """nginx, and an application."""
        certificate, key = certified(self.work, self.authority, name)
        node = self.nodes[name]
        static = "/srv/app/releases/one/static" if name in WEB else "/srv/app/releases/one/public"
        node.write([
            *self.files[name],
            {"dest": "/etc/ssl/webstack/node.pem", "content": certificate},
            {"dest": "/etc/ssl/webstack/node.key", "content": key},
            {"dest": "/opt/application.py", "content": Path(__file__).with_name("application.py").read_text()},
        ])  # fmt: skip
        node.sh(f"mkdir -p {static} && ln -sfn releases/one /srv/app/current && nginx -t -q")
        if name in WEB:
            node.begin(f"env NODE_NAME={name} python3 /opt/application.py /run/app.sock")
        node.begin("nginx -g 'daemon off;'")


@pytest.fixture(scope="session")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """All nodes, the balancers with both web nodes up."""
    work = tmp_path_factory.mktemp("traffic")
    (work / "state" / "pki").mkdir(parents=True)
    authority = Authority(work, "internal")
    (work / "state" / "pki" / "ca.pem").write_bytes(authority.path.read_bytes())
    nodes = {name: Node(name) for name in NODES}
    docker("network", "create", NETWORK)
    try:
        for node in nodes.values():
            node.start()
        files = rendered(work, {name: node.address for name, node in nodes.items()})
        found = Traffic(work, nodes, files, authority)
        for name in (*WEB, "php"):
            found.run_web(name)
        for name in BALANCERS:
            found.run_balancer(name)
        for name in BALANCERS:
            wait(f"{name} to have both web nodes", lambda name=name: found.up(name))
        yield found
    finally:
        if not os.environ.get("TRAFFIC_KEEP"):
            remove()


def remove() -> None:
    """Remove the containers and their network."""
    for name in NODES:
        docker("rm", "--force", PREFIX + name, check=False)
    docker("network", "rm", NETWORK, check=False)
