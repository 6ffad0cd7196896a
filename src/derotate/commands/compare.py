# SPDX-License-Identifier: MIT
"""Terminal report of a new run beside the reference: numbers out of tolerance first.

`derotate.claims.reference_agreement` defines tolerances and the agreement of verdicts.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from derotate.claims.reference_agreement import VERDICTS, agreement
from derotate.files.tables import write
from derotate.report.format import NOTHING, number

_FULL_WIDTH = 120
_UNITS = {"stages": "percent", "contrasts": "points", VERDICTS: "verdicts"}


def show(
    new: Path,
    reference: Path,
    console: Console,
    *,
    exact: bool = False,
    rows: int = 10,
    out: Path | None = None,
) -> bool:
    """Print a comparison of the tables in `new` with those in `reference`.

    Args:
        new: folder with the tables of a run.
        reference: folder with the reference tables.
        console: where to print.
        exact: whether only equal numbers agree.
        rows: number of rows shown per table, in order of difference divided by tolerance.
        out: CSV file for all rows; none if None.

    Returns:
        Whether everything is within its tolerance.

    Raises:
        AgreementError, ValueError: tables that cannot be compared or are invalid.
    """
    found = agreement(new, reference, exact=exact)
    console.width = min(console.width, _FULL_WIDTH)
    for name, own in found.groupby("table", sort=False):
        _print_line(console, _counts(str(name), own))
        console.print(_verdicts(own) if name == VERDICTS else _numbers(_worst(own, rows)))
        console.print()
    if out is not None:
        write(found, out)
        _print_line(console, f"All rows: {out}")
    outside = int((found["decides"] & ~found["within"]).sum())
    result = (
        f"differs from {reference} in {outside} decisive rows"
        if outside
        else f"agrees with {reference}"
    )
    _print_line(console, f"{new} {result}")
    return not outside


def _print_line(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _worst(own: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Decisive rows first; out of tolerance first; then by difference divided by tolerance."""
    used = (own["difference"].abs() / own["tolerance"]).fillna(0.0)
    order = own.assign(used=used, other=~own["decides"]).sort_values(
        ["other", "within", "used"], ascending=[True, True, False], kind="stable"
    )
    return order.head(rows)


def _numbers(rows: pd.DataFrame) -> Table:
    table = Table("row", "base", "seed", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("new", "reference", "difference", "tolerance", "within"):
        table.add_column(column, justify="right")
    for row in rows.to_dict("records"):
        table.add_row(
            str(row["row"]), str(row["base_seed"]), str(row["seed"]),
            *(number(row[column], 2, sign=column == "difference")
              for column in ("value", "reference", "difference", "tolerance")),
            _yes_no(row["within"]),
        )  # fmt: skip
    return table


def _verdicts(rows: pd.DataFrame) -> Table:
    table = Table(
        "claim", "new", "reference", "agrees", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for row in rows.to_dict("records"):
        texts = (NOTHING if pd.isna(row[name]) else row[name] for name in ("value", "reference"))
        table.add_row(row["row"], *texts, _yes_no(row["within"]))
    return table


def _counts(name: str, own: pd.DataFrame) -> str:
    lacking = {"the reference": own["value"].isna(), "the new run": own["reference"].isna()}
    both = ~(lacking["the reference"] | lacking["the new run"])
    parts = [f"{both.sum()} rows in both", f"{own['equal'].sum()} identical"]
    parts += [f"{rows.sum()} only in {side}" for side, rows in lacking.items() if rows.any()]
    outside = own[~own["within"]]
    parts += [
        f"{outside['decides'].sum()} of {own['decides'].sum()} decisive rows out of tolerance"
    ]
    if not own["decides"].all():
        parts += [f"{(~outside['decides']).sum()} of the other rows"]
    return f"{name}.csv ({_UNITS[name]}): {', '.join(parts)}"


def _yes_no(within: bool) -> str:
    return "yes" if within else "NO"
