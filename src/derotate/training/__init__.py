# SPDX-License-Identifier: MIT
"""Training of the base, SFT and RL; trl and peft do the work."""
