# SPDX-License-Identifier: MIT
"""What a study consists of: paths, arms, provenance."""
