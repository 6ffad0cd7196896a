# SPDX-License-Identifier: MIT
"""derotate: what fine-tuning forgets, what reinforcement learning and surgery restore."""
