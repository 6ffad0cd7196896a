# SPDX-License-Identifier: MIT
"""One pandera schema per CSV table: columns, units, ranges and key; reading with validation."""
