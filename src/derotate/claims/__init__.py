# SPDX-License-Identifier: MIT
"""Claims as data: their statistics, hypothesis tests, verdicts and calibration."""
