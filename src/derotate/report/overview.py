# SPDX-License-Identifier: MIT
"""The top of the findings page: what was asked, the answer in short, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from derotate.analysis.run_level_inference import LEVEL, POWER
from derotate.analysis.select_rows import POOLED
from derotate.claims.cells import MissingCells, study_runs
from derotate.report.estimates import Estimate, change, contrast
from derotate.report.format import anchor, counted, listed, number, percent, table, whole
from derotate.report.sources import VERDICTS, Sources
from derotate.report.tasks import in_short

INTRODUCTION = f"""\
Supervised fine-tuning (SFT) teaches a language model one way of doing a task. Papers ask what it
forgets meanwhile, whether reinforcement learning (RL) brings that back, and whether editing the
weights can do the same. Each of their claims is stated here as something that may fail, and tested.

The task asked in full is a card game: reach a target with the numbers of some cards. Fine-tuning
sees one rule for what the picture cards count (**ID**, in distribution). The model is also asked
under another rule, which fine-tuning never shows (**OOD**, out of distribution). Test problems are
of numbers that fine-tuning has not seen. The **base** is the model before SFT; the **peak** is the
SFT step of highest OOD accuracy, chosen on problems that no accuracy below is measured on; the
**end** is a step fixed beforehand. A **run** is one training with one seed on one base. Differences
are in points of accuracy. Intervals are at {percent(1 - LEVEL)} and of tests of equivalence at
{percent(1 - 2 * LEVEL)}; they take runs as the unit."""

_NAMES = {
    "supported": "hold",
    "contradicted": "do not hold",
    "undecided": "stayed undecided",
    "not testable": "could not be tested",
}


def opening(sources: Sources) -> list[str]:
    """What was asked, and of what."""
    return ["## What was asked", INTRODUCTION, coverage(sources)]


def coverage(sources: Sources) -> str:
    """Runs, bases, seeds and problems that the study really has."""
    try:
        runs = study_runs(sources.tables)
    except MissingCells as error:
        return f"The study **{sources.study}** cannot be described: {error} is missing."
    seeds = {int(base): list(own["seed"]) for base, own in runs.groupby("base_seed")}
    first, *others = seeds.values()
    of_seeds = (
        f"{counted(len(first), 'seed')} ({listed(first)}){' each' if others else ''}"
        if all(own == first for own in others)
        else listed([f"seeds {listed(own)} on base {base}" for base, own in seeds.items()])
    )
    return (
        f"This is the study **{sources.study}**: {counted(len(runs), 'run')} on "
        f"{counted(len(seeds), 'base')} ({listed(list(seeds))}) with {of_seeds}. "
        f"{_problems(sources)}"
    )


def _problems(sources: Sources) -> str:
    stages = sources.tables.get("stages")
    if stages is None:
        return "How many problems each answered is not known: stages.csv is missing."
    found = []
    for split, fold, name in (
        ("ood", "test", "OOD test problems"),
        ("id", "test", "ID test problems"),
        ("id", "train", "ID problems that SFT learned"),
    ):
        own = stages[(stages["split"] == split) & (stages["fold"] == fold)]
        own = own[(own["seed"] != POOLED) & (own["landmark"] != "base")]
        if len(own):
            sets = whole(own["clusters"].min())
            found.append(f"{whole(own['n'].min())} {name} ({sets} sets of numbers)")
    return f"Each run answers {listed(found)}." if found else "No problems were answered."


def short_answer(sources: Sources) -> list[str]:
    """Three paragraphs of numbers and verdicts, and one on how sure they are."""
    return [
        "## The answer in short",
        _paragraph(sources, "What SFT forgets.", _forgets, ["C1", "C3", "C19"]),
        _paragraph(sources, "What RL gives back.", _gives_back, ["C5"]),
        _paragraph(sources, "What surgery on weights can and cannot do.", _surgery, ["C12", "C11"]),
        *in_short(sources),
        f"**How sure this is.** {how_sure(sources)}",
        verdict_table(sources),
    ]


def _paragraph(
    sources: Sources, title: str, measured: Callable[[Sources], list[str]], claims: list[str]
) -> str:
    try:
        numbers = measured(sources)
    except MissingCells as error:
        numbers = [f"Not measured here, for want of {error}."]
    known = [name for name in claims if name in set(sources.verdicts["claim"])]
    said = [sources.cited(name) for name in known]
    return f"**{title}** {' '.join([*numbers, *said])}"


def _forgets(sources: Sources) -> list[str]:
    words = ("rose by {}", "fell by {}", "changed by {}")
    rise = change(contrast(sources.tables, "peak_over_base"), *words)
    fall = change(contrast(sources.tables, "forgot").reversed, *words)
    text = [f"From the base to the peak OOD accuracy {rise}; from there to the end it {fall}."]
    learned = _or_none(sources, "id_rise", split="id", fold="train")
    if learned is not None:
        rose = change(learned, *words)
        text.append(f"Over all of SFT, accuracy on the problems that it learned {rose}.")
    varied = _or_none(sources, "arm_over_sft_end", treatment="diverse")
    if varied is not None:
        ended = change(varied, "{} above", "{} below", "{} from")
        text.append(
            "SFT whose prompts vary the rule, never to the OOD one, but with some larger numbers, "
            f"ended {ended} plain SFT in OOD accuracy."
        )
    return text


def _gives_back(sources: Sources) -> list[str]:
    gain = change(
        contrast(sources.tables, "rl_gain"),
        "gave back {} of OOD accuracy",
        "took another {} of OOD accuracy",
        "changed OOD accuracy by {}",
    )
    text = [f"RL from the end of SFT {gain}."]
    own = _or_none(sources, "rl_gain", split="id", fold="rl")
    if own is not None:
        learned = change(own, "rose by {}", "fell by {}", "changed by {}")
        text.append(f"Accuracy on the problems that RL itself was given {learned}.")
    return text


def _surgery(sources: Sources) -> list[str]:
    directions, values = (
        change(
            contrast(sources.tables, "over_patient", direction="forward", treatment=recipe),
            "gives back {} of OOD accuracy",
            "takes another {} of OOD accuracy",
            "changes OOD accuracy by {}",
        )
        for recipe in ("directions-top20", "values-top20")
    )
    text = [
        "Putting the leading singular directions of the peak into the end of SFT "
        f"{directions}; putting the leading singular values there {values}."
    ]
    edit = {"direction": "forward", "treatment": "directions-top20"}
    beside = _or_none(sources, "over_rollback", **edit)
    if beside is not None:
        more = change(beside, "gives {} more", "gives {} less", "differs by {}")
        text.append(f"Beside rolling the same matrices back, the edit of directions {more}.")
    cost = _or_none(sources, "over_patient", split="id", fold="train", **edit)
    if cost is not None:
        lost = change(cost.reversed, "costs {}", "wins {}", "costs {}")
        text.append(f"On the problems that SFT learned it {lost}.")
    return [*text, *_orthonormal(sources)]


def _orthonormal(sources: Sources) -> list[str]:
    """The edit that a practitioner would try: the same directions, kept orthonormal."""
    edit = {"direction": "forward", "treatment": "aligned-top20"}
    back = _or_none(sources, "over_patient", **edit)
    cost = _or_none(sources, "over_patient", split="id", fold="train", **edit)
    if back is None or cost is None:
        return []
    gives = change(back, "gives back {}", "takes another {}", "changes it by {}")
    costs = change(cost.reversed, "costs {}", "wins {}", "costs {}")
    return [
        f"Kept orthonormal, the same directions (`aligned-top20`) {gives} and on those problems "
        f"{costs}; no claim named this edit beforehand."
    ]


def _or_none(
    sources: Sources, name: str, split: str = "ood", fold: str = "test", **where: str
) -> Estimate | None:
    try:
        return contrast(sources.tables, name, split, fold, **where)
    except MissingCells:
        return None


def how_sure(sources: Sources) -> str:
    """How many primary claims are decided, what could be seen, what intervals speak about."""
    primary = sources.verdicts[sources.verdicts["primary"].astype(bool)]
    decided = int(primary["verdict"].isin(["supported", "contradicted"]).sum())
    in_points = primary[primary["unit"] == "points"]
    smallest = pd.to_numeric(in_points["mde"], errors="coerce").dropna()
    detectable = (
        f" Their tests in points would find effects of {number(smallest.min())} to "
        f"{number(smallest.max())} with a power of {percent(POWER)}."
        if len(smallest)
        else ""
    )
    return (
        f"Of {counted(len(primary), 'primary claim')}, named before the study was run, {decided} "
        f"{'is' if decided == 1 else 'are'} decided.{detectable} Intervals speak about other seeds "
        "and, where a claim counts problems, about other problems; about these bases, this model "
        "and this task alone."
    )


def verdict_table(sources: Sources) -> str:
    """How many claims have each verdict, and which."""
    rows = []
    for verdict in VERDICTS:
        own = sources.with_verdict(verdict)
        names = [
            f"[{f'**{name}**' if primary else name}](#{anchor(name)})"
            for name, primary in zip(own["claim"], own["primary"], strict=True)
        ]
        rows.append((f"{_NAMES[verdict]} ({verdict})", len(own), ", ".join(names) or "none"))
    return table(["claims that", "number", "which (primary ones in bold)"], rows)
