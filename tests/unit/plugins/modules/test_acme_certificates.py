# SPDX-License-Identifier: GPL-3.0-or-later
"""What is ordered and what is deployed, by a certbot and a deploying program that stand in for the real ones."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import acme_certificates as module

URL = "https://acme.example/directory"
SITE = {"name": "site", "domains": ["www.example.com", "example.com"]}
# Notes how it was called, then fails as the file tells, or leaves a certificate as certbot does.
CERTBOT = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
top = Path({top!r})
words = sys.argv[1:]
with (top / "calls").open("a") as calls:
    calls.write(json.dumps({{"words": words, "trust": os.environ.get("REQUESTS_CA_BUNDLE", "")}}) + "\\n")
failures = json.loads((top / "failures").read_text())
if failures:
    (top / "failures").write_text(json.dumps(failures[1:]))
    sys.exit(failures[0])
value = lambda option: words[words.index(option) + 1]
name = value("--cert-name")
live = top / "letsencrypt" / "live" / name
live.mkdir(parents=True, exist_ok=True)
names = ",".join("DNS:" + words[i + 1] for i, word in enumerate(words) if word == "--domain")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-subj", "/", "-addext", "subjectAltName=critical," + names, "-keyout", live / "privkey.pem",
    "-out", live / "cert.pem"], check=True, capture_output=True)
(live / "fullchain.pem").write_bytes((live / "cert.pem").read_bytes() + b"issuer")
conf = top / "letsencrypt" / "renewal" / (name + ".conf")
conf.parent.mkdir(exist_ok=True)
conf.write_text("version = 4.0.0\\n[renewalparams]\\nauthenticator = standalone\\n" + "".join(
    key + " = " + value(option) + "\\n" for key, option in (("server", "--server"), ("key_type", "--key-type"),
    ("http01_address", "--http-01-address"), ("http01_port", "--http-01-port"))))
"""
DEPLOY = """#!/bin/sh
[ ! -e {top}/refuse ] || {{ echo "HAProxy refuses it" >&2; exit 1; }}
cat "$RENEWED_LINEAGE/privkey.pem" "$RENEWED_LINEAGE/fullchain.pem" > {top}/$(basename "$RENEWED_LINEAGE").pem
"""
NONCE = "An unexpected error occurred:\nJWS has invalid anti-replay nonce abc\nAsk for help or search for solutions"
UNAUTHORIZED = """Saving debug log to /var/log/letsencrypt/letsencrypt.log

Certbot failed to authenticate some domains (authenticator: standalone). The CA reported these problems:
  Domain: www.example.com
  Type:   dns
  Detail: no such host

Hint: The Certificate Authority failed to download the challenge files.
"""


class Node:
    """The directory that stands for the node."""

    def __init__(self, top: Path, run_module: Any) -> None:
        self.top, self.run_module = top, run_module
        self.fail()
        (top / "letsencrypt").mkdir()
        (top / "bin").mkdir()
        self.program("bin/certbot", CERTBOT.format(python=sys.executable, top=str(top)))
        self.program("deploy", DEPLOY.format(top=top))

    def program(self, path: str, text: str) -> None:
        """A program on the node."""
        (self.top / path).write_text(text)
        (self.top / path).chmod(stat.S_IRWXU)

    def fail(self, *said: str) -> None:
        """Let the next orders end with these words."""
        (self.top / "failures").write_text(json.dumps(said))

    def run(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run the module."""
        given = {
            "certificates": [SITE], "directory_url": URL, "terms_agreed": True, "address": "192.0.2.11", "port": 8402,
            "deploy": str(self.top / "deploy"), "bundles": str(self.top), **arguments,
        }  # fmt: skip
        return self.run_module(module, check, **given)

    def calls(self) -> list[dict[str, Any]]:
        """How certbot was called."""
        path = self.top / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def node(tmp_path: Path, run_module: Any, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node without certificates."""
    monkeypatch.setattr(module, "CERTBOT", tmp_path / "letsencrypt")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    return Node(tmp_path, run_module)


def test_what_is_missing_is_ordered_and_deployed_once(node):
    first = node.run(ca_bundle="/etc/ca.pem", email="ops@example.com")
    assert (first["changed"], first["ordered"], first["deployed"]) == (True, {"site": "there is none yet"}, ["site"])
    assert first["diff"][0]["after"] == "example.com\nwww.example.com\n"
    call = node.calls()[0]
    words = " ".join(call["words"])
    assert call["trust"] == "/etc/ca.pem"
    assert "--email ops@example.com" in words
    assert "--agree-tos" in words
    assert "--http-01-address 192.0.2.11 --http-01-port 8402" in words
    again = node.run()
    assert (again["changed"], again["ordered"], again["deployed"]) == (False, {}, [])
    assert len(node.calls()) == 1


def test_no_address_is_given_without_one(node):
    node.run()
    assert "--register-unsafely-without-email" in node.calls()[0]["words"]
    assert node.calls()[0]["trust"] == ""


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"certificates": [{**SITE, "domains": ["www.example.com"]}]}, "it is for example.com, www.example.com"),
        ({"directory_url": "https://other.example/"}, "it was ordered with another server"),
        ({"key_type": "rsa", "port": 1}, "it was ordered with another key_type, http01_port"),
        ({"address": "2001:db8::1"}, "it was ordered with another http01_address"),
    ],
)
def test_what_differs_is_ordered_anew(node, changed, why):
    node.run()
    old = (node.top / "site.pem").read_bytes()
    planned = node.run(check=True, **changed)
    assert (planned["changed"], planned["ordered"], len(node.calls())) == (True, {"site": why}, 1)
    assert (node.top / "site.pem").read_bytes() == old
    assert node.run(**changed)["ordered"] == {"site": why}
    assert (node.top / "site.pem").read_bytes() != old
    assert node.run(**changed)["changed"] is False


def test_check_mode_of_a_bare_node_orders_nothing(node):
    planned = node.run(check=True)
    assert (planned["changed"], planned["ordered"], node.calls()) == (True, {"site": "there is none yet"}, [])
    assert not (node.top / "site.pem").exists()


def test_a_refused_nonce_is_tried_again_and_then_given_up(node):
    node.fail(*[NONCE] * (module.TRIES - 1))
    assert node.run()["changed"] is True
    assert len(node.calls()) == module.TRIES
    node.fail(*[NONCE] * module.TRIES)
    given_up = node.run(directory_url="https://other.example/")
    assert given_up["failed"]
    assert "JWS has invalid anti-replay nonce abc." in given_up["msg"]
    assert len(node.calls()) == 2 * module.TRIES


def test_a_refusal_is_told_once_and_the_others_are_ordered(node):
    node.fail(UNAUTHORIZED)
    shop = {"name": "shop", "domains": ["shop.example.com"]}
    answer = node.run(certificates=[SITE, shop])
    assert answer["failed"]
    assert answer["msg"].startswith(
        f"{URL} issues no certificate for www.example.com, example.com and what was deployed stays: "
        "Domain: www.example.com Type: dns Detail: no such host. The names have to lead to the balancers"
    )
    assert (answer["ordered"], answer["deployed"]) == ({"shop": "there is none yet"}, ["shop"])
    assert len(node.calls()) == 2


def test_what_is_not_deployed_is_deployed_without_an_order(node):
    (node.top / "refuse").touch()
    answer = node.run()
    assert answer["failed"]
    assert "HAProxy refuses it" in answer["msg"]
    (node.top / "refuse").unlink()
    answer = node.run()
    assert (answer["changed"], answer["ordered"], answer["deployed"]) == (True, {}, ["site"])
    assert len(node.calls()) == 1


def test_a_program_that_deploys_nothing_is_noticed(node):
    node.program("deploy", "#!/bin/sh\n")
    assert "it has not written the file" in node.run()["msg"]


def test_nothing_is_ordered_under_terms_that_nobody_agreed_to(node):
    answer = node.run(terms_agreed=False)
    assert "set terms_agreed to true" in answer["msg"]
    assert node.calls() == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (UNAUTHORIZED, "Domain: www.example.com Type: dns Detail: no such host"),
        (NONCE, "JWS has invalid anti-replay nonce abc"),
        (
            "Saving debug log to /x\nAnother instance of Certbot is already running.\n",
            "Another instance of Certbot is already running",
        ),
    ],
)
def test_the_complaint_is_what_is_wrong(said, told):
    assert module.complaint(said) == told
