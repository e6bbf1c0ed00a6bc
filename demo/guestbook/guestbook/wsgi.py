# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry point for gunicorn: `guestbook.wsgi:app`."""

from __future__ import annotations

import os
import sys

from .config import ConfigError
from .tracing import log_to_stderr
from .web import create_app

log_to_stderr()
try:
    app = create_app(os.environ)
except ConfigError as error:
    print(f"guestbook: {error}", file=sys.stderr, flush=True)
    # gunicorn takes status 3 of a worker as "cannot boot" and ends instead of starting it again for ever.
    sys.exit(3)
