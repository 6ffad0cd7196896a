# SPDX-License-Identifier: MIT
"""Tables with confidence intervals, from the rows of all evaluations of a study."""
