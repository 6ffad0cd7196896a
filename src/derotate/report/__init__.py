# SPDX-License-Identifier: MIT
"""The findings page and the page on reproducing them, as text made from tables. No torch."""
