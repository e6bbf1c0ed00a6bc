# SPDX-License-Identifier: GPL-3.0-or-later
"""A guestbook that shows which web node and which database server did the work."""
