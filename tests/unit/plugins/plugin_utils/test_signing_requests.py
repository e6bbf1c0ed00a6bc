# SPDX-License-Identifier: GPL-3.0-or-later
"""The authority signs what was asked for: a request that a node has changed is refused, with what it asks for."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.signing_requests import request_problems
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from issued import Authority, key_text, named

NAMES = ("DNS:web1", "DNS:localhost", "IP:127.0.0.1", "IP:fd00::21")
USAGE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
NO_USAGE = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
     "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False
)  # fmt: skip


def general(name: str) -> x509.GeneralName:
    """A subject alternative name as cryptography has it."""
    kind, _colon, value = name.partition(":")
    return x509.IPAddress(ipaddress.ip_address(value)) if kind == "IP" else x509.DNSName(value)


def request(
    subject: x509.Name | None = None,
    names: tuple[str, ...] = NAMES,
    extensions: tuple[x509.ExtensionType, ...] = (USAGE,),
    others: tuple[x509.GeneralName, ...] = (),
) -> str:
    """A signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(named("web1") if subject is None else subject)
    if names or others:
        extensions = (x509.SubjectAlternativeName([*map(general, names), *others]), *extensions)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    "names", [NAMES, NAMES[::-1], ("DNS:WEB1", *NAMES[1:3], "IP:FD00:0:0::21")], ids=["same", "order", "spelling"]
)
def test_what_was_asked_for_is_signed(names):
    assert request_problems(request(), "web1", names) == []


def test_a_name_that_is_too_long_for_a_subject_is_signed_without_one():
    name = f"DNS:{'a' * 60}.example.com"
    assert request_problems(request(x509.Name([]), (name,)), "", [name]) == []


def test_saying_that_it_is_no_authority_is_no_difference():
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    assert request_problems(request(extensions=(USAGE, constraints)), "web1", NAMES) == []


FORGED: dict[str, tuple[str, list[str]]] = {
    "a subject of another node": (request(named("db1")), ["subject: CN=db1, wanted: CN=web1"]),
    "an organization": (
        request(
            x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, "web1"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bank")]
            )
        ),
        ["subject: O=Bank,CN=web1, wanted: CN=web1"],
    ),
    "no subject": (request(x509.Name([])), ["subject: none, wanted: CN=web1"]),
    "a name more": (
        request(names=(*NAMES, "DNS:www.example.com")),
        [
            "names: DNS:localhost, DNS:web1, DNS:www.example.com, IP:127.0.0.1, IP:fd00::21, "
            "wanted: DNS:localhost, DNS:web1, IP:127.0.0.1, IP:fd00::21"
        ],
    ),
    "a wildcard instead": (
        request(names=("DNS:*",)),
        ["names: DNS:*, wanted: DNS:localhost, DNS:web1, IP:127.0.0.1, IP:fd00::21"],
    ),
    "no names": (request(names=()), ["names: none, wanted: DNS:localhost, DNS:web1, IP:127.0.0.1, IP:fd00::21"]),
    "a name of another kind": (
        request(others=(x509.RFC822Name("root@example.com"),)),
        [
            "names: DNS:localhost, DNS:web1, IP:127.0.0.1, IP:fd00::21, RFC822Name:root@example.com, "
            "wanted: DNS:localhost, DNS:web1, IP:127.0.0.1, IP:fd00::21"
        ],
    ),
    "an authority": (
        request(extensions=(USAGE, x509.BasicConstraints(ca=True, path_length=0))),
        ["CA: yes, wanted: no"],
    ),
    "the key usage of an authority": (
        request(extensions=(USAGE, x509.KeyUsage(**{**NO_USAGE, "key_cert_sign": True}))),
        ["key usage: key_cert_sign, wanted: none"],
    ),
    "signing of code": (
        request(extensions=(x509.ExtendedKeyUsage([*USAGE, ExtendedKeyUsageOID.CODE_SIGNING]),)),
        ["extended key usage: 1.3.6.1.5.5.7.3.3, clientAuth, serverAuth, wanted: clientAuth, serverAuth"],
    ),
    "any use": (request(extensions=()), ["extended key usage: none, wanted: clientAuth, serverAuth"]),
    "constraints of names": (
        request(extensions=(USAGE, x509.NameConstraints([x509.DNSName("example.com")], None))),
        ["other extensions: 2.5.29.30, wanted: none"],
    ),
}


@pytest.mark.parametrize(("pem", "problems"), FORGED.values(), ids=FORGED)
def test_a_forged_request_is_refused_with_what_it_asks_for(pem, problems):
    assert request_problems(pem, "web1", NAMES) == problems


def test_a_request_that_another_key_has_signed_is_refused():
    genuine = x509.load_pem_x509_csr(request().encode()).public_bytes(Encoding.DER)
    other = bytearray(genuine)
    other[-1] ^= 1
    try:
        pem = x509.load_der_x509_csr(bytes(other)).public_bytes(Encoding.PEM).decode()
    except ValueError:
        pytest.fail("the signature was not to be read yet")
    assert request_problems(pem, "web1", NAMES) == ["it is not signed by its own key"]


def test_what_is_no_request_is_refused():
    assert request_problems("no PEM", "web1", NAMES)[0].startswith("it cannot be read: ")


@pytest.fixture
def sign(top, tmp_path):
    """Have the role sign a request; what was said, and the certificate if there is one."""
    authority = Authority(tmp_path, "internal")
    pki = tmp_path / "state" / "pki"
    pki.mkdir(parents=True)
    (pki / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (pki / "ca.key").write_bytes(key_text(authority.key))

    def run(pem: str, **variables: Any) -> tuple[str, x509.Certificate | None]:
        tasks = [
            {"ansible.builtin.import_role": {"name": "pentad.webstack.topology"}},
            {
                "ansible.builtin.include_role": {"name": "pentad.webstack.pki", "tasks_from": "sign"},
                "vars": {"__pki_request": {"csr": pem}, **variables},
            },
            {
                "ansible.builtin.copy": {
                    "content": "{{ __pki_signed.certificate }}", "dest": str(tmp_path / "signed.pem"), "mode": "0600",
                }
            },
        ]  # fmt: skip
        (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "web1", "gather_facts": False, "tasks": tasks}]))
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "webstack_address": "fd00::21",
            "webstack_state_dir": str(tmp_path / "state"),
        }
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"web1": host}}}))
        # Where modules of community.crypto are, too.
        places = f"{top / '.cache' / 'collections'}:{Path.home() / '.ansible' / 'collections'}"
        environment = ansible_runs.environment(ANSIBLE_COLLECTIONS_PATH=places)
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "hosts.json", tmp_path / "play.yml"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        signed = tmp_path / "signed.pem"
        said = " ".join((done.stdout + done.stderr).split())
        return said, x509.load_pem_x509_certificate(signed.read_bytes()) if signed.exists() else None

    return run


def test_the_role_signs_what_it_asked_for(sign):
    said, certificate = sign(request())
    assert certificate, said
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found) == set(map(general, NAMES))


def test_the_role_signs_nothing_else_and_says_what_it_found(sign):
    said, certificate = sign(request(names=(*NAMES, "DNS:www.example.com")))
    assert certificate is None
    assert "web1: the signing request for /etc/ssl/webstack/node.pem is not the one that was asked for" in said
    assert "names: DNS:localhost, DNS:web1, DNS:www.example.com" in said
