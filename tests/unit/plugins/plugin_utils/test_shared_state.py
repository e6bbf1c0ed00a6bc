# SPDX-License-Identifier: GPL-3.0-or-later
"""The authority and the passwords of a stack are never made anew, or replaced, over nodes that know others."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.module_utils.node_state import fingerprint
from ansible_collections.pentad.webstack.plugins.plugin_utils import shared_state
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import Stack
from issued import Authority, key_text
from places import TOP

HOSTS = ["lb1", "web1", "web2", "db1"]
PASSWORDS = {"webstack_app_password": "rain", "webstack_replication_password": "snow"}
# What is set in no inventory is known by the defaults of the roles; to ask for one of these would make a password.
MADE = "asked for"


class Operator:
    """What one operator has, and what the nodes know."""

    def __init__(self, folder: Path, name: str) -> None:
        self.state = folder / name
        self.authority = Authority(folder, f"{name} authority")
        self.certificate = self.authority.path.read_text()
        self.key = key_text(self.authority.key).decode()
        self.asked: list[str] = []

    def digests(self, **passwords: str) -> dict[str, str]:
        """What nodes keep of passwords that this operator told them."""
        return {name: shared_state.password_digest(name, value, self.key) for name, value in passwords.items()}

    def sees(
        self, given: dict[str, Any] | None = None, authority: str | None = None, digests: dict[str, str] | None = None
    ) -> list[str]:
        """Problems of a run with these variables, over nodes that were deployed in that way."""
        asked = self.asked

        class Variables(dict):
            def get(self, name: str, default: Any = None) -> Any:
                found = super().get(name, default)
                if found == MADE:
                    asked.append(name)
                return found

        given = given or {}
        defaults = {
            "webstack_authority_certificate": self.read("pki/ca.pem"),
            "webstack_authority_key": self.read("pki/ca.key"),
            "webstack_ca_path": "/etc/ssl/webstack/ca.pem",
            "__webstack_passwords_path": "/etc/ssl/webstack/passwords",
            **{name: self.read(f"secrets/{name.split('_')[1]}") or MADE for name in PASSWORDS},
        }
        variables = {
            host: Variables(
                {
                    **defaults,
                    **given,
                    "__webstack_survey": {
                        "deployed": {
                            "authority": fingerprint(authority or ""),
                            "passwords": (digests or {}) if host != "lb1" else {},
                        }
                    },
                }
            )
            for host in HOSTS
        }
        stack = Stack(groups={"all": HOSTS}, variables=variables, given=dict.fromkeys(HOSTS, given))
        return list(shared_state.state_problems(stack, self.state))

    def read(self, name: str) -> str:
        """A file of the state directory."""
        path = self.state / name
        return path.read_text() if path.exists() else ""

    def keep(self, **files: str) -> None:
        """Files of the state directory, with _ for its slash."""
        for name, text in files.items():
            path = self.state / name.replace("_", "/").replace("ca/", "ca.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def keep_all(self) -> None:
        """Everything that was made for the stack."""
        self.keep(pki_ca_pem=self.certificate, pki_ca_key=self.key, secrets_app="rain", secrets_replication="snow")


@pytest.fixture
def first(tmp_path) -> Operator:
    """Who has deployed the stack, with everything that it needs."""
    operator = Operator(tmp_path, "first")
    operator.keep_all()
    return operator


@pytest.fixture
def second(tmp_path) -> Operator:
    """A colleague."""
    return Operator(tmp_path, "second")


def known(operator: Operator) -> dict[str, Any]:
    """What the nodes know of an operator."""
    return {"authority": operator.certificate, "digests": operator.digests(**PASSWORDS)}


def test_who_deployed_the_stack_has_no_problem(first):
    assert first.sees(**known(first)) == []


def test_nodes_that_were_never_deployed_accept_a_new_authority(second):
    assert second.sees() == []


def test_a_checkout_without_the_state_is_refused_and_told_how_to_share_it(first, second):
    (problem,) = second.sees(**known(first))
    digest = fingerprint(first.certificate)[:16]
    assert problem == (
        f"lb1, web1, web2, db1: deployed with an authority that is not here (SHA-256 {digest}) "
        "and with passwords that are not here (webstack_app_password, webstack_replication_password): "
        f"copy the state directory of whoever deployed them to {second.state}, "
        "or set webstack_authority_certificate, webstack_authority_key and the passwords to what is in it, "
        "encrypted by ansible-vault ('One stack, several operators' in docs/operations.md)."
    )
    assert (second.asked, second.state.exists()) == ([], False)


def test_the_state_of_another_stack_is_refused(first, second):
    second.keep_all()
    (problem,) = second.sees(**known(first))
    assert problem.startswith(
        f"lb1, web1, web2, db1: deployed with another authority (SHA-256 {fingerprint(first.certificate)[:16]}) than "
        f"is here (SHA-256 {fingerprint(second.certificate)[:16]}, {second.state}/pki/ca.pem): copy the state directory"
    )
    assert problem.endswith("remove /etc/ssl/webstack/ca.pem and /etc/ssl/webstack/passwords first.")


def test_a_copied_state_is_as_good_as_the_first(first, second):
    shutil.copytree(first.state, second.state)
    assert second.sees(**known(first)) == []


def test_variables_are_as_good_as_files_and_no_file_is_needed(first, second):
    given = {"webstack_authority_certificate": first.certificate, "webstack_authority_key": first.key, **PASSWORDS}
    assert second.sees(given, **known(first)) == []
    assert not second.state.exists()


def test_a_key_in_another_form_of_pem_is_the_same_key(first, second):
    done = subprocess.run(["openssl", "ec"], input=first.key, capture_output=True, text=True, check=True)
    assert "BEGIN EC PRIVATE KEY" in done.stdout
    given = {"webstack_authority_certificate": first.certificate, "webstack_authority_key": done.stdout, **PASSWORDS}
    assert second.sees(given, **known(first)) == []


def test_a_password_that_was_not_copied_is_named_and_not_made(first, second):
    second.keep(pki_ca_pem=first.certificate, pki_ca_key=first.key, secrets_app="rain")
    (problem,) = second.sees(**known(first))
    assert problem.startswith(
        f"web1, web2, db1: deployed with webstack_replication_password, neither set nor below {second.state}/secrets, "
    )
    assert "webstack_replication_password" not in second.asked


def test_a_password_that_no_node_was_told_may_be_made(first):
    (first.state / "secrets" / "replication").unlink()
    assert first.sees(authority=first.certificate, digests=first.digests(webstack_app_password="rain")) == []


def test_another_password_is_refused_unless_the_change_is_named(first):
    given: dict[str, Any] = {"webstack_app_password": "hail"}
    (problem,) = first.sees(given, **known(first))
    assert problem == (
        "web1, web2, db1: deployed with another webstack_app_password than is here (webstack_app_password): "
        "take over theirs or, to change it on all nodes, say so: "
        """-e '{"webstack_changed_passwords": ["webstack_app_password"]}'"""
    )
    assert first.sees({**given, "webstack_changed_passwords": ["webstack_app_password"]}, **known(first)) == []


def test_no_message_and_no_digest_has_a_password_in_it(first):
    digests = first.digests(**PASSWORDS)
    told = " ".join([*first.sees({"webstack_app_password": "hail"}, **known(first)), *digests, *digests.values()])
    assert not re.search("rain|snow|hail", told)


def test_the_digest_of_a_password_depends_on_the_key_and_on_the_name(first, second):
    one = first.digests(webstack_app_password="rain", webstack_replication_password="rain")
    assert len({*one.values(), *second.digests(webstack_app_password="rain").values()}) == 3


UNUSABLE = {
    "no key": (lambda one: {"webstack_authority_key": ""}, "webstack_authority_key is not: the authority needs both"),
    "no certificate": (
        lambda one: {"webstack_authority_certificate": ""},
        "webstack_authority_certificate is not: the",
    ),
    "cut off": (lambda one: {"webstack_authority_certificate": one.certificate[:80]}, " is no certificate in PEM"),
    "not a key": (lambda one: {"webstack_authority_key": "x"}, "webstack_authority_key is no key in PEM"),
}


@pytest.mark.parametrize(("change", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_authority_that_cannot_sign_is_refused(second, change, sentence):
    given = {"webstack_authority_certificate": second.certificate, "webstack_authority_key": second.key}
    problems = second.sees({**given, **change(second)})
    assert len(problems) == 1
    assert sentence in problems[0]


def test_a_key_of_another_authority_is_refused(first, second):
    given = {"webstack_authority_certificate": first.certificate, "webstack_authority_key": second.key}
    assert second.sees(given) == [
        "webstack_authority_key is not the key of the certificate webstack_authority_certificate: "
        "give those that belong together."
    ]


def test_a_certificate_of_a_server_is_no_authority(first, second):
    certificate, key = first.authority.issue("www.example.com")
    given = {"webstack_authority_certificate": certificate.read_text(), "webstack_authority_key": key.read_text()}
    assert second.sees(given) == [
        "webstack_authority_certificate is not the certificate of an authority: "
        "give the one that was made with the stack."
    ]


def test_every_password_that_is_made_is_made_in_the_file_of_its_name():
    found = {}
    for path in TOP.glob("roles/*/defaults/main.yml"):
        for name, value in (yaml.safe_load(path.read_text()) or {}).items():
            made = re.search(r"lookup\('ansible.builtin.password', __webstack_secrets ~ '/(\S+)'", str(value))
            if made:
                found[name] = made[1]
    topology = yaml.safe_load((TOP / "roles/topology/vars/main.yml").read_text())
    secrets = Path(topology["__webstack_secrets"].replace("{{ webstack_state_dir }}", "."))
    assert {name: shared_state.secret_file(Path(), name) for name in found} == {
        name: secrets / file for name, file in found.items()
    }
    assert len(found) == 6
    assert topology["__topology_password_hosts"].keys() == found.keys()


# --- git ------------------------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    """Run git."""
    name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path) -> Path:
    """An inventory in a repository."""
    git(tmp_path, "init", "-q")
    return tmp_path


def filled(state: Path) -> None:
    """A state directory with a key and a password."""
    for name in ("pki/ca.pem", "pki/ca.key", "secrets/app"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("x")


def test_the_directory_keeps_itself_out_of_git(repository):
    state = repository / ".webstack"
    shared_state.keep_out_of_git(state)
    filled(state)
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "--allow-empty", "-m", "all that there is")
    shown = subprocess.run(["git", "-C", repository, "ls-files"], capture_output=True, text=True, check=True)
    assert shown.stdout == ""
    assert state.stat().st_mode & 0o777 == 0o700
    assert list(shared_state.git_problems(state)) == []


def test_a_file_of_the_user_s_own_is_left(tmp_path):
    (tmp_path / ".gitignore").write_text("!*\n")
    shared_state.keep_out_of_git(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "!*\n"


def test_keys_and_passwords_that_a_repository_has_are_named(repository):
    state = repository / ".webstack"
    filled(state)
    git(repository, "add", "--all")
    assert list(shared_state.git_problems(state)) == [
        f"webstack_state_dir: git tracks pki/ca.key, secrets/app in {state}, so whoever has the repository has them: "
        f"run 'git -C {state} rm -r --cached .', and change what was given away."
    ]
    git(state, "rm", "-r", "-q", "--cached", ".")
    assert list(shared_state.git_problems(state)) == []


def test_what_a_filter_of_git_encrypts_may_be_tracked(repository):
    state = repository / ".webstack"
    filled(state)
    (repository / ".gitattributes").write_text(".webstack/** filter=git-crypt diff=git-crypt\n")
    git(repository, "add", "--all")
    assert list(shared_state.git_problems(state)) == []


def test_without_a_repository_or_a_directory_there_is_nothing_to_say(tmp_path):
    assert list(shared_state.git_problems(tmp_path)) == []
    assert list(shared_state.git_problems(tmp_path / "absent")) == []
