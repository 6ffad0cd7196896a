# SPDX-License-Identifier: MIT
"""Surgery: a recipe applied to matrices, in memory, as a checkpoint or as a LoRA adapter."""
