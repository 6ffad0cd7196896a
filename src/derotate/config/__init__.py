# SPDX-License-Identifier: MIT
"""The config of a study: one module per block of keys, typed, with defaults and descriptions.

The defaults are the demo. `derotate.config.schema` puts the blocks together and checks them against
each other. A stage takes the block it needs as an argument and imports it for type checking only,
so that a new key reruns nothing. This package exports nothing for the same reason.
"""
