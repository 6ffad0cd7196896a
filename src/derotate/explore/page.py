# SPDX-License-Identifier: MIT
"""The page: one HTML file with everything inside, so that it asks the network for nothing."""

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
"""The top share of singular vectors whose angles are drawn; that of the default recipe."""

QUESTION = (
    "Fine-tuning teaches a model one task and can make it forget what it could do next to it. Let "
    "a language model learn {learned} (in distribution, ID), and ask it all along {asked} (out of "
    "distribution, OOD). Published work reports that it first gets better at that and then worse, "
    "and that reinforcement learning gives much of it back. Can an edit of the weights do it "
    "without training? The patient is the end of fine-tuning; the donor is an earlier checkpoint "
    "of the same run, chosen for its OOD accuracy, whose leading singular vectors (directions) or "
    "values the surgery puts back."
)

NEXT = (
    ("make demo", "trains all of this here, on two cores, and draws these figures and more"),
    ("derotate explore --recipe NAME", "operates with another recipe; a wrong name lists them all"),
    ("derotate explore --donor DIR --patient DIR",
     "does the same to two checkpoints of your own (Hugging Face directories with safetensors; add "
     "<code>--style natural</code> for models that read prose)"),
)  # fmt: skip

_LIVE_NOTE = (
    "Brackets are 95 % intervals, clustered by {cluster}: they speak about other problems. Edit "
    "size is the norm of the change as a share of the distance between donor and patient over the "
    "matrices edited."
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
            "Forgetting and healing",
            figures.sft_and_rl(tables["accuracy_by_step"]),
            "Accuracy by fine-tuning step; arrows lead to what reinforcement learning made of a "
            f"checkpoint. {bars['accuracy_by_step']} The peak is the highest value drawn and "
            "so flattered; the donor was chosen on other problems. One run of one base.",
        ),
        Drawing(
            "Stages",
            figures.stages(tables["stages"], splits=known.splits),
            "Base, donor (peak), patient (SFT end) and the result of reinforcement learning. "
            f"{bars['stages']} Other runs would differ by more than the bars show.",
        ),
        Drawing(
            "Every surgery of the study",
            figures_surgery.surgery_plane(tables["surgery"]),
            "Each edit of the patient: to the right what it costs in distribution, upwards what it "
            f"gives out of it, paired with the patient. {bars['contrasts']} Squares are "
            "controls: an edit that does not lie above them did nothing that they do not.",
        ),
        Drawing(
            "How far the directions turned",
            figures_spectra.angles(tables["spectra_by_index"], ANGLE_FRACTION),
            "Principal angles between the leading singular subspaces of donor and patient, mean "
            "and range over layers on a logarithmic scale, beside a random change of the same "
            "size and unrelated matrices. "
            "Angles alone do not say what a change does to the answers; the surgery above does.",
        ),
    ]


def write_page(
    task: str,
    out: Path,
    *,
    live_lead: str,
    said: Sequence[str],
    live: pd.DataFrame,
    drawn: Iterable[Drawing],
    footer: str,
) -> None:
    """Write the page, moved into place when complete.

    Args:
        task: of the pair's study.
        out: the HTML file.
        live_lead: what was done live, a sentence or two.
        said: its result in sentences.
        live: its table, as text.
        drawn: figures with captions.
        footer: where the numbers come from.
    """
    words = tasks.defaults(task).wording
    template = Template(files("derotate.explore").joinpath("page.html").read_text("utf-8"))
    text = template.substitute(
        question=f"<p>{escape(QUESTION.format(**asdict(words)))}</p>",
        live_lead=escape(live_lead),
        said="\n".join(f"<p>{escape(sentence)}</p>" for sentence in said),
        live_table=live.to_html(index=False, border=0),
        live_note=escape(_LIVE_NOTE.format(**asdict(words))),
        figures="\n".join(map(_figure, drawn)),
        next="<ul>\n" + "\n".join(f"<li><code>{command}</code> {what}.</li>"
                                  for command, what in NEXT) + "\n</ul>",
        footer=escape(footer),
    )  # fmt: skip
    with atomic_write(out) as part:
        part.write_text(text, encoding="utf-8")


def _bars(table: pd.DataFrame, words: Wording) -> str:
    """What the intervals of a table's OOD test values stand on."""
    own = table[(table["split"] == "ood") & (table["fold"] == "test")]
    if own.empty:
        return "Bars are 95 % intervals, clustered by {cluster}.".format(**asdict(words))
    row = own.iloc[0]
    return (
        f"Bars are 95 % intervals, clustered by {words.cluster} (OOD test: n = {row['n']} "
        f"problems of {row['clusters']} {words.clusters})."
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
