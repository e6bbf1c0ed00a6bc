# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is told to run a playbook finds it: alerts, messages and documents name none that does not exist."""

from __future__ import annotations

import re

import pytest
from places import TOP

PLAYBOOKS = {path.stem for path in (TOP / "playbooks").glob("*.yml")}
TEXTS = sorted(
    path
    for pattern in (
        "README.md",
        "docs/*.md",
        "roles/**/*",
        "plugins/**/*.py",
        "playbooks/*.yml",
        "inventories/**/*.yml",
    )
    for path in TOP.glob(pattern)
    if path.suffix in {".md", ".yml", ".py", ".j2", ".conf"} and path.is_file() and ".webstack" not in path.parts
)
# A playbook by its path, by its file after a verb, by its full name on a command line, or by the word before or after.
NAMED = re.compile(
    r"playbooks/([a-z_]+)\b(?:\.yml)?"
    r"|\b[Rr]un(?:s|ning)? ([a-z_]+)\.yml"
    r"|ansible-playbook\b[^\n`)]*?pentad\.webstack\.([a-z_]+)"
    r"|\b[Rr]un the playbook ([a-z_]+)\b"
    r"|\b[Tt]he playbook ([a-z_]+)\.yml"
    r"|\b[Tt]he playbooks? (?:`|C\()([a-z_]+)"
    r"|\bthe ([a-z_]+) playbook\b"
    r"|\brun a (switchover|failover|promotion|rejoin)\b"
)


def named(text: str) -> set[str]:
    """Playbooks that a text names, line breaks and quoting aside."""
    flat = re.sub(r"\s*\n[\s#|>]*", " ", text)
    return {name for found in NAMED.findall(flat) + NAMED.findall(text) for name in found if name}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("promote the most\n   advanced replica with the failover playbook.", {"failover"}),
        ("ansible-playbook -i my-site pentad.webstack.site --check", {"site"}),
        ("ansible-playbook playbooks/rollback.yml -e x=1", {"rollback"}),
        ("its server is gone: run site.yml, which writes it", {"site"}),
        ("to move it there, run a switchover; to deploy", {"switchover"}),
        ("The playbooks `site` and `deploy` do", {"site"}),
        ("decided by the playbook C(maintenance) alone", {"maintenance"}),
        ("one whose playbook no longer runs; the playbook that holds it; the process of the playbook there", set()),
        ("Run the playbook verify, which compares; the playbook dns.yml writes", {"verify", "dns"}),
    ],
)
def test_a_playbook_is_seen_however_it_is_named(text, names):
    assert named(text) == names


def test_every_playbook_that_is_named_exists():
    missing = {
        str(path.relative_to(TOP)): sorted(absent)
        for path in TEXTS
        if (absent := named(path.read_text(errors="replace")) - PLAYBOOKS)
    }
    assert missing == {}


def test_every_playbook_that_an_operator_runs_is_in_the_readme():
    text = (TOP / "README.md").read_text()
    steps = set(
        re.findall(r"import_playbook: (\w+)\.yml", "".join(p.read_text() for p in (TOP / "playbooks").glob("*.yml")))
    )
    offered = PLAYBOOKS - (steps - {"preflight", "verify"})
    assert {name for name in offered if f".{name}`" not in text} == set()
