# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of sites that are given as files on the control node: what has to be true of them."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

# ansible-core brings it; the tests of plugins import without it.
with contextlib.suppress(ImportError):
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

# Where systems keep the authorities that they trust; the first is what OpenSSL itself names.
SYSTEM_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Unusable(Exception):
    """A file that cannot be used; the text begins with what is wrong with it and ends with the fix."""


def content(site: Mapping[str, Any], field: str) -> bytes:
    """What the file holds that a site names."""
    path = str(site.get(field) or "")
    if not path:
        raise Unusable("is not set: name the PEM file on the control node.")
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(f"cannot be read ({reason}): name a PEM file on the control node.") from error


def chain(site: Mapping[str, Any]) -> list[x509.Certificate]:
    """The certificate of a site and those of its issuers, as they are going to be sent."""
    sent = []
    for field in ("certificate", *(["chain"] if site.get("chain") else [])):
        try:
            found = [x509.load_pem_x509_certificate(block) for block in BLOCK.findall(content(site, field))]
        except ValueError as error:
            raise Unusable(f"holds a certificate that cannot be read ({error}): make it PEM.") from error
        if not found:
            raise Unusable("holds no certificate: make it PEM, with a line BEGIN CERTIFICATE.")
        sent += found
    return sent


def private_key(site: Mapping[str, Any]) -> PrivateKeyTypes:
    """The key of a site."""
    try:
        return load_pem_private_key(content(site, "key"), password=None)
    except TypeError as error:
        raise Unusable("is encrypted and HAProxy has no password for it: give the key without one.") from error
    except ValueError as error:
        raise Unusable("holds no key that can be read: make it PEM, with a line BEGIN PRIVATE KEY.") from error


def bundle(site: Mapping[str, Any]) -> str:
    """The one file that a balancer gets: key, certificate and issuers."""
    parts = [content(site, field).decode() for field in ("key", "certificate", "chain") if site.get(field)]
    return "".join(part.rstrip("\n") + "\n" for part in parts)


def site_names(site: Mapping[str, Any]) -> list[str]:
    """Every host name that a site answers to, the canonical one first."""
    names = [*site["domains"], *(site.get("redirect_from") or [])]
    return list(dict.fromkeys(str(name).lower() for name in names))


def covers(pattern: str, name: str) -> bool:
    """Whether a name in a certificate, maybe with a wildcard for its first label, is valid for a host name."""
    pattern, name = pattern.lower(), name.lower()
    return pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2])


def names_of(certificate: x509.Certificate) -> list[str]:
    """Host names in a certificate; a common name does not count with any client of today."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate was signed with the key of the other."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def subject(certificate: x509.Certificate) -> str:
    """Who a certificate is for, in a few words."""
    return certificate.subject.rfc4514_string() or "a certificate without a subject"


def authorities(files: Iterable[str]) -> list[x509.Certificate]:
    """The authorities in the files, and those that the system of the control node trusts."""
    default = ssl.get_default_verify_paths().cafile
    system = next((path for path in (default, *SYSTEM_AUTHORITIES) if path and Path(path).is_file()), None)
    found = []
    for path in [*files, *([system] if system else [])]:
        for block in BLOCK.findall(Path(path).expanduser().read_bytes()):
            # An authority that cannot be read is one that nothing can be traced to.
            with contextlib.suppress(ValueError):
                found.append(x509.load_pem_x509_certificate(block))
    return found


def problems(
    site: Mapping[str, Any], least_days: int, trusted: Collection[str], now: datetime | None = None
) -> Iterable[tuple[str, str]]:
    """What is wrong with the files of a site: the field, and a phrase that continues the sentence after its value."""
    sent: list[x509.Certificate] = []
    key = None
    try:
        sent = chain(site)
    except Unusable as error:
        yield ("certificate" if not site.get("chain") or not readable(site) else "chain"), str(error)
    try:
        key = private_key(site)
    except Unusable as error:
        yield "key", str(error)
    if not sent:
        return
    yield from wrong_dates(sent, least_days, now or datetime.now(timezone.utc))
    if key and public(key) != public(sent[0]):
        yield "key", f"is not the key of the certificate for {subject(sent[0])}: name the key that it was made with."
    missing = [name for name in site_names(site) if not any(covers(each, name) for each in names_of(sent[0]))]
    if missing:
        yield (
            "certificate",
            f"is not valid for {', '.join(missing)} but for {', '.join(names_of(sent[0])) or 'no host name'}: "
            "have one issued for all host names of the site, or take those out of domains and redirect_from.",
        )
    yield from wrong_chain(sent, trusted)


def readable(site: Mapping[str, Any]) -> bool:
    """Whether the certificate without its chain is in order, so that the chain is not."""
    try:
        chain({**site, "chain": ""})
    except Unusable:
        return False
    return True


def public(owner: Any) -> bytes:
    """The public key, to compare it."""
    return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def wrong_dates(sent: list[x509.Certificate], least_days: int, now: datetime) -> Iterable[tuple[str, str]]:
    """Certificates that are not valid yet, not any more, or not for long."""
    for certificate in sent:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if begin > now:
            yield "certificate", f"is valid from {begin:%Y-%m-%d} on ({subject(certificate)}): wait, or set the clock."
        elif end <= now:
            yield "certificate", f"has expired on {end:%Y-%m-%d} ({subject(certificate)}): renew it."
        elif end - now < timedelta(days=least_days):
            yield (
                "certificate",
                f"expires on {end:%Y-%m-%d} ({subject(certificate)}), in less than {least_days} days: renew it, "
                "or lower webstack_certificate_min_days.",
            )


def wrong_chain(sent: list[x509.Certificate], trusted: Collection[str]) -> Iterable[tuple[str, str]]:
    """A chain that does not lead from the certificate, issuer by issuer, to an authority."""
    for certificate, issuer in pairwise(sent):
        if not issued_by(certificate, issuer):
            yield (
                "chain",
                f"is out of order: {subject(issuer)} follows {subject(certificate)}, which "
                f"{certificate.issuer.rfc4514_string()} has issued: put each certificate's issuer right after it.",
            )
            return
    last = sent[-1]
    roots = [root for root in authorities(trusted) if root.subject == last.issuer]
    if not any(issued_by(last, root) for root in roots):
        yield (
            "chain",
            f"ends in {subject(last)}, whose issuer {last.issuer.rfc4514_string()} is no authority that the control "
            "node trusts: add the missing issuers, or name a company's own authority in "
            "webstack_certificate_authorities.",
        )
