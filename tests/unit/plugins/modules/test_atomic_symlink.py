# SPDX-License-Identifier: GPL-3.0-or-later
"""A link is switched without a moment in which there is none, and old releases go."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.modules import atomic_symlink


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Five releases, r1 the oldest."""
    for number in range(1, 6):
        release = tmp_path / "releases" / f"r{number}"
        release.mkdir(parents=True)
        (release / "file").write_text(release.name)
        os.utime(release, (1000 * number, 1000 * number))
    return tmp_path / "releases"


@pytest.fixture
def switch(run_module, releases):
    """Switch the link to a release."""

    def run(release: str, check: bool = False, **arguments):
        path = releases.parent / "current"
        return run_module(atomic_symlink, check=check, path=path, target=releases / release, **arguments)

    return run


def left(releases: Path) -> list[str]:
    """Releases that are still there."""
    return sorted(path.name for path in releases.iterdir())


def test_a_link_is_made_switched_and_left_alone(switch, releases):
    current = releases.parent / "current"
    made = switch("r1")
    assert (made["changed"], made["previous"], made["removed"]) == (True, "", [])
    assert made["diff"] == {"before": f"{current} -> \n", "after": f"{current} -> {releases / 'r1'}\n"}
    assert (switch("r1")["changed"], current.readlink()) == (False, releases / "r1")
    switched = switch("r2")
    assert (switched["changed"], switched["previous"]) == (True, str(releases / "r1"))
    assert (current / "file").read_text() == "r2"
    assert sorted(path.name for path in releases.parent.iterdir()) == ["current", "releases"]


def test_there_is_no_moment_without_a_link(releases):
    current = releases.parent / "current"
    current.symlink_to(releases / "r1")
    missed, done = [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not os.path.lexists(current):
                missed.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(2000):
        atomic_symlink.switch(current, releases / f"r{number % 5 + 1}")
    done.set()
    watcher.join()
    assert not missed


def test_a_failed_switch_leaves_the_old_link_and_nothing_beside_it(releases):
    current = releases.parent / "current"
    current.mkdir()
    with pytest.raises(OSError):
        atomic_symlink.switch(current, releases / "r1")
    assert sorted(path.name for path in releases.parent.iterdir()) == ["current", "releases"]


@pytest.mark.parametrize(
    ("before", "to", "keep", "kept"),
    [
        ("r4", "r5", 0, ["r1", "r2", "r3", "r4", "r5"]),
        ("r4", "r5", 5, ["r1", "r2", "r3", "r4", "r5"]),
        ("r4", "r5", 3, ["r3", "r4", "r5"]),
        ("r4", "r5", 2, ["r4", "r5"]),
        ("r4", "r5", 1, ["r4", "r5"]),
        ("r1", "r5", 2, ["r1", "r5"]),
        ("r5", "r1", 3, ["r1", "r4", "r5"]),
    ],
)
def test_the_oldest_go_but_never_the_new_one_nor_the_one_before_it(switch, releases, before, to, keep, kept):
    switch(before)
    removed = switch(to, keep=keep)["removed"]
    assert left(releases) == kept
    assert {Path(path).name for path in removed} == {"r1", "r2", "r3", "r4", "r5"} - set(kept)


def test_what_another_link_leads_to_stays(switch, releases):
    (releases.parent / "previous").symlink_to(releases / "r1")
    switch("r4")
    switch("r5", keep=2)
    assert left(releases) == ["r1", "r4", "r5"]


def test_a_first_release_keeps_as_many_as_asked_for(switch, releases):
    switch("r5", keep=2)
    assert left(releases) == ["r4", "r5"]


def test_nothing_is_removed_where_nothing_is_switched(switch, releases):
    switch("r5")
    assert switch("r5", keep=1)["removed"] == []
    assert len(left(releases)) == 5


def test_check_mode_tells_what_it_would_do(switch, releases):
    switch("r4")
    told = switch("r5", check=True, keep=2)
    assert told["changed"] is True
    assert [Path(path).name for path in told["removed"]] == ["r1", "r2", "r3"]
    assert (releases.parent / "current").readlink() == releases / "r4"
    assert len(left(releases)) == 5


def test_check_mode_needs_no_target_yet(switch):
    assert switch("r6", check=True)["changed"] is True


def test_a_target_that_is_no_directory_is_refused(switch, releases):
    switch("r1")
    assert switch("r6")["msg"] == f"target: {releases / 'r6'} is not a directory."
    assert (releases.parent / "current").readlink() == releases / "r1"


def test_what_is_no_link_is_not_replaced(switch, releases):
    current = releases.parent / "current"
    current.mkdir()
    assert switch("r1")["msg"] == f"path: {current} exists and is not a symbolic link: move it away first."
    assert current.is_dir()


def test_a_link_that_leads_nowhere_is_replaced(switch, releases):
    (releases.parent / "current").symlink_to(releases / "gone")
    assert switch("r1")["previous"] == str(releases / "gone")
    assert (releases.parent / "current").readlink() == releases / "r1"


def test_a_link_that_cannot_be_made_is_told_and_no_release_is_removed(run_module, releases):
    nowhere = releases.parent / "nowhere" / "current"
    answer = run_module(atomic_symlink, path=nowhere, target=releases / "r1", keep=1)
    assert (answer["failed"], str(nowhere.parent) in answer["msg"]) == (True, True)
    assert len(left(releases)) == 5
