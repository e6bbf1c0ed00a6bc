# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities and certificates, made for a test."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def named(name: str) -> x509.Name:
    """A subject with a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """An authority, its own or below another one, with its certificate in a file."""

    def __init__(self, folder: Path, name: str, above: Authority | None = None) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (above or self).sign(named(name), self.key, 3650, authority=True)
        self.path = folder / f"{name}.ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        days: float,
        names: tuple[str, ...] = (),
        authority: bool = False,
        starts: float = -5,
    ) -> x509.Certificate:
        """A certificate that ends so many days from now."""
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=starts))
            # A little more, so that the days are whole ones while a test looks at them.
            .not_valid_after(now + timedelta(days=days, minutes=5))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, *names: str, days: float = 90, starts: float = -5) -> tuple[Path, Path]:
        """Files with a certificate for host names, and with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(named(names[0]), key, days, names, starts=starts)
        stem = f"{self.name}-{certificate.serial_number}"
        paths = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key_text(key))
        return paths
