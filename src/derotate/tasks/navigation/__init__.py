# SPDX-License-Identifier: MIT
"""Navigation: follow directions through streets; turns are named by the compass or by the side."""
