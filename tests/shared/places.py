# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the collection is."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
