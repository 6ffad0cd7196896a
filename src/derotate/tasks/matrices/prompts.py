# SPDX-License-Identifier: MIT
"""The natural style of a question about one matrix."""

import json

from derotate.tasks.matrices.grid import Matrix
from derotate.tasks.options import Messages


def question(matrix: Matrix, quantity: str) -> Messages:
    """One user turn: the task, the matrix, the form of the answer.

    Args:
        matrix: shown row by row.
        quantity: what to work out, e.g. "determinant".
    """
    rows = ",\n ".join(json.dumps(row) for row in matrix)
    content = (
        f"[Task]\n"
        f"Work out the {quantity} of this matrix of whole numbers. It is given row by row.\n\n"
        f"[Input]\n"
        f"Matrix:\n"
        f"[{rows}]\n\n"
        f"[Output]\n"
        f"Answer with one JSON object and nothing else:\n"
        f"{{\n"
        f'  "answer": the {quantity}, a whole number\n'
        f"}}"
    )
    return [{"role": "user", "content": content}]


def json_answer(answer: int) -> str:
    """The JSON text of an answer."""
    return json.dumps({"answer": answer})
