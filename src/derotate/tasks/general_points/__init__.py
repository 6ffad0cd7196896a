# SPDX-License-Identifier: MIT
"""GeneralPoints: make 24 from four cards; J, Q and K count by a rule in the prompt."""
