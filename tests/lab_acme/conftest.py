# SPDX-License-Identifier: GPL-3.0-or-later
"""Two balancers, and the world that they are in: an ACME authority, the DNS that it asks, and a client."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import testinfra
from cryptography import x509
from places import TOP

SUFFIX = os.environ.get("WEBSTACK_LAB_SUFFIX", "")
NET = os.environ.get("WEBSTACK_ACME_NET", "172.30.91")
INVENTORY = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
DOMAIN = "www.foobar.com"
INTERNAL = ssl.create_default_context(cafile=str(INVENTORY / ".webstack" / "pki" / "ca.pem"))
LINEAGE = "/etc/letsencrypt/renewal/site.conf"
BUNDLE = "/etc/haproxy/certificates/site.pem"


def call(url: str, body: dict[str, Any] | None = None) -> str:
    """What a node of the scenario answers."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10, context=INTERNAL) as answer:
        return answer.read().decode()


class World:
    """The node with the authority and the DNS."""

    host = testinfra.get_host(f"docker://world{SUFFIX}")

    def root(self) -> ssl.SSLContext:
        """Trust in the authority, and in nobody else."""
        return ssl.create_default_context(cadata=call(f"https://{NET}.53:15000/roots/0"))

    def resolve_to(self, address: str) -> None:
        """Let every name lead to this address from now on."""
        call(f"http://{NET}.53:8055/set-default-ipv4", {"ip": address})

    def asked(self) -> list[str]:
        """What the authority has been asked for, a line for each request."""
        return re.findall(r"(?:GET|HEAD|POST) /\S+", self.host.check_output("journalctl -u pebble -o cat --no-pager"))


class Balancer:
    """One of the balancers."""

    def __init__(self, number: int) -> None:
        self.name, self.address = f"alb{number}{SUFFIX}", f"{NET}.1{number}"
        self.host = testinfra.get_host(f"docker://{self.name}")

    def connect(self, context: ssl.SSLContext, name: str = DOMAIN) -> ssl.SSLSocket:
        """A connection as a client of the site makes it, the certificate verified."""
        plain = socket.create_connection((self.address, 443), timeout=10)
        return context.wrap_socket(plain, server_hostname=name)

    def shown(self, context: ssl.SSLContext, name: str = DOMAIN) -> x509.Certificate:
        """The certificate that a client gets to see."""
        with self.connect(context, name) as connection:
            return x509.load_der_x509_certificate(connection.getpeercert(True) or b"")

    def processes(self) -> int:
        """How often HAProxy has started a worker."""
        journal = self.host.check_output("journalctl -u haproxy -o cat --no-pager")
        return len(re.findall(r"New worker \(\d+\) forked", journal))

    def renew(self) -> None:
        """Let the timer's service find a certificate that is due; again where a nonce was refused twice in a row."""
        self.host.check_output(f"sed -i '1i renew_before_expiry = 100 days' {LINEAGE}")
        try:
            for _attempt in range(8):
                if self.host.run("systemctl start certbot.service").rc == 0:
                    return
                log = self.host.check_output("tail -n 40 /var/log/letsencrypt/letsencrypt.log")
                assert "nonce" in log, log
            pytest.fail("the authority refused eight renewals in a row for their nonces")
        finally:
            self.host.check_output(f"sed -i '/^renew_before_expiry/d' {LINEAGE}")


@dataclass
class Client:
    """Asks a balancer without a pause, two requests to a connection, until it is left; used as a context."""

    balancer: Balancer
    context: ssl.SSLContext
    failures: list[str] = field(default_factory=list)
    serials: set[int] = field(default_factory=set)
    answered: int = 0

    def __enter__(self) -> Client:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _worker in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(self.balancer.address)
            try:
                connection.sock = self.balancer.connect(self.context)
                seen = x509.load_der_x509_certificate(connection.sock.getpeercert(True))
                for _request in range(2):
                    connection.request("GET", "/", headers={"Host": DOMAIN})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        self.failures.append(f"status {answer.status}")
                    # A process that ends says so with its answer.
                    if answer.will_close:
                        break
                self.serials.add(seen.serial_number)
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__} {error}")
            finally:
                connection.close()

    def go_on(self, connections: int, seconds: float = 30) -> None:
        """Wait for so many more connections with their answers."""
        wanted, deadline = self.answered + connections, time.monotonic() + seconds
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"only {self.answered} of {wanted} in {seconds} s: {self.failures[-3:]}"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def world() -> World:
    """The rest of the world."""
    return World()


@pytest.fixture(scope="session")
def root(world: World) -> ssl.SSLContext:
    """Trust in the ACME authority."""
    return world.root()


@pytest.fixture(scope="session")
def balancers() -> list[Balancer]:
    """Both balancers."""
    return [Balancer(1), Balancer(2)]


@pytest.fixture
def deploy() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the deployment again with other variables; its output without line breaks is what is looked at."""

    def run(*words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        command = ["ansible-playbook", "-i", INVENTORY, "-e", json.dumps(variables), *words]
        return subprocess.run(
            [*command, TOP / "molecule" / "acme" / "converge.yml"],
            env=os.environ | {"ANSIBLE_NOCOLOR": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=300, check=False,
        )  # fmt: skip

    return run


def names(certificate: x509.Certificate) -> list[str]:
    """Host names that a certificate is valid for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return sorted(found.value.get_values_for_type(x509.DNSName))
