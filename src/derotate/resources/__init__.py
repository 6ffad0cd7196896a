# SPDX-License-Identifier: MIT
"""Resources that jobs request: memory, time, disk, by the size of the model."""
