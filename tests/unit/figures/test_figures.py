# SPDX-License-Identifier: MIT
"""Every figure, drawn from a synthetic study in the shape of the tiny one."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from derotate.analysis import accuracy as tables
from derotate.analysis import rl_logs as logs
from derotate.analysis.contrasts import contrasts, surgery_plane
from derotate.analysis.spectra import by_index
from derotate.config.recipes import Band, Recipe
from derotate.figures import accuracy as figures
from derotate.figures import label_placement as labels
from derotate.figures import losses as figures_losses
from derotate.figures import rl as figures_training
from derotate.figures import spectra as figures_spectra
from derotate.figures import style
from derotate.figures import surgery as figures_surgery
from derotate.published.numbers import load
from derotate.stages.figures import PUBLISHED_TABLES
from derotate.tasks.general_points.answers import ErrorKind
from derotate.tasks.general_points.defaults import DEFAULTS

PUBLISHED = Path(__file__).parents[3] / "results" / "published"
STEPS = (20, 50, 100, 150, 200, 300, 400, 500)
# accuracy in percent at base and STEPS; seeds 1 to 3 of docs on the tiny regime
OOD = {
    1: (10.9, 14.8, 25.3, 26.5, 25.1, 24.1, 20.2, 12.1, 10.1),
    2: (10.9, 18.0, 23.2, 26.9, 26.9, 25.4, 14.7, 15.6, 16.0),
    3: (10.9, 17.0, 23.5, 25.8, 26.4, 23.1, 17.7, 17.7, 15.0),
}
LEARNED = (15.3, 60.9, 89.1, 96.0, 96.8, 97.2, 97.2, 98.0, 98.5)
HELD_OUT = (8.6, 27.3, 17.6, 25.0, 19.1, 23.0, 19.5, 10.2, 15.2)
LOSS = (2.4, 0.7, 0.62, 0.8, 0.9, 1.0, 1.25, 1.5, 1.6)
TOP = Band(fraction=0.2)
EDITS = {  # recipe: OOD, ID learned
    Recipe(name="values-top20", part="values", band=TOP): (12.0, 98.5),
    Recipe(name="values-all", part="values", band=Band(fraction=1.0)): (12.5, 98.2),
    Recipe(name="directions-top5", part="directions", band=Band(fraction=0.05)): (5.2, 70.0),
    Recipe(name="directions-top20", part="directions", band=TOP): (23.8, 97.0),
    Recipe(name="directions-all", part="directions", band=Band(fraction=1.0)): (26.5, 97.0),
    Recipe(name="directions-top20-matched", part="directions", band=TOP, pairing="similarity"): (
        24.0,
        96.8,
    ),
    Recipe(name="directions-top20-first-half", part="directions", band=TOP, layers=(0, 1)): (
        23.2,
        96.0,
    ),
    Recipe(name="both-top20", part="both", band=TOP): (23.2, 97.0),
    Recipe(name="aligned-top20", part="aligned", band=TOP): (23.5, 96.9),
    Recipe(name="low-rank-16", part="low_rank", rank=16): (20.0, 96.0),
    Recipe(name="rollback", part="rollback"): (25.5, 96.4),
    Recipe(name="interpolate-equal-norm", part="interpolate", match="norm:directions-top20"): (
        21.8,
        99.2,
    ),
    Recipe(name="interpolate-equal-loss", part="interpolate", match="id_loss:directions-top20"): (
        25.0,
        97.1,
    ),
    Recipe(name="random-rotation-top20", part="random_rotation", band=TOP): (3.0, 75.0),
    Recipe(name="random-norm-top20", part="random_norm", band=TOP): (11.0, 97.8),
    Recipe(name="wrong-donor-top20", part="directions", band=TOP, donor="base"): (8.0, 80.0),
}
RECIPES = tuple(EDITS)
SUITES = {
    "ood/test": 478,
    "ood/selection": 160,
    "id/train": 200,
    "id/test": 57,
    "id_faces/test": 57,
    "ood_plain/test": 57,
}


class Study:
    """Rows drawn at given accuracies; number sets and problems keep their difficulty."""

    def __init__(self, scale: float, orders: int = 2) -> None:
        self.rng = np.random.default_rng(0)
        self.sets = {suite: max(int(n * scale), 4) for suite, n in SUITES.items()}
        self.orders = orders
        self.ease = {
            suite: np.repeat(self.rng.normal(0, 0.7, n), orders)
            + self.rng.normal(0, 0.5, n * orders)
            for suite, n in self.sets.items()
        }

    def checkpoint(
        self, seed: int | None, ood: float, learned: float, held: float, loss: float = 1.0,
        **columns: object,
    ) -> pd.DataFrame:  # fmt: skip
        """Greedy rows of one checkpoint; accuracies in percent."""
        percent = {"ood": ood, "id": held, "id_faces": held + 1, "ood_plain": (ood + held) / 2}
        parts = []
        for suite, ease in self.ease.items():
            split, fold = suite.split("/")
            share = (learned if suite == "id/train" else percent[split]) / 100
            draw = ease + self.rng.normal(0, 0.5, ease.size)
            correct = draw < stats.norm.ppf(share) * np.sqrt(0.99)
            wrong = self.rng.choice(
                ["wrong_value", "wrong_numbers", "id_rule_applied", "unparsable"],
                ease.size, p=[0.8, 0.12, 0.03, 0.05],
            )  # fmt: skip
            numbers = np.arange(ease.size)
            parts.append(
                pd.DataFrame(
                    {
                        "problem": [f"{suite}-{i}" for i in numbers],
                        "split": split,
                        "fold": fold,
                        "cluster": [f"{suite}-{i // self.orders}" for i in numbers],
                        "correct": correct.astype(int),
                        "kind": np.where(correct, "correct", wrong),
                        "loss": (loss if split == "ood" else 0.1 + 0.3 * (1 - share))
                        + self.rng.normal(0, 0.1, ease.size),
                    }
                )
            )
        defaults = {
            "base_seed": 1, "seed": seed, "stage": "sft", "algorithm": "", "start": None,
            "step": 0, "donor": None, "patient": "", "recipe": "", "direction": "",
            "control": False, "decoding": "greedy", "attempt": 0,
        }  # fmt: skip
        table = pd.concat(parts, ignore_index=True).assign(**{**defaults, **columns})
        return table.astype(dict.fromkeys(("seed", "start", "step", "donor"), "Int64"))


def study_rows(seeds: tuple[int, ...], scale: float, algorithms: tuple[str, ...]) -> pd.DataFrame:
    study = Study(scale)
    parts = [study.checkpoint(None, 10.9, 15.3, 8.6, 2.4, stage="base")]
    for seed in seeds:
        for i, step in enumerate(STEPS, start=1):
            parts.append(
                study.checkpoint(seed, OOD[seed][i], LEARNED[i], HELD_OUT[i], LOSS[i], step=step)
            )
        for algorithm in algorithms:
            for start, after in ((100, 28.5), (300, 17.8), (500, 13.0)):
                parts.append(
                    study.checkpoint(
                        seed,
                        after,
                        95.0,
                        15.0,
                        stage="rl",
                        algorithm=algorithm,
                        start=start,
                        step=30,
                    )
                )
        for recipe, (ood, learned) in EDITS.items():
            cell = {
                "stage": "surgery", "donor": 0 if recipe.donor == "base" else 100,
                "patient": "sft-500", "recipe": recipe.name, "direction": "forward",
                "control": recipe.control,
            }  # fmt: skip
            parts.append(study.checkpoint(seed, ood, learned, 18.0, **cell))
        if algorithms:
            cell = {
                "stage": "surgery", "donor": 500, "patient": f"rl-{algorithms[0]}-500",
                "recipe": "directions-top20", "direction": "reverse",
            }  # fmt: skip
            parts.append(study.checkpoint(seed, 11.0, 96.0, 15.0, **cell))
    return pd.concat(parts, ignore_index=True)


def study_landmarks(seeds: tuple[int, ...], algorithm: str | None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "base_seed": 1,
            "seed": seeds,
            "max_ood": 100,
            "sft_end": 500,
            "rl_end_algorithm": algorithm,
            "rl_end_start": pd.array([500 if algorithm else None] * len(seeds), dtype="Int64"),
            "rl_end_step": pd.array([30 if algorithm else None] * len(seeds), dtype="Int64"),
        }
    )


def rl_records(seeds: tuple[int, ...], algorithms: tuple[str, ...]) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    runs = [(s, a, start) for s in seeds for a in algorithms for start in (100, 300, 500)]
    return pd.DataFrame(
        [
            {
                "base_seed": 1, "seed": seed, "algorithm": algorithm, "start": start,
                "update": update, "loss": rng.normal(0, 0.01), "reward_mean": -1 + update / 20,
                "correct_share": min(0.25 + update / 90 + rng.normal(0, 0.02), 1),
                "entropy": 0.3 * np.exp(-update / 20) + start / 5000,
                "kl_to_start": 0.002 * update, "zero_variance_share": 0.3 + update / 80,
                "response_length": 28 + rng.normal(0, 0.3),
            }
            for seed, algorithm, start in runs
            for update in range(1, 31)
        ]
    )  # fmt: skip


def advantage_histograms(log: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    edges = np.linspace(-3, 3, 25)
    parts = []
    for key, _ in log.groupby(["base_seed", "seed", "algorithm", "start"]):
        values = np.concatenate(
            [np.zeros(80), rng.normal(-0.6, 0.2, 120), rng.normal(1.3, 0.5, 56)]
        )
        counts = np.histogram(values, edges)[0]
        parts.append(
            pd.DataFrame(
                {
                    **dict(zip(("base_seed", "seed", "algorithm", "start"), key, strict=True)),
                    "update": 1, "bin_low": edges[:-1], "bin_high": edges[1:], "count": counts,
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@cache
def spectra_table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    parts = []
    for kind in ("q", "k", "v", "o", "gate", "up", "down"):
        for layer in range(4):
            rank = np.arange(128)
            values = 3 * np.exp(-rank / 50)
            top = np.arange(26)
            metrics = {
                ("patient", "donor_value", np.nan): values,
                ("patient", "patient_value", np.nan): values * 1.01,
                ("patient", "value_change", np.nan): rng.normal(0.01, 0.005, 128),
            }
            for side in ("left", "right"):
                name = f"{side}_principal_angle"
                metrics["patient", name, 0.2] = 2 + top * 0.6 + layer
                metrics["norm_null", name, 0.2] = 3 + top * 0.5
                metrics["unrelated_null", name, 0.2] = 30 + 60 * top / 25
            for (against, metric, fraction), value in metrics.items():
                parts.append(
                    pd.DataFrame(
                        {
                            "base_seed": 1, "seed": 1, "matrix": f"{layer}.{kind}",
                            "layer": layer, "kind": kind,
                            "against": against, "metric": metric, "fraction": fraction,
                            "index": np.arange(len(value)), "value": value,
                        }
                    )
                )  # fmt: skip
    return by_index(pd.concat(parts, ignore_index=True))


def theirs(name: str, papers: Path = PUBLISHED) -> pd.DataFrame:
    """A table of the papers' numbers, as the workflow makes it."""
    subjects, arrange = PUBLISHED_TABLES[name]
    return arrange(*(load(papers, subject) for subject in subjects))


MATCHES = pd.DataFrame(
    [(1, "11", "interpolate-equal-loss", "False")],
    columns=["base_seed", "seed", "recipe", "matched"],
)
"""Of surgery_edits.csv: a control that could not be matched."""


@cache
def draw_all(
    seeds: tuple[int, ...], scale: float, algorithms: tuple[str, ...]
) -> dict[str, Callable[[], Figure]]:
    """Each figure of a study, by name."""
    rows = study_rows(seeds, scale, algorithms)
    landmarks = study_landmarks(seeds, algorithms[0] if algorithms else None)
    accuracy, loss = tables.accuracy_by_step(rows), tables.loss_by_step(rows)
    plane = surgery_plane(contrasts(rows, landmarks, RECIPES), RECIPES)
    stage_table = tables.stages(rows, landmarks)
    raw = rl_records(seeds, algorithms or ("grpo",))
    raw = raw if algorithms else raw[:0]
    histograms = advantage_histograms(rl_records(seeds, algorithms or ("grpo",)))
    histograms = logs.advantages_by_start(histograms if algorithms else histograms[:0])
    spectra = spectra_table()
    return {
        "accuracy_by_step": lambda: figures.accuracy_by_step(accuracy),
        "sft_and_rl": lambda: figures.sft_and_rl(accuracy, theirs("their_accuracy")),
        "losses": lambda: figures_losses.losses(loss, tables.picks(loss, accuracy)),
        "errors_by_step": lambda: figures.errors_by_step(tables.errors_by_step(rows, ErrorKind)),
        "stages": lambda: figures.stages(stage_table, theirs("their_stages"), DEFAULTS.splits),
        "surgery_plane": lambda: figures_surgery.surgery_plane(
            plane, MATCHES, published=theirs("their_surgery")
        ),
        "surgery_plane_reverse": lambda: figures_surgery.surgery_plane(plane, MATCHES, "reverse"),
        "singular_values": lambda: figures_spectra.singular_values(spectra),
        "angles": lambda: figures_spectra.angles(spectra, 0.2),
        "advantages": lambda: figures_training.advantages(histograms, logs.rl_first_update(raw)),
        "rl_curves": lambda: figures_training.rl_curves(logs.rl_log(raw)),
    }


STUDIES = {
    "one seed": ((1,), 0.1, ("grpo",)),
    "two seeds, two algorithms": ((1, 2), 0.1, ("grpo", "ppo")),
    "no RL": ((1,), 0.1, ()),
}


def words_of(figure: Figure) -> str:
    """All text of a figure."""
    axes_texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([*axes_texts, *(text.get_text() for text in figure.texts)])


FIGURES = [
    "accuracy_by_step", "sft_and_rl", "losses", "errors_by_step", "stages", "surgery_plane",
    "surgery_plane_reverse", "singular_values", "angles", "advantages", "rl_curves",
]  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("study", ["one seed", "no RL"])
def test_a_figure_needs_neither_several_seeds_nor_rl(study: str, name: str) -> None:
    figure = draw_all(*STUDIES[study])[name]()
    figure.draw_without_rendering()
    assert figure.axes


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_drawn_twice_has_the_same_bytes(name: str, tmp_path: Path) -> None:
    for copy in ("a", "b"):
        style.save(draw_all(*STUDIES["two seeds, two algorithms"])[name](), tmp_path / copy)
    for form in ("png", "pdf"):
        first = (tmp_path / f"a.{form}").read_bytes()
        assert len(first) > 4000
        assert first == (tmp_path / f"b.{form}").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["sft_and_rl", "stages", "surgery_plane_reverse", "advantages", "rl_curves"],
)
def test_a_study_without_rl_says_so(name: str) -> None:
    figure = draw_all(*STUDIES["no RL"])[name]()
    assert "in this study" in words_of(figure)
    assert "no" in words_of(figure)


def test_figures_of_nothing_are_drawn() -> None:
    nothing = tables.accuracy_by_step(study_rows((1,), 0.1, ())[:0])
    assert "no evaluation yet" in words_of(figures.sft_and_rl(nothing, theirs("their_accuracy")))
    assert "no spectra" in words_of(figures_spectra.singular_values(spectra_table()[:0]))
    assert "top 50 %" in words_of(figures_spectra.angles(spectra_table(), 0.5))


@pytest.mark.parametrize("name", ["sft_and_rl", "stages", "surgery_plane"])
def test_a_figure_with_published_numbers_says_where_they_stand(name: str) -> None:
    words = words_of(draw_all(*STUDIES["one seed"])[name]())
    assert "arXiv 2509.12235, repository (exact)" in words
    assert ("v3 (about" in words) == (name == "surgery_plane")  # what only others have read


@pytest.mark.parametrize(
    ("subject", "old", "new", "moved"),
    [
        ("stages", ",17.09,%,234,yes,", ",17.52,%,234,yes,", set(PUBLISHED_TABLES)),
        ("accuracy_by_step", ",13.7,%,234,yes,", ",14.1,%,234,yes,", {"their_accuracy"}),
        ("surgery", ",9.23,%,234,no,", ",9.24,%,234,no,", {"their_surgery"}),
    ],
)
def test_a_published_number_moves_what_is_drawn_from_it_and_nothing_else(
    tmp_path: Path, subject: str, old: str, new: str, moved: set[str]
) -> None:
    for source in PUBLISHED.glob("*.csv"):
        text = source.read_text(encoding="utf-8")
        changed = text.replace(old, new, 1) if source.stem == subject else text
        assert (changed != text) == (source.stem == subject)
        (tmp_path / source.name).write_text(changed, encoding="utf-8")
    assert {
        name for name in PUBLISHED_TABLES if not theirs(name).equals(theirs(name, tmp_path))
    } == moved


def test_without_published_numbers_ours_stand_alone() -> None:
    rows = study_rows((1,), 0.1, ("grpo",))
    accuracy = tables.accuracy_by_step(rows)
    stages = tables.stages(rows, study_landmarks((1,), "grpo"))
    for alone, both in (
        (figures.sft_and_rl(accuracy), figures.sft_and_rl(accuracy, theirs("their_accuracy"))),
        (figures.stages(stages), figures.stages(stages, theirs("their_stages"))),
    ):
        assert "arXiv" not in words_of(alone)
        assert len(alone.axes) < len(both.axes)


def test_a_published_panel_has_a_scale_of_its_own() -> None:
    accuracy = tables.accuracy_by_step(study_rows((1,), 0.1, ("grpo",)))
    figure = figures.sft_and_rl(accuracy, theirs("their_accuracy"))
    ours, published = figure.axes[0], figure.axes[2]
    assert published.get_title(loc="left") == "Published, out of distribution"
    assert ours.get_xlim()[1] < 600 < 1600 < published.get_xlim()[1]


def accuracy_of(steps: list[tuple[int, str, float]]) -> pd.DataFrame:
    """A table of OOD test accuracies by step and stage."""
    return pd.DataFrame(
        {
            "base_seed": 1, "seed": "all", "stage": stage, "algorithm": "", "step": step,
            "update": 0, "split": "ood", "fold": "test", "accuracy": accuracy,
            "low": accuracy - 3, "high": accuracy + 3,
        }
        for step, stage, accuracy in steps
    )  # fmt: skip


def test_the_peak_is_an_sft_checkpoint() -> None:
    base = accuracy_of([(0, "base", 40.0), (100, "sft", 30.0), (500, "sft", 10.0)])
    assert "peak 30.0 % at step 100" in words_of(figures.accuracy_by_step(base))


def test_labels_of_crowded_points_do_not_cover_each_other() -> None:
    figure, ((axes,),) = style.canvas(width=6, row_height=4)
    crowd = [(0.5 + 0.01 * i, 0.5 + 0.01 * (i % 3)) for i in range(12)]
    axes.set(xlim=(0, 1), ylim=(0, 1))
    placed = labels.place(axes, crowd, [f"recipe-number-{i}" for i in range(12)], ["black"] * 12)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in placed]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    assert all(axes.get_window_extent().contains(*box.min) for box in boxes)


def test_every_role_has_its_own_colour() -> None:
    roles: tuple[style.Role, ...] = (
        "base", "sft", "grpo", "ppo", "surgery", "control", "id", "ood", "null", "muted",
    )  # fmt: skip
    assert len({style.colour(role) for role in roles}) == len(roles)


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_all(*STUDIES["no RL"])["stages"]()
    assert dict(mpl.rcParams) == before


if __name__ == "__main__":  # draw a study of full size, to be looked at: python test_figures.py DIR
    target = Path(sys.argv[1])
    for number, (seeds, algorithms) in enumerate(
        (((1,), ("grpo",)), ((1, 2, 3), ("grpo", "ppo")), ((1,), ()))
    ):
        for label, draw in draw_all(seeds, 1.0, algorithms).items():
            style.save(draw(), target / f"{number}_{label}")
