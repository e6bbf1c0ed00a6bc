# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing requests of nodes: whether they request what they should, and nothing else.

The authority copies a request into the certificate, and the request was made on a node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

from ..module_utils.addresses import certificate_name

# ansible-core brings it; the tests of plugins import without it.
with contextlib.suppress(ImportError):
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

    # What a node's certificate is for.
    PURPOSES = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}

NONE = "none"
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign",
)  # fmt: skip


def request_problems(pem: str, common_name: str, names: Collection[str]) -> list[str]:
    """Where a request differs from the wanted one, each with what was found and what was wanted.

    C(common_name) is empty for a subject without one, C(names) are subject alternative names as C(DNS:) and C(IP:).
    """
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        found = requested(request)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        return [f"it cannot be read: {error}"]
    wanted = {
        "subject": subject(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])),
        "names": listed(map(certificate_name, names)),
        "extended key usage": listed(purpose(usage) for usage in PURPOSES),
        "key usage": NONE,
        "CA": "no",
        "other extensions": NONE,
    }
    unsigned = [] if request.is_signature_valid else ["it is not signed by its own key"]
    return unsigned + [
        f"{what}: {found[what]}, wanted: {value}" for what, value in wanted.items() if found[what] != value
    ]


def requested(request: x509.CertificateSigningRequest) -> dict[str, str]:
    """All that a request contains, in words."""
    values = {extension.oid: extension.value for extension in request.extensions}
    authority = values.pop(ExtensionOID.BASIC_CONSTRAINTS, None)
    usage = values.pop(ExtensionOID.KEY_USAGE, None)
    return {
        "subject": subject(request.subject),
        "names": listed(map(written, values.pop(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, []))),
        "extended key usage": listed(map(purpose, values.pop(ExtensionOID.EXTENDED_KEY_USAGE, []))),
        "key usage": listed(name for name in USAGES if usage and getattr(usage, name)),
        "CA": "yes" if authority and authority.ca else "no",
        "other extensions": listed(oid.dotted_string for oid in values),
    }


def subject(name: x509.Name) -> str:
    """A subject in words."""
    return name.rfc4514_string() or NONE


def purpose(usage: x509.ObjectIdentifier) -> str:
    """What a certificate is for; its number where it has no name here."""
    return PURPOSES.get(usage, usage.dotted_string)


def written(name: x509.GeneralName) -> str:
    """A name of a request in the form by which it is compared."""
    if isinstance(name, x509.DNSName):
        return certificate_name(f"DNS:{name.value}")
    if isinstance(name, x509.IPAddress):
        return certificate_name(f"IP:{name.value}")
    return f"{type(name).__name__}:{name.value}"


def listed(words: Iterable[str]) -> str:
    """Words in alphabetical order."""
    return ", ".join(sorted(set(words))) or NONE
