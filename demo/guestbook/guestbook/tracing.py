# SPDX-License-Identifier: GPL-3.0-or-later
"""The id by which a request is found in the logs of everything that it went through, down to the database's."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar

HEADER = "X-Request-ID"
# What balancers and web servers make of it; anything else could end the comment that it is put in.
VALID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)

_current: ContextVar[str] = ContextVar("request_id", default="")


def begin(given: str | None) -> None:
    """From now on this thread works for the request of this id; for none if it is not one."""
    _current.set(given if given and VALID.fullmatch(given) else "")


def current() -> str:
    """The id of the request that this thread works for; empty for none."""
    return _current.get()


def commented(statement: str) -> str:
    """The statement with the id in a comment, as general and slow logs keep it."""
    return f"{statement} /* request_id={current()} */" if current() else statement


class _WithId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current() or "-"
        return True


def log_to_stderr() -> None:
    """Let the application's log lines carry the id."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s request_id=%(request_id)s %(message)s"))
    handler.addFilter(_WithId())
    log = logging.getLogger("guestbook")
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
