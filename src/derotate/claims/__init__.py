# SPDX-License-Identifier: MIT
"""From verdicts to evidence: intervals and tests that know how the problems are clustered."""
