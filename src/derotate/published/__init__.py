# SPDX-License-Identifier: MIT
"""The papers' own numbers and what their released spectra show."""
