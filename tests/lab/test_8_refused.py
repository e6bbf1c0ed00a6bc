# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot become a release, or a site, is told in a sentence, and the site goes on answering as before."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client import DOMAIN, TOP, ask
from issued import Authority
from nodes import WEB, Lab, described, in_the_balancer, releases

DEMONSTRATION = str(TOP / "demo" / "guestbook")


def archive(path: Path, member: str) -> str:
    """An archive with one file."""
    with tarfile.open(path, "w:gz") as packed:
        info = tarfile.TarInfo(member)
        info.size = 1
        packed.addfile(info, io.BytesIO(b"x"))
    return str(path)


def repository(path: Path) -> str:
    """A repository with one commit."""
    name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], [*name, "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True)
    return str(path)


REFUSED: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "does not build": (
        lambda _top: {
            "app_server_source": DEMONSTRATION,
            "app_server_build": [["sh", "-c", "echo no-compiler | tr - _; echo gone >&2; exit 3"]],
        },
        ": no_compiler gone",
    ),
    "wrong checksum": (
        lambda top: {
            "app_server_source_type": "archive",
            "app_server_source": archive(top / "a.tar.gz", "a/file"),
            "app_server_checksum": "sha256:" + "0" * 64,
        },
        f"and not sha256:{'0' * 64}: it is not the archive that was meant",
    ),
    "path outside": (
        lambda top: {
            "app_server_source_type": "archive",
            "app_server_source": archive(top / "b.tar.gz", "../etc/passwd"),
        },
        "has the path '../etc/passwd' in it, which leads outside: pack it again without '..'.",
    ),
    "no such version": (
        lambda top: {
            "app_server_source_type": "git",
            "app_server_source": repository(top),
            "app_server_version": "v9",
        },
        "has no tag, branch or commit 'v9': correct version, or push it there.",
    ),
    "no source": (
        lambda _top: {"app_server_source": ""},
        "app_server_source is not set, so that there is nothing to deploy: name the application's directory",
    ),
    "unknown runtime": (
        lambda _top: {"webstack_app_runtime": "cobol"},
        "value of webstack_app_runtime must be one of: python, php, node, command, got: cobol",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_release_is_told_and_switches_nothing(lab: Lab, tmp_path: Path, case: str) -> None:
    variables, sentence = REFUSED[case]
    before, was = releases(lab), described(lab)
    run = lab.playbook("deploy.yml", "-e", json.dumps(variables(tmp_path)))
    assert run.code != 0
    assert sentence in " ".join(run.output.split()), run.output[-3000:]
    assert (releases(lab), described(lab)) == (before, was)
    assert {in_the_balancer(lab, node) for node in WEB} == {"UP"}
    assert json.loads(ask("/readyz")[2])["release"] in before


def test_all_that_is_wrong_with_certificates_is_told_at_once(lab: Lab, tmp_path: Path) -> None:
    known, unknown = Authority(tmp_path, "company"), Authority(tmp_path, "stranger")
    web = [{"name": lab.container(node), "address": lab.address(node), "port": 8080} for node in WEB]

    def site(name: str, certificate: Path, key: Path) -> dict[str, Any]:
        return {"name": name, "domains": [f"{name}.foobar.com"], "servers": web, "certificate_source": "files",
                "certificate": str(certificate), "key": str(key)}  # fmt: skip

    right, other = known.issue("mixed.foobar.com"), known.issue("mixed.foobar.com")
    sites = [
        {"name": "site", "domains": [DOMAIN], "servers": web},
        site("late", *known.issue("late.foobar.com", days=-1)),
        site("mixed", right[0], other[1]),
        site("strange", *unknown.issue("strange.foobar.com")),
        site("named", *known.issue("wrong.foobar.com")),
    ]
    given = {"webstack_sites": sites, "webstack_certificate_authorities": str(known.path)}
    run = lab.playbook("site.yml", "-e", json.dumps(given))
    assert run.code != 0
    assert not any(run.changed.values())
    told = " ".join(run.output.split())
    for found in (
        "webstack_sites[late].certificate = ",
        "has expired on ",
        "webstack_sites[mixed].key = ",
        "is not the key of the certificate for ",
        "webstack_sites[strange].certificate = ",
        "is no authority that the control node trusts",
        "webstack_sites[named].certificate = ",
        "is not valid for named.foobar.com but for wrong.foobar.com",
    ):
        assert found in told, (found, run.output[-4000:])
    assert ask("/")[0] == 200
