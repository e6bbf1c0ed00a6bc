# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git repositories as a source: a shallow mirror of the wanted version, from which git writes a tree.

Git never asks for anything, gets no password as an argument, and has a limited time for all its work.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .release_pack import SourceError
from .release_unpack import is_url, without_credentials

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
ABBREVIATED = re.compile(r"[0-9a-f]{7,64}")
# user@host:path, which git takes for ssh.
SSH_SHORTHAND = re.compile(r"[^/:]+:(?!//|:).*")
# Settings by which the user's git reaches servers; others may be of a git that runs this playbook.
OF_THE_USER = ("GIT_SSL_", "GIT_PROXY_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
# The one reference of a shallow mirror.
WANTED_REFERENCE = "refs/kept/version"
# Tells git the login that was given in the URL, which is in its environment and in no argument.
LOGIN = """!f() {
  test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$WEBSTACK_GIT_USER" "$WEBSTACK_GIT_PASSWORD"
}; f"""


@dataclass(frozen=True)
class Access:
    """How repositories are reached, and where their mirrors are."""

    cache: Path
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    timeout: int = 300
    end: float = 0.0


@dataclass(frozen=True)
class Repository:
    """A repository by the address that may be shown, and the credentials that may not."""

    address: str
    username: str = ""
    password: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of the control node."""
        return self.address.startswith("/")

    @property
    def has_login(self) -> bool:
        """Whether its URL says who logs in."""
        return bool(self.username or self.password)


def repository(source: str) -> Repository:
    """The repository that a source names."""
    if is_url(source):
        split = urlsplit(source)
        if split.scheme == "file":
            return Repository(unquote(split.path))
        if split.scheme not in ("https", "ssh"):
            raise SourceError(
                f"{without_credentials(source)} is reached by {split.scheme}, which nobody can trust: use https or ssh."
            )
        if split.scheme == "ssh":
            # Its user is part of the address; a password in it would never be used.
            return Repository(source if not split.password else source.replace(f":{split.password}@", "@", 1))
        return Repository(without_credentials(source), unquote(split.username or ""), unquote(split.password or ""))
    if source.startswith("-"):
        raise SourceError(f"{source!r} is no repository: name its URL or its directory.")
    if SSH_SHORTHAND.fullmatch(source) and not Path(source).exists():
        return Repository(source)
    path = Path(os.path.expandvars(source)).expanduser().resolve()
    if not path.is_dir():
        raise SourceError(f"{path} is not a directory on the control node: name the repository's URL or directory.")
    return Repository(str(path))


def ssh_command(access: Access) -> str:
    """How git calls ssh: with this key alone, trusting known hosts, and new hosts at the first contact."""
    words = ["ssh", "-oBatchMode=yes", "-oConnectTimeout=15"]
    if access.ssh_key:
        words += ["-i", str(access.ssh_key), "-oIdentitiesOnly=yes"]
    if access.known_hosts:
        words += ["-oStrictHostKeyChecking=yes", f"-oUserKnownHostsFile={ssh_path(access.known_hosts)}"]
        words += ["-oGlobalKnownHostsFile=/dev/null"]
    else:
        # A new host is noted in the first file.
        files = [access.cache / "known_hosts", Path("~/.ssh/known_hosts").expanduser()]
        words += ["-oStrictHostKeyChecking=accept-new", f"-oUserKnownHostsFile={' '.join(map(ssh_path, files))}"]
    return shlex.join(words)


def ssh_path(path: Path) -> str:
    """A path as a value of an option of ssh."""
    return '"' + str(path).replace("%", "%%") + '"'


def check_ssh(access: Access) -> None:
    """The files that ssh is to use are there, and closed where they have to be."""
    for name, path in (("ssh_key", access.ssh_key), ("known_hosts", access.known_hosts)):
        if path and not path.is_file():
            raise SourceError(f"{name} {path} is not a file on the control node: name the file.")
    if access.ssh_key and (mode := stat.S_IMODE(access.ssh_key.stat().st_mode)) & 0o077:
        raise SourceError(f"ssh_key {access.ssh_key} has mode {mode:04o} and ssh refuses it: chmod 600 it.")


class Mirror:
    """The mirror of one repository."""

    def __init__(self, origin: Repository, access: Access) -> None:
        self.origin, self.access = origin, access
        readable = re.sub(r"[^A-Za-z0-9]+", "-", origin.address.removesuffix(".git"))[-40:].strip("-")
        named = hashlib.sha256(origin.address.encode()).hexdigest()[:12]
        self.path = access.cache / f"{readable}-{named}.git"
        # It exists while git runs. Where it is left over, git was killed, and the mirror is made anew.
        self.unfinished = self.path / "unfinished"

    def environment(self, tree: Path | None) -> dict[str, str]:
        """Environment of git: no questions, the user's settings for connections, and no others."""
        own = os.environ.items()
        environment = {name: value for name, value in own if not name.startswith(("GIT_", "SSH_ASKPASS"))}
        environment |= {name: value for name, value in own if name.startswith(OF_THE_USER)}
        settings = [
            ("core.autocrlf", "false"), ("core.hooksPath", "/dev/null"), ("gc.autoDetach", "false"),
            ("maintenance.autoDetach", "false"), ("advice.detachedHead", "false"), ("submodule.recurse", "false"),
            ("fetch.recurseSubmodules", "false"),
        ]  # fmt: skip
        if self.origin.has_login:
            # For this server only; the empty value removes the user's own helpers for it.
            helper = f"credential.https://{urlsplit(self.origin.address).netloc}.helper"
            settings += [(helper, ""), (helper, LOGIN)]
        environment |= {f"GIT_CONFIG_KEY_{number}": name for number, (name, _value) in enumerate(settings)}
        environment |= {f"GIT_CONFIG_VALUE_{number}": value for number, (_name, value) in enumerate(settings)}
        return {
            **environment,
            "LC_ALL": "C",
            "GIT_DIR": str(self.path),
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "GIT_SSH_COMMAND": ssh_command(self.access),
            # A submodule of a repository elsewhere is no directory of the control node.
            "GIT_ALLOW_PROTOCOL": "https:ssh:file" if self.origin.is_local else "https:ssh",
            "GCM_INTERACTIVE": "never",
            **({"GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": f"{tree}.index"} if tree else {}),
            "WEBSTACK_GIT_USER": self.origin.username,
            "WEBSTACK_GIT_PASSWORD": self.origin.password,
        }

    def attempt(self, *words: str, tree: Path | None = None) -> tuple[int, str, str]:
        """Run git; returns its exit status and its output."""
        left = self.access.end - time.monotonic()
        self.unfinished.touch()
        try:
            process = subprocess.Popen(
                ["git", *words],
                cwd=tree,
                env=self.environment(tree),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="surrogateescape",
                # Its children can be killed with it, and none has a terminal for questions.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            self.unfinished.unlink()
            raise SourceError("git is not installed on the control node: install it.") from error
        try:
            out, err = process.communicate(timeout=max(left, 0))
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise SourceError(
                f"{self.origin.address} did not answer within {self.access.timeout} s: check that it can be reached, "
                "or raise timeout."
            ) from error
        self.unfinished.unlink()
        return process.returncode, out, err

    def run(self, *words: str, tree: Path | None = None, remedy: str = "") -> str:
        """Run git, and fail with its reason."""
        code, out, err = self.attempt(*words, tree=tree)
        if code:
            # A failure of askpass is left out: another line names the missing login.
            lines = [
                line.strip()
                for line in err.splitlines()
                if line.startswith(("fatal:", "error:", "ERROR:")) and "askpass" not in line
            ]
            said = " ".join(lines or err.split("\n")).strip()
            # ssh itself reports an unknown host or a refused key, before git does.
            reports = [line for line in err.splitlines() if "ermission denied" in line or "erification failed" in line]
            said = " ".join([*reports, said]).replace(f"{tree}/", "")
            raise SourceError(
                f"{self.origin.address}: git {words[0]} failed: {said.rstrip('.') + remedy if remedy else said}"
            )
        return out

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Use this mirror alone, and make it first where it is missing or unfinished."""
        self.access.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.unfinished.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(exist_ok=True)
            if not (self.path / "HEAD").exists():
                self.run("init", "--quiet", "--bare", "--template=")
            yield

    def has(self, commit: str) -> bool:
        """Whether the mirror has the commit with its content."""
        return self.attempt("cat-file", "-e", f"{commit}^{{tree}}")[0] == 0

    def resolve(self, version: str) -> str:
        """The commit that a tag, a branch or a commit stands for, fetched into the mirror."""
        name, commit = (version, version) if COMMIT.fullmatch(version) else self.reference(version)
        if commit and self.has(commit):
            return commit
        if name:
            try:
                reference = f"+{name}:{WANTED_REFERENCE}"
                self.run("fetch", "--quiet", "--no-tags", "--depth=1", self.origin.address, reference)
                # A branch may have moved since it was listed.
                return self.run("rev-parse", "--verify", f"{WANTED_REFERENCE}^{{commit}}").strip()
            except SourceError:
                # A server may refuse to send a single commit, which is in its whole history all the same.
                if name != commit:
                    raise
        if found := self.abbreviated(version):
            return found
        raise SourceError(
            f"{self.origin.address} has no tag, branch or commit {version!r}: correct version, or push it there."
        )

    def reference(self, version: str) -> tuple[str, str]:
        """The tag, or else the branch, of this name, and the commit that it stands for now; nothing without one."""
        whole = version == "HEAD" or version.startswith("refs/")
        names = [version] if whole else [f"refs/tags/{version}", f"refs/heads/{version}"]
        wanted = [each for name in names for each in (name, name + "^{}")]
        listed = self.run("ls-remote", "--quiet", "--", self.origin.address, *wanted)
        found = dict(reversed(line.split("\t", 1)) for line in listed.splitlines() if "\t" in line)
        for name in names:
            if name in found:
                # The commit of an annotated tag, and not the tag itself.
                return name, found.get(name + "^{}", found[name])
        return "", ""

    def abbreviated(self, version: str) -> str | None:
        """The commit that begins so; if need be, the whole history is fetched once."""
        for fetched in (False, True) if ABBREVIATED.fullmatch(version) else ():
            if fetched:
                self.fetch_all()
            code, out, _err = self.attempt("rev-parse", "--verify", "--quiet", f"{version}^{{commit}}")
            if code == 0:
                return out.strip()
        return None

    def fetch_all(self) -> None:
        """Fetch all branches and tags with their history."""
        whole = ["--unshallow"] if (self.path / "shallow").exists() else []
        self.run(
            "fetch", "--quiet", "--prune", *whole, self.origin.address, "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        )  # fmt: skip

    def write(self, commit: str, tree: Path) -> None:
        """Write the tree of a commit into an empty directory."""
        self.run("read-tree", "--reset", "-u", commit, tree=tree)

    def write_submodules(self, tree: Path) -> None:
        """Have git write the submodules, and theirs, from repositories that it keeps in this one."""
        update = ("submodule", "--quiet", "update", "--init", "--recursive", "--checkout", "--force")
        # What their relative URLs are relative to.
        self.run("config", "remote.origin.url", self.origin.address)
        if self.attempt(*update, "--depth=1", tree=tree)[0]:
            # A server refuses single commits, or a submodule has moved: fetch all of them anew, and whole.
            shutil.rmtree(self.path / "modules", ignore_errors=True)
            self.run("submodule", "--quiet", "deinit", "--all", "--force", tree=tree)
            self.run(*update, tree=tree, remedy=": correct .gitmodules, or push what it names.")


def refuse_pointers(tree: Path, shown: str) -> None:
    """Refuse a tree in which a file stands for one that is kept in Git LFS."""
    for path in tree.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.stat().st_size >= 1024:
            continue
        if path.read_bytes().startswith(b"version https://git-lfs.github.com/spec/"):
            raise SourceError(
                f"{shown} keeps {path.relative_to(tree)} in Git LFS: install git-lfs on the control node "
                "('git lfs install'), or keep it in the repository."
            )


def check_version(version: str) -> None:
    """A version that git could take for an option, or that no reference can have, is refused."""
    if not re.fullmatch(r"(?![-/.])(?!.*(\.\.|@\{|//|\.lock$))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])", version):
        raise SourceError(f"version {version!r} cannot name a tag, a branch or a commit: correct it.")


def checked_out(origin: Repository, version: str, submodules: bool, tree: Path, access: Access) -> str:
    """Write the version of the repository into the directory; returns the commit."""
    mirror = Mirror(origin, access)
    with mirror.locked():
        commit = mirror.resolve(version)
        mirror.write(commit, tree)
        if submodules:
            mirror.write_submodules(tree)
    refuse_pointers(tree, origin.address)
    return commit
