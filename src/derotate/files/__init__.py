# SPDX-License-Identifier: MIT
"""Files: atomic writes, tables as CSV and Parquet, scratch folders."""
