# SPDX-License-Identifier: MIT
"""The order of matrices that fine-tuning trains on, see `matrices.streams`."""

from typing import Final

from derotate.tasks.matrices.streams import MatrixStreams
from derotate.tasks.rank.problems import CLASSES

_STREAMS: Final = MatrixStreams(CLASSES)
id_stream = _STREAMS.id_stream
ood_stream = _STREAMS.ood_stream
oracle_stream = _STREAMS.oracle_stream
