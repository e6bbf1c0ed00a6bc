"""The profile that the package of MySQL installs is the one that the unit tests judge our paths by."""

from __future__ import annotations

import lab
import pytest
from apparmor.profiles import essence, shipped
from conftest import ENGINES

PACKAGES = {"mysql97": "usr.sbin.mysqld", "mariadb118": "usr.sbin.mariadbd", "mariadb1011": "usr.sbin.mariadbd"}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_profile_that_is_judged_is_the_one_that_is_shipped(engine):
    name = PACKAGES[engine]
    installed = lab.run("docker", "run", "--rm", "--entrypoint", "cat", lab.IMAGES[engine], f"/etc/apparmor.d/{name}")
    assert essence(installed) in [each["lines"] for each in shipped()["profiles"] if each["name"] == name]
