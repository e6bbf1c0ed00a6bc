# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployed lab."""

from lab_fixtures import lab, lab_is_right, secrets, version

__all__ = ["lab", "lab_is_right", "secrets", "version"]
