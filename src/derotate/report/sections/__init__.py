# SPDX-License-Identifier: MIT
"""The sections of the findings page."""
