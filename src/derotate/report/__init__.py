# SPDX-License-Identifier: MIT
"""The findings page, the page on reproducing, and the terminal summary: text from tables."""
