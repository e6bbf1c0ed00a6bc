from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql_credentials import (
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
