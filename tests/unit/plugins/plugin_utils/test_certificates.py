# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that are given as files: every way in which they would fail in a client is told before they are used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pentad.webstack.plugins.filter import sites as filters
from ansible_collections.pentad.webstack.plugins.plugin_utils import certificates
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from issued import Authority


class Shop:
    """A site with a certificate of an authority below a root that is trusted in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Authority(folder, "root")
        self.below = Authority(folder, "below", self.root)
        self.certificate, self.key = self.below.issue("www.example.com", "example.com")
        self.site: dict[str, Any] = {
            "name": "site",
            "domains": ["www.example.com"],
            "redirect_from": ["example.com"],
            "certificate": str(self.certificate),
            "key": str(self.key),
            "chain": str(self.below.path),
        }

    def problems(self, least: int = 14, **changes: Any) -> list[tuple[str, str]]:
        """What is wrong with the site, some of it changed."""
        return list(certificates.problems({**self.site, **changes}, least, [str(self.root.path)]))

    def shown(self, *names: str, **options: Any) -> list[tuple[str, str]]:
        """What is wrong with another certificate for the site."""
        certificate, key = self.below.issue(*names, **options)
        return self.problems(certificate=str(certificate), key=str(key))

    def file(self, content: bytes | str) -> str:
        """A file with this content."""
        path = self.folder / f"file-{len(list(self.folder.iterdir()))}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)


@pytest.fixture
def shop(tmp_path) -> Iterator[Shop]:
    """A site that is right."""
    return Shop(tmp_path)


def test_right_files_have_no_problem(shop):
    assert shop.problems() == []
    whole = shop.file(shop.certificate.read_text() + shop.below.path.read_text())
    assert shop.problems(certificate=whole, chain="") == []
    assert shop.problems(chain=shop.file(shop.below.path.read_text() + shop.root.path.read_text())) == []
    assert shop.shown("*.example.com", "example.com") == []


@pytest.mark.parametrize("field", ["certificate", "key", "chain"])
def test_a_file_that_is_not_there_is_named_with_the_reason(shop, field):
    assert shop.problems(**{field: "/nowhere"}) == [
        (field, "cannot be read (no such file or directory): name a PEM file on the control node.")
    ]


def test_a_path_that_is_not_set_is_asked_for(shop):
    unset = "is not set: name the PEM file on the control node."
    assert shop.problems(certificate="", key=None, chain="") == [("certificate", unset), ("key", unset)]


@pytest.mark.parametrize("field", ["certificate", "chain"])
def test_what_holds_no_certificate_is_told_from_what_holds_a_broken_one(shop, field):
    assert shop.problems(**{field: shop.file("hello")}) == [
        (field, "holds no certificate: make it PEM, with a line BEGIN CERTIFICATE.")
    ]
    broken = shop.file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    ((found, problem),) = shop.problems(**{field: broken})
    assert found == field
    assert problem.startswith("holds a certificate that cannot be read (")


def test_a_key_that_cannot_be_used_is_told(shop):
    assert shop.problems(key=shop.file("hello")) == [
        ("key", "holds no key that can be read: make it PEM, with a line BEGIN PRIVATE KEY.")
    ]
    key = load_pem_private_key(shop.key.read_bytes(), None)
    closed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert shop.problems(key=shop.file(closed)) == [
        ("key", "is encrypted and HAProxy has no password for it: give the key without one.")
    ]


def test_a_key_of_another_certificate_is_refused(shop):
    _certificate, other = shop.below.issue("www.example.com")
    assert shop.problems(key=str(other)) == [
        ("key", "is not the key of the certificate for CN=www.example.com: name the key that it was made with.")
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"days": -1}, "has expired on "),
        ({"days": 13}, "expires on "),
        ({"starts": 2}, "is valid from "),
    ],
)
def test_a_certificate_that_is_not_valid_or_not_for_long_is_refused(shop, options, problem):
    ((field, found),) = shop.shown("www.example.com", "example.com", **options)
    assert field == "certificate"
    assert found.startswith(problem)
    assert "(CN=www.example.com)" in found


def test_the_days_that_have_to_be_left_can_be_chosen(shop):
    assert shop.problems(least=89) == []
    ((_field, found),) = shop.problems(least=91)
    assert found.endswith("in less than 91 days: renew it, or lower webstack_certificate_min_days.")


def test_a_certificate_has_to_be_valid_for_every_name_of_the_site(shop):
    assert shop.shown("www.example.com") == [
        (
            "certificate",
            "is not valid for example.com but for www.example.com: have one issued for all host names of the site, or "
            "take those out of domains and redirect_from.",
        )
    ]
    ((_field, found),) = shop.shown("*.example.com")
    assert "not valid for example.com but" in found, "a wildcard stands for one label"
    assert [certificates.covers("*.example.com", name) for name in ("A.example.com", "a.b.example.com")] == [
        True,
        False,
    ]


def test_a_certificate_without_its_issuers_is_refused(shop):
    ((field, found),) = shop.problems(chain="")
    assert field == "chain"
    issuer = "whose issuer CN=below is no authority that the control node trusts: "
    assert found.startswith(f"ends in CN=www.example.com, {issuer}")


def test_a_chain_has_to_lead_from_issuer_to_issuer(shop):
    for chain in (shop.root.path, Authority(shop.folder, "stranger").path):
        ((field, found),) = shop.problems(chain=str(chain))
        assert field == "chain"
        assert "follows CN=www.example.com, which CN=below has issued" in found
    swapped = shop.file(shop.below.path.read_text() + shop.certificate.read_text())
    assert "key" in [field for field, _problem in shop.problems(certificate=swapped, chain="")]


def test_an_authority_of_the_same_name_with_another_key_does_not_count(shop):
    ((field, _problem),) = list(certificates.problems(shop.site, 14, [str(Authority(shop.folder, "root").path)]))
    assert field == "chain"


def test_authorities_of_the_system_are_trusted_in(shop, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(shop.root.path))
    assert list(certificates.problems(shop.site, 14, [])) == []


def test_the_balancer_gets_one_file_only_when_it_differs(shop):
    (placed,) = filters.new_certificates([shop.site], "/etc/haproxy/certificates", {})
    assert (placed["dest"], placed["mode"]) == ("/etc/haproxy/certificates/site.pem", "0600")
    assert placed["content"] == "".join(path.read_text() for path in (shop.key, shop.certificate, shop.below.path))
    on_node = shop.file(placed["content"])
    digest = hashlib.sha256(Path(on_node).read_bytes()).hexdigest()
    surveyed = {placed["dest"]: {"sha256": digest}}
    assert filters.new_certificates([shop.site], "/etc/haproxy/certificates", surveyed) == []
    shop.key.unlink()
    with pytest.raises(AnsibleFilterError, match="site site: a file of its certificate cannot be read"):
        filters.new_certificates([shop.site], "/etc/haproxy/certificates", surveyed)


@pytest.mark.parametrize(
    ("domain", "other"),
    [
        ("www.example.com", "example.com"),
        ("example.com", "www.example.com"),
        ("shop.example.com", ""),
        ("intranet", ""),
        ("www.com", ""),
        ("WWW.Example.com", "Example.com"),
    ],
)
def test_the_name_that_people_also_type(domain, other):
    assert filters.other_name(domain) == other


def test_sites_are_completed_and_their_names_told_once():
    given = [{"name": "a", "domains": ["A.example.com", "b.example.com"], "redirect_from": ["a.example.com"]}]
    complete = filters.complete_sites([*given, {"name": "c", "domains": ["c"], "certificate_source": "acme"}], "files")
    assert [(site["certificate_source"], site["redirect_from"]) for site in complete] == [
        ("files", ["a.example.com"]),
        ("acme", []),
    ]
    web, own = [{"name": "web1"}], [{"name": "own"}]
    served = filters.complete_sites([*given, {"name": "c", "domains": ["c"], "servers": own}], "files", web)
    assert [site["servers"] for site in served] == [web, own]
    assert filters.shown_certificates(complete) == [
        {"names": ["a.example.com", "b.example.com"], "source": "files"},
        {"names": ["c"], "source": "acme"},
    ]


def test_a_page_is_taken_as_it_is_but_for_the_id():
    assert filters.log_format("width: 50%; %[src] @request_id@") == "width: 50%%; %%[src] %[unique-id]"
