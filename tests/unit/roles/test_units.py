# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd, and additions to those of the distribution: systemd itself finds nothing to say against them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rendering import Cases, render

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is there for Linux alone")
HEADER = re.compile(r"^\[(Unit|Service|Socket|Timer)\]$", re.MULTILINE)
LIMITS = {"app_server_memory_max": "512M", "app_server_cpu_quota": "150%", "app_server_tasks_max": "64"}
SHARED = {"webstack_app_shared_directories": ["uploads"], **LIMITS}
NODE = {"webstack_app_runtime": "node", "app_server_command": ["node", "a b.js"]}
COMMAND = {"webstack_app_runtime": "command", "app_server_command": ["serve", "--listen={socket}"]}
# By the directory of a node and the unit's path below /etc/systemd/system.
CASES: Cases = {
    "lb1": {
        "balancer/haproxy.service.d/webstack.conf": ("haproxy", "reload.conf.j2", {}),
        "balancer/certbot.service.d/webstack.conf": ("acme", "certbot.conf.j2", {"acme_ca_bundle": "/root/ca.pem"}),
        "balancer/keepalived.service.d/webstack.conf": ("keepalived", "unit.conf.j2", {}),
        "balancer/keepalived-check.service": ("keepalived", "keepalived-check.service.j2", {}),
        "other balancer/certbot.service.d/webstack.conf": ("acme", "certbot.conf.j2", {}),
    },
    "web1": {
        "python/app.service": ("app_server", "service.j2", {}),
        "python/app.socket": ("app_server", "socket.j2", {}),
        "python/app-mail.service": (
            "app_server",
            "background.j2",
            {"unit": {"name": "mail", "command": ["mail", "50%"]}, **SHARED},
        ),
        "python/app-tidy.service": (
            "app_server",
            "timed-service.j2",
            {"unit": {"name": "tidy", "command": ["tidy"]}, **SHARED},
        ),
        "python/app-tidy.timer": ("app_server", "timed-timer.j2", {"unit": {"name": "tidy", "on_calendar": "hourly"}}),
        "python/nginx.service.d/webstack.conf": ("nginx", "restart.conf.j2", {}),
        "asgi/app.service": (
            "app_server",
            "service.j2",
            {"webstack_app_asgi": "pages:app", "app_server_lock": "l", **SHARED},
        ),
        "asgi/app.socket": ("app_server", "socket.j2", {}),
        "php/app.service": ("app_server", "service.j2", {"webstack_app_runtime": "php", **SHARED}),
        "php/app.socket": ("app_server", "socket.j2", {"webstack_app_runtime": "php"}),
        "php/php8.4-fpm.service.d/webstack.conf": ("app_server", "fpm-unit.conf.j2", {"webstack_app_runtime": "php"}),
        "port/app.service": ("app_server", "service.j2", NODE),
        "socket/app.service": ("app_server", "service.j2", {"webstack_app_listen": "socket", **COMMAND}),
    },
    "db1": {
        f"database/{unit}": ("mysql_health", f"{unit}.j2", {})
        for unit in (
            "mysql-health.socket",
            "mysql-health.service",
            "mysql-resume.service",
            "mysql-fence.service",
            "mysql-verdict.service",
            "mysql-verdict.timer",
        )
    },
}
# As they are in the roles.
FILES = {
    "monitor/prometheus.service.d/webstack.conf": "monitoring/files/unit.conf",
    "monitor/prometheus-.service.d/webstack.conf": "exporters/files/unit.conf",
}
NODES = sorted({path.partition("/")[0] for path in (*FILES, *(path for cases in CASES.values() for path in cases))})
TARGETS = ("basic", "multi-user", "network", "network-online", "shutdown", "sockets", "sysinit", "timers")
# Of the distribution, which the additions are for.
SERVICES = (
    "certbot", "haproxy", "keepalived", "nginx", "php8.4-fpm", "prometheus", "prometheus-node-exporter", "mysql",
    "mariadb",
)  # fmt: skip


@pytest.fixture(scope="session")
def units(top: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each unit is, by its path."""
    found = render(top, tmp_path_factory.mktemp("units"), CASES)
    files = {path: (top / "roles" / file).read_text() for path, file in FILES.items()}
    return {**files, **{path: text for cases in found.values() for path, text in cases.items()}}


def of_node(node: str, units: dict[str, str]) -> dict[str, str]:
    """The units of a node, by their paths on it."""
    return {path.removeprefix(f"{node}/"): text for path, text in units.items() if path.startswith(f"{node}/")}


def complaints(root: Path, units: dict[str, str]) -> str:
    """What systemd has to say of the units of a node, given by their paths, on which all their programs are."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: install the package systemd.")
    place, programs = root / "etc/systemd/system", {"/usr/bin/true"}
    place.mkdir(parents=True)
    for target in TARGETS:
        (place / f"{target}.target").write_text("[Unit]\n")
    for service in SERVICES:
        (place / f"{service}.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    for name, text in units.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
        programs |= set(re.findall(r"^Exec\w+=[-@:+!]*(\S+)", text, re.MULTILINE))
    for path in programs:
        file = root / (path.lstrip("/") if path.startswith("/") else f"usr/bin/{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    names = [name.partition(".d/")[0].replace("-.", "-node-exporter.") for name in units]
    done = subprocess.run(
        [program, "verify", "--man=no", f"--root={root}", *names],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr + (f"exit status {done.returncode}" if done.returncode else "")


@pytest.mark.parametrize("node", NODES)
def test_systemd_finds_nothing_wrong(units: dict[str, str], tmp_path: Path, node: str) -> None:
    assert complaints(tmp_path, of_node(node, units)) == ""


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        ("python/app.service", "\nKillMode=mixed\n", "\nKillMood=mixed\n"),
        ("python/app.service", "\nRestart=always\n", "\nRestart=sometimes\n"),
        ("python/app.socket", "\nBacklog=2048\n", "\nBacklog=many\n"),
        ("python/app-tidy.timer", "\nOnCalendar=hourly\n", "\nOnCalendar=at times\n"),
        ("balancer/haproxy.service.d/webstack.conf", "\nExecStop=-/", "\nExecStop=-"),
    ],
    ids=["setting", "value", "socket", "timer", "addition"],
)
def test_systemd_finds_what_is_wrong(units: dict[str, str], tmp_path: Path, path: str, right: str, wrong: str) -> None:
    assert right in units[path]
    mistaken = {**units, path: units[path].replace(right, wrong)}
    assert "ignoring" in complaints(tmp_path, of_node(path.partition("/")[0], mistaken))


def test_all_units_of_the_roles_are_looked_at(top: Path) -> None:
    there = {path for path in (top / "roles").glob("*/[tf]*/**/*") if path.parts[-2] in ("templates", "files")}
    there = {path.relative_to(top / "roles") for path in there if path.is_file() and HEADER.search(path.read_text())}
    cases = [case for named in CASES.values() for case in named.values()]
    rendered = {Path(role, "templates", template) for role, template, _changed in cases}
    assert there == rendered | {Path(file) for file in FILES.values()}
