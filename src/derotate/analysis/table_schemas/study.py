# SPDX-License-Identifier: MIT
"""Schemas of the tables that the rule `tables` writes, by name: `<study>/tables/<name>.csv`.

Every table names its run by base_seed and seed. Accuracies and shares of answers are in percent,
differences of accuracies in points; intervals are at 95 % and robust to dependence within clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pandera.pandas as pa

from derotate.analysis.table_schemas.evaluations import EVALUATIONS
from derotate.analysis.table_schemas.models import MODELS

SCHEMAS: Final[Mapping[str, pa.DataFrameSchema]] = MappingProxyType({**EVALUATIONS, **MODELS})
"""Schemas of `derotate.study.tables.TABLES`."""
