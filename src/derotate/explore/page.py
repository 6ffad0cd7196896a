# SPDX-License-Identifier: MIT
"""The page: one HTML file that embeds everything and loads nothing from the network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template

import pandas as pd
from matplotlib.figure import Figure

from derotate import tasks
from derotate.figures import accuracy as figures
from derotate.figures import spectra as figures_spectra
from derotate.figures import surgery as figures_surgery
from derotate.figures.style import DPI, look
from derotate.files.atomic import atomic_write
from derotate.tasks.task_defaults import Wording

ANGLE_FRACTION = 0.2
"""Top fraction of singular vectors whose angles are drawn; that of the default recipe."""

QUESTION = (
    "Fine-tuning teaches a model one task and can make it forget related ones. Let a language "
    "model learn {id_skill} (in distribution, ID), and test it throughout on a related "
    "task: {ood_skill} (out of distribution, OOD). Published work reports that OOD accuracy first "
    "rises and then falls during SFT, and that reinforcement learning restores much of it. Can an "
    "edit of the weights restore it without training? The patient is the last SFT checkpoint. The "
    "donor is an earlier checkpoint of the same run, selected by OOD accuracy. Surgery restores "
    "the donor's leading singular vectors (directions) or singular values."
)

NEXT = (
    ("make demo", "trains everything on two cores and draws these figures and more"),
    ("derotate explore --recipe NAME", "applies another recipe; an unknown name lists all recipes"),
    ("derotate explore --donor DIR --patient DIR",
     "does the same with your own checkpoints (Hugging Face directories with safetensors; add "
     "<code>--style natural</code> for pretrained chat models)"),
)  # fmt: skip

_NOTE = (
    "Brackets are 95 % CIs clustered by {cluster}: they generalise to new problems, not to new "
    "seeds. Edit size is the Frobenius norm of the change divided by the distance between donor "
    "and patient, over the edited matrices."
)


@dataclass(frozen=True)
class Drawing:
    """A figure with its title and caption."""

    title: str
    figure: Figure
    caption: str


def drawings(task: str, tables: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """The figures of the study for the pair's run, from the pair's tables."""
    known = tasks.defaults(task)
    bars = {
        name: _bars(tables[name], known.wording)
        for name in ("accuracy_by_step", "stages", "contrasts")
    }
    return [
        Drawing(
            "Forgetting and recovery",
            figures.sft_and_rl(tables["accuracy_by_step"]),
            "Accuracy by SFT step; arrows lead from a checkpoint to the result of RL. "
            f"{bars['accuracy_by_step']} The peak is the maximum of the values drawn and so biased "
            "upwards; the donor was selected on other problems. One run of one base.",
        ),
        Drawing(
            "Stages",
            figures.stages(tables["stages"], splits=known.splits),
            "Base, donor (peak), patient (end of SFT) and the result of RL. "
            f"{bars['stages']} The variation between runs is larger than the bars.",
        ),
        Drawing(
            "All surgeries of the study",
            figures_surgery.surgery_plane(tables["surgery"], tables["surgery_edits"]),
            "Change of ID accuracy (x) and of OOD accuracy (y) by each edit of the patient, paired "
            f"by problem. {bars['contrasts']} Squares are controls: an edit that does not lie "
            "above them has no effect beyond theirs.",
        ),
        Drawing(
            "Rotation of singular vectors",
            figures_spectra.angles(tables["spectra_by_index"], ANGLE_FRACTION),
            "Principal angles between the leading singular subspaces of donor and patient, mean "
            "and range over layers on a logarithmic scale, beside a random change of the same "
            "size and unrelated matrices. "
            "Angles alone do not show the effect on accuracy; the surgery above does.",
        ),
    ]


def write_page(
    task: str,
    out: Path,
    *,
    lead: str,
    sentences: Sequence[str],
    table: pd.DataFrame,
    figures: Iterable[Drawing],
    footer: str,
) -> None:
    """Write the page atomically.

    Args:
        task: of the pair's study.
        out: the HTML file.
        lead: what was computed live, a sentence or two.
        sentences: its results.
        table: its results as texts.
        figures: of the study, with captions.
        footer: origin of the numbers.
    """
    words = tasks.defaults(task).wording
    template = Template(files("derotate.explore").joinpath("page.html").read_text("utf-8"))
    text = template.substitute(
        question=f"<p>{escape(QUESTION.format(**asdict(words)))}</p>",
        lead=escape(lead),
        sentences="\n".join(f"<p>{escape(sentence)}</p>" for sentence in sentences),
        table=table.to_html(index=False, border=0),
        note=escape(_NOTE.format(**asdict(words))),
        figures="\n".join(map(_figure, figures)),
        next="<ul>\n" + "\n".join(f"<li><code>{command}</code> {effect}.</li>"
                                  for command, effect in NEXT) + "\n</ul>",
        footer=escape(footer),
    )  # fmt: skip
    with atomic_write(out) as part:
        part.write_text(text, encoding="utf-8")


def _bars(table: pd.DataFrame, words: Wording) -> str:
    """What the error bars of a table's OOD test values are based on."""
    own = table[(table["split"] == "ood") & (table["fold"] == "test")]
    if own.empty:
        return f"Bars are 95 % CIs clustered by {words.cluster}."
    row = own.iloc[0]
    return (
        f"Bars are 95 % CIs clustered by {words.cluster} (OOD test: n = {row['n']} problems in "
        f"{row['clusters']} {words.clusters})."
    )


def _figure(drawing: Drawing) -> str:
    image = BytesIO()
    with look():
        drawing.figure.savefig(image, format="png", dpi=DPI, metadata={"Software": None})
    data = b64encode(image.getvalue()).decode("ascii")
    return (
        f"<h2>{escape(drawing.title)}</h2>\n<figure>\n"
        f'<img alt="{escape(drawing.title)}" src="data:image/png;base64,{data}">\n'
        f"<figcaption>{escape(drawing.caption)}</figcaption>\n</figure>"
    )
