# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook dns.yml as an operator runs it: what it writes, and that the name server's checker can refuse it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.pentad.webstack.plugins.filter.topology import by_zone, zones

BALANCERS = {"lb1": {"webstack_address": "192.0.2.11"}, "lb2": {"webstack_address": "2001:db8::12"}}
SITES = [
    {"name": "site", "domains": ["www.foobar.com", "foobar.com"]},
    {"name": "shop", "domains": ["Shop.foobar.com", "www.example.org"]},
]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def checker() -> None:
    """The checker; without it the role is untested, which is a failure and no reason to skip."""
    if not shutil.which("named-checkzone", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.fail("named-checkzone is missing: install the package bind9-utils.")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the records go."""
    return tmp_path / ".webstack" / "dns"


@pytest.fixture
def publish(top: Path, tmp_path: Path, checker: None) -> Run:
    """Run the playbook with two balancers; words go to ansible-playbook, names are variables of the inventory."""

    def run(
        *words: str, path: str = os.environ["PATH"], balancers: dict[str, Any] | None = None, **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        inventory = {
            "all": {
                "vars": {"webstack_domain": "www.foobar.com", **variables},
                "children": {
                    "haproxy": {"hosts": balancers or BALANCERS},
                    "web": {"hosts": {"web1": {"webstack_address": "192.0.2.21"}}},
                },
            }
        }
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        environment = ansible_runs.environment(PATH=path)
        return subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path, *words, top / "playbooks" / "dns.yml"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def records(path: Path) -> list[str]:
    """Records of a fragment."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith(";")]


def test_records_of_one_site_need_no_setting_and_bad_ones_replace_none(publish, state):
    ran = publish("--check")
    assert (ran.returncode, state.exists()) == (0, False), ran.stdout + ran.stderr
    ran = publish()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    fragment = state / "foobar.com.zone"
    assert records(fragment) == [
        f"{name}. 300 IN {kind} {address}"
        for name in ("www.foobar.com", "foobar.com")
        for kind, address in (("A", "192.0.2.11"), ("AAAA", "2001:db8::12"))
    ]
    assert stat.S_IMODE(fragment.stat().st_mode) == 0o600
    assert "changed=0" in publish().stdout
    before = fragment.read_text()
    for wrong, told in ((["192.0.2.300"], "bad dotted quad"), ([], "dns_addresses is empty")):
        ran = publish(dns_addresses=wrong)
        assert ran.returncode != 0
        assert told in ran.stdout + ran.stderr
        assert fragment.read_text() == before


@pytest.mark.parametrize(
    ("balancers", "asked"),
    [
        ({"lb1": {}}, True),
        (BALANCERS, False),
        ({"lb1": {"dns_addresses": ["203.0.113.7"]}}, False),
        ({"lb1": {"webstack_virtual_addresses": [{"addresses": ["203.0.113.7"]}]}}, False),
    ],
)
def test_a_balancer_is_asked_for_its_address_where_nobody_has_named_one(publish, balancers, asked):
    ran = publish(balancers=balancers, ansible_connection="local", ansible_become=False)
    assert ("Gather the facts about the addresses" in ran.stdout) is asked
    # Without a route to anywhere this machine has no address.
    assert ran.returncode == 0 or "no address is known for lb1" in ran.stdout + ran.stderr


def test_every_domain_of_every_site_is_in_its_zone(publish, state):
    ran = publish(
        webstack_sites=SITES,
        balancers={"lb1": {}, "lb2": {}},
        webstack_virtual_addresses=[{"addresses": ["203.0.113.7"]}],
        dns_ttl=60,
        webstack_certificate_source="acme",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(path.name for path in state.iterdir()) == ["example.org.zone", "foobar.com.zone"]
    assert records(state / "foobar.com.zone") == [
        line
        for name in ("www.foobar.com", "foobar.com", "shop.foobar.com")
        for line in (f"{name}. 60 IN A 203.0.113.7", f'{name}. 60 IN CAA 0 issue "letsencrypt.org"')
    ]
    assert records(state / "example.org.zone")[0] == "www.example.org. 60 IN A 203.0.113.7"


def check(top: Path, directory: Path, fragment: str) -> subprocess.CompletedProcess[str]:
    """What the role's check says of a fragment."""
    path = directory / "fragment"
    path.write_text(fragment)
    return subprocess.run(
        ["sh", top / "roles/dns/files/check-zone", "foobar.com", path], capture_output=True, text=True, check=False
    )


def test_the_checker_takes_what_a_name_server_loads(top, tmp_path, checker):
    ran = check(top, tmp_path, 'www.foobar.com. 300 IN A 192.0.2.11\nwww.foobar.com. 300 IN CAA 0 issue "ca.example"\n')
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "fragment",
    [
        "my_site.foobar.com. 300 IN A 192.0.2.11\n",
        "www.foobar.com. 300 IN AAAA 2001:db8::zz\n",
        "www.foobar.com. soon IN A 192.0.2.11\n",
        "www.foobar.com. 300 IN CAA 0 issue\n",
        f"{'a' * 64}.foobar.com. 300 IN A 192.0.2.11\n",
    ],
)
def test_the_checker_refuses_what_a_name_server_does_not_load(top, tmp_path, checker, fragment):
    ran = check(top, tmp_path, fragment)
    assert ran.returncode != 0
    assert "fragment:1: " in ran.stderr


def test_a_missing_checker_is_named_with_its_package(top, tmp_path):
    bare = tmp_path / "bin"
    bare.mkdir()
    script = (top / "roles/dns/files/check-zone").read_text().replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
    ran = subprocess.run(
        ["/bin/sh", "-s", "foobar.com", "/dev/null"],
        input=script, env={"PATH": str(bare)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode != 0
    assert "install its package (bind9-utils" in ran.stderr


@pytest.mark.parametrize(
    ("domains", "wanted"),
    [
        (["www.foobar.com"], ["foobar.com"]),
        (["shop.foobar.com", "WWW.foobar.com"], ["foobar.com"]),
        (["shop.foobar.com", "barfoobar.com"], ["shop.foobar.com", "barfoobar.com"]),
        (["intranet"], ["intranet"]),
    ],
)
def test_zones_are_found_in_the_domains(domains, wanted):
    assert zones(domains) == wanted


def test_a_name_goes_to_the_innermost_zone():
    assert by_zone(["a.sub.foobar.com", "foobar.com"], ["foobar.com", "sub.foobar.com", "example.org"]) == {
        "foobar.com": ["foobar.com"],
        "sub.foobar.com": ["a.sub.foobar.com"],
    }
    with pytest.raises(AnsibleFilterError, match="barfoobar.com is in none of the zones foobar.com"):
        by_zone(["barfoobar.com"], ["foobar.com"])
