from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.credentials import (
    matches_caching_sha2,
    matches_native,
    native_hash,
    sha256_crypt,
)


# Digests of the C library's crypt() with "$5$rounds=".
@pytest.mark.parametrize(
    ("password", "salt", "rounds", "digest"),
    [
        ("Hello world!", "saltstringsaltst", 10000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        ("", "salt", 1000, "oacEarljCLl1hnwSHaKByNaFLSC8faCZtGSPISXgwZ."),
        ("ä" * 40, "0123456789abcdef", 5000, "bFd3vXJ456vP5DNxsMA9S3e0PzoQB7nApo9ZovBW/f9"),
    ],
)
def test_sha256_crypt_is_that_of_the_c_library(password, salt, rounds, digest):
    assert sha256_crypt(password.encode(), salt.encode(), rounds).decode() == digest


# HEX(authentication_string) as MySQL 9.7 stored it; its salt has 20 bytes, where the C library cuts at 16.
STORED = {
    "Verify-1": "244124303041246C7F7F3914060B0E0848635E326E6C3D20791233756F585776675843674F423035462F7A41467A7551393670"
    "355A494E5634414B476D6F2E7159477A677541",
    "ä" * 40: "244124303041242D7D4B19691965130B315B06027B5A753B2C1E093677726B75437A66576B646D2E6431656E6F4F48384A4B6948"
    "4468413158455A54656C4455477532684133",
    "x"
    * 100: "24412430304124423C716D13622A0A3E7D5E1A376B5A252E391A15794347636F7047697A4671584261546E765072566B376B2F37"
    "6E7A7471657475482F586E6C633734743841",
}


@pytest.mark.parametrize("password", STORED)
def test_digests_of_a_server(password):
    stored = bytes.fromhex(STORED[password])
    assert matches_caching_sha2(password, stored)
    assert not matches_caching_sha2(password + "x", stored)
    assert not matches_caching_sha2("", stored)


@pytest.mark.parametrize("stored", [b"", b"$A$005$short", b"*03A86FF68A64BEB65E109FF2248E3BF6FFBE642F"])
def test_what_is_no_digest_matches_nothing(stored):
    assert not matches_caching_sha2("x", stored)


def test_native_digest():
    # As MariaDB stores it.
    assert native_hash("Repl-pass-1") == "*03A86FF68A64BEB65E109FF2248E3BF6FFBE642F"
    assert matches_native("Repl-pass-1", "*03a86ff68a64beb65e109ff2248e3bf6ffbe642f")
    assert not matches_native("repl-pass-1", "*03A86FF68A64BEB65E109FF2248E3BF6FFBE642F")
