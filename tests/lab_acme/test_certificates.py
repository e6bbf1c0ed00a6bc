# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a real ACME server, which refuses every seventh nonce: ordered, renewed, refused."""

from __future__ import annotations

import re

import pytest
from conftest import BUNDLE, DOMAIN, INTERNAL, LINEAGE, Client, names

SHOP = "shop.foobar.com"
BLOCKED = "blocked.example.net"


def test_every_balancer_shows_a_certificate_of_its_own(balancers, root):
    shown = [balancer.shown(root) for balancer in balancers]
    assert [names(certificate) for certificate in shown] == [[DOMAIN], [DOMAIN]]
    assert shown[0].serial_number != shown[1].serial_number


def test_keys_are_for_root_alone_and_nothing_is_left_over(balancers):
    for balancer in balancers:
        bundle = balancer.host.file(BUNDLE)
        assert (bundle.user, oct(bundle.mode)) == ("root", "0o600")
        assert sorted(balancer.host.file("/etc/haproxy/certificates").listdir()) == ["list", "site.pem"]


def test_the_timer_renews(balancers):
    for balancer in balancers:
        assert balancer.host.service("certbot.timer").is_enabled
        assert balancer.host.service("certbot.timer").is_running
        settings = balancer.host.file(LINEAGE).content_string.splitlines()
        assert {"http01_port = 8402", f"http01_address = {balancer.address}"} <= set(settings)
        # Only what was saved is there for a renewal, and hooks are to run then.
        assert not [line for line in settings if "hook" in line]


@pytest.mark.parametrize("number", [0, 1])
def test_a_renewal_with_its_challenge_at_the_other_balancer_drops_nobody(balancers, world, root, number):
    balancer, other = balancers[number], balancers[1 - number]
    world.resolve_to(other.address)
    before, workers, asked = balancer.shown(root), balancer.processes(), len(world.asked())
    with Client(balancer, root) as client:
        client.go_on(20)
        balancer.renew()
        client.go_on(100)
    assert client.failures == []
    after = balancer.shown(root)
    assert after.serial_number != before.serial_number
    assert client.serials == {before.serial_number, after.serial_number}
    assert balancer.processes() == workers + 1
    assert "POST /chalZ/" in world.asked()[asked:]


def test_check_mode_asks_no_authority(deploy, world):
    asked = len(world.asked())
    ran = deploy("--check", "--diff", webstack_redirect_from=[SHOP])
    assert ran.returncode == 0, ran.stdout
    assert f"+{SHOP}" in ran.stdout
    assert world.asked()[asked:] == []


def test_a_further_name_is_ordered_once(deploy, balancers, world, root):
    before = [balancer.shown(root).serial_number for balancer in balancers]
    ran = deploy(webstack_redirect_from=[SHOP])
    assert ran.returncode == 0, ran.stdout
    for balancer, serial in zip(balancers, before, strict=True):
        shown = balancer.shown(root, SHOP)
        assert names(shown) == [SHOP, DOMAIN]
        assert shown.serial_number != serial
    asked = len(world.asked())
    ran = deploy(webstack_redirect_from=[SHOP])
    assert re.findall(r"changed=(\d+)", ran.stdout) == ["0", "0"], ran.stdout
    assert world.asked()[asked:] == []


def test_a_refused_order_is_told_and_replaces_no_certificate(deploy, balancers, root):
    sites = [
        {"name": "site", "domains": [DOMAIN, SHOP]},
        {"name": "other", "domains": [BLOCKED]},
    ]
    before = [balancer.shown(root).serial_number for balancer in balancers]
    ran = deploy(webstack_sites=sites)
    assert ran.returncode != 0
    told = " ".join(ran.stdout.split())
    assert f"issues no certificate for {BLOCKED} and what was deployed stays: Order included" in told
    assert f'forbidden by policy: "{BLOCKED}"' in told.replace('\\"', '"')
    for balancer, serial in zip(balancers, before, strict=True):
        assert balancer.shown(INTERNAL, BLOCKED).subject.rfc4514_string() == f"CN={BLOCKED}"
        assert balancer.shown(root).serial_number == serial


def test_a_certificate_that_haproxy_refuses_gives_way_to_the_old_one(balancers, root):
    balancer = balancers[0]
    before = balancer.host.file(BUNDLE).content_string
    balancer.host.check_output(
        "rm -rf /tmp/site && mkdir /tmp/site && cp -L /etc/letsencrypt/live/site/fullchain.pem /tmp/site"
        " && openssl genpkey -quiet -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out /tmp/site/privkey.pem"
    )
    ran = balancer.host.run("RENEWED_LINEAGE=/tmp/site /etc/letsencrypt/renewal-hooks/deploy/haproxy")
    assert ran.rc != 0
    assert "the old one stays" in ran.stderr
    assert balancer.host.file(BUNDLE).content_string == before
    assert ".site.old" not in balancer.host.file("/etc/haproxy/certificates").listdir()
    assert names(balancer.shown(root)) == [SHOP, DOMAIN]


def test_a_certificate_that_is_not_haproxys_is_left_to_others(balancers):
    ran = balancers[0].host.run("RENEWED_LINEAGE=/tmp/mail /etc/letsencrypt/renewal-hooks/deploy/haproxy")
    assert (ran.rc, ran.stderr) == (0, "")
    assert not balancers[0].host.file("/etc/haproxy/certificates/mail.pem").exists
