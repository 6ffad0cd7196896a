# SPDX-License-Identifier: MIT
"""The re-examination of the released spectra: its laws, its verdicts, and that it can fail."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from derotate.published import numbers as published
from derotate.published import released_spectra as again
from derotate.published import trained_spectra as trained
from derotate.published.released_geometry import geometry
from derotate.published.released_spectra_reference import measure_draws, measure_unrelated_changes
from derotate.spectral import random_matrices as laws
from derotate.spectral.distance import marchenko_pastur_distance
from derotate.stages.reexamination import TABLES, write_reexamination

RESULTS = Path(__file__).parents[3] / "results"
REFERENCE = RESULTS / "reference" / "reexamination"
MEASURED = REFERENCE / "measured.csv"


@pytest.fixture(scope="module")
def spectra() -> pd.DataFrame:
    return published.load(RESULTS / "published", "spectra")


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    return again.load_measured(MEASURED)


def test_the_expected_value_of_an_index_is_the_quantile_of_its_rank() -> None:
    shape = (1024, 4096)
    values = [laws.expected_value(index, shape, 0.02) for index in (0, 100, 1000)]
    # as in the spectra released with arXiv 2509.12235
    assert values == pytest.approx([1.914, 1.697, 0.699], abs=1e-3)
    assert values[0] < laws.edge(shape, 0.02) == pytest.approx(1.92)


def test_unrelated_subspaces_have_the_angles_of_the_closed_forms() -> None:
    rng = np.random.default_rng(0)
    size, dimension = 96, 512
    a, b = (np.linalg.qr(rng.normal(size=(dimension, size)))[0] for _ in range(2))
    cosines = np.linalg.svd(a.T @ b, compute_uv=False)
    smallest = np.degrees(np.arccos(cosines[0]))
    assert smallest == pytest.approx(laws.unrelated_smallest_angle(size, dimension), abs=1.0)
    chordal = np.sqrt(1 - np.mean(cosines**2))
    assert chordal == pytest.approx(laws.unrelated_chordal(size, dimension), abs=0.01)
    assert laws.unrelated_smallest_angle(768, 4096) == pytest.approx(38.68, abs=0.01)
    assert laws.unrelated_smallest_angle(768, 1024) == 0.0


@pytest.mark.parametrize(("related", "expected"), [(False, laws.stacked_radius(3)), (True, 1.0)])
def test_stacking_unrelated_checkpoints_shrinks_the_row_radius(
    related: bool, expected: float
) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(300, 300))
    parts = [first, first, first] if related else [first, *rng.normal(size=(2, 300, 300))]

    def radius(rows: np.ndarray) -> float:
        right = np.linalg.svd(rows, full_matrices=False)[2][:2]
        return float(np.linalg.norm(rows @ right.T, axis=1).mean())

    assert radius(np.concatenate(parts)) / radius(first) == pytest.approx(expected, abs=0.03)


def test_the_distance_of_a_whole_spectrum_is_near_that_of_the_guard() -> None:
    weight = 0.02 * torch.randn(64, 200, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(weight.double())
    found = again.distance(values.tolist(), (64, 200))
    # The guard fits the deviation and counts both ends of a step of 1 / 64.
    assert found == pytest.approx(marchenko_pastur_distance(values, (64, 200)), abs=1 / 64)


def test_the_released_spectra_are_those_of_random_weights(
    spectra: pd.DataFrame, measured: pd.DataFrame
) -> None:
    table = again.spectrum_distances(spectra, measured)
    assert set(table["matrix"]) == {"q", "k", "v"}
    assert set(table["verdict"]) == {again.CONSISTENT}
    assert (20 * table["distance"] < table["trained_low"]).all()


def test_a_trained_spectrum_in_their_place_would_be_told(
    spectra: pd.DataFrame, measured: pd.DataFrame
) -> None:
    is_value = spectra["quantity"] == "singular_value"
    steep = spectra.assign(
        value=spectra["value"].where(~is_value, 3 * (spectra["index"] + 1.0) ** -0.3)
    )
    assert set(again.spectrum_distances(steep, measured)["verdict"]) == {again.NOT_CONSISTENT}
    # even one that is off by a twentieth, which no eye sees in a figure
    scaled = spectra.assign(value=spectra["value"].where(~is_value, 1.05 * spectra["value"]))
    assert set(again.spectrum_distances(scaled, measured)["verdict"]) == {again.NOT_CONSISTENT}


def test_qwen_of_the_same_release_is_not_random(
    spectra: pd.DataFrame, measured: pd.DataFrame
) -> None:
    checks = geometry(spectra, measured)
    qwen = checks["model"].str.startswith("Qwen")
    assert qwen.sum() == 2 and set(checks[qwen]["verdict"]) == {again.NOT_CONSISTENT}
    told = checks[~qwen & (checks["tells"] == "yes")]
    assert len(told) >= 8 and set(told["verdict"]) == {again.CONSISTENT}


def test_a_check_that_training_also_passes_tells_nothing(
    spectra: pd.DataFrame, measured: pd.DataFrame
) -> None:
    checks = geometry(spectra, measured)
    changes = checks[checks["quantity"].str.contains("change to")]
    assert len(changes) == 3 and set(changes["tells"]) == {"no"}
    assert again.CONSISTENT in again.verdict(again.spectrum_distances(spectra, measured), checks)


def test_the_verdict_is_no_stronger_than_its_tables(
    spectra: pd.DataFrame, measured: pd.DataFrame
) -> None:
    distances = again.spectrum_distances(spectra, measured)
    checks = geometry(spectra, measured)
    weaker = distances.assign(verdict=[again.NOT_CONSISTENT, *distances["verdict"][1:]])
    assert "partly" in again.verdict(weaker, checks)
    assert "partly" not in again.verdict(distances, checks)


def test_what_is_measured_of_draws_is_what_the_laws_say() -> None:
    rows = list(measure_draws("k", (64, 256), 2, torch.Generator().manual_seed(0)))
    assert [row["quantity"] for row in rows].count("distance") == 2
    assert all(float(str(row["value"])) < 0.05 for row in rows if row["quantity"] == "distance")
    assert sum(row["quantity"] == "mean_change_of_singular_values" for row in rows) == 1
    angles = list(measure_unrelated_changes(128, 1, torch.Generator().manual_seed(0)))
    values = [float(str(row["value"])) for row in angles]
    # Half of each change is shared, so the angles are below those of unrelated subspaces.
    assert values == sorted(values, reverse=True) and values[1] < 38.7


def test_tables_of_another_form_are_refused(tmp_path: Path, spectra: pd.DataFrame) -> None:
    (tmp_path / "measured.csv").write_text("source,value\nrandom,1\n")
    with pytest.raises(ValueError, match=r"measured\.csv, row 1: no column draw, matrix"):
        again.load_measured(tmp_path / "measured.csv")
    nothing = again.load_measured(MEASURED)[:0]
    with pytest.raises(ValueError, match="no distance_at_places of trained weights measured"):
        again.spectrum_distances(spectra, nothing)


def gaussian(deviation: float, shape: tuple[int, int] = (96, 96)) -> pd.DataFrame:
    """Spectra of random weights in the form of the trained ones."""
    weight = np.random.default_rng(0).normal(scale=deviation, size=shape)
    values = np.linalg.svd(weight, compute_uv=False)
    return pd.DataFrame(
        [("q", 0, *shape, index, value) for index, value in enumerate(values)],
        columns=trained.COLUMNS,
    )


@pytest.mark.parametrize("deviation", [0.02, 3.0])
def test_on_the_common_scale_random_weights_of_any_size_are_one_curve(deviation: float) -> None:
    scaled = trained.on_scale(gaussian(deviation))
    law = trained.law((4096, 4096), 0.02)
    top = laws.edge((4096, 4096), 0.02)
    expected = np.interp(scaled["place"], law["place"], law["value"] / top)
    assert np.abs(scaled["value"] - expected).max() < 0.03


def test_the_trained_spectra_that_are_drawn_leave_that_curve() -> None:
    table = trained.load_trained(REFERENCE / "trained_spectra.csv")
    assert set(table["matrix"]) == {"q", "k", "v"}
    scaled = trained.on_scale(table)
    law = trained.law((4096, 4096), 0.02)
    top = laws.edge((4096, 4096), 0.02)
    for _, own in scaled.groupby(["matrix", "layer"]):
        expected = np.interp(own["place"], law["place"], law["value"] / top)
        assert np.abs(own["value"] - expected).max() > 0.1


def test_a_spectrum_is_near_to_those_like_it_and_far_from_the_others() -> None:
    other = np.random.default_rng(1).normal(scale=0.5, size=(96, 96))
    values = list(np.linalg.svd(other, compute_uv=False))
    places = list(range(96))

    def distance(table: pd.DataFrame) -> float:
        return trained.distance_to_nearest(values, places, (96, 96), 0.5, table)

    assert distance(gaussian(0.02)) < 0.05  # of another scale, but random too
    assert distance(trained.load_trained(REFERENCE / "trained_spectra.csv")) > 0.05
    steep = gaussian(1.0).assign(value=lambda table: (table["index"] + 1.0) ** -1)
    assert distance(steep) > 0.5


def test_a_spectrum_that_lacks_values_is_refused(tmp_path: Path) -> None:
    gaussian(1.0)[:-1].to_csv(tmp_path / "trained_spectra.csv", index=False)
    with pytest.raises(
        ValueError, match=r"trained_spectra\.csv, rows of q 0: 95 values, expected 96"
    ):
        trained.load_trained(tmp_path / "trained_spectra.csv")
    gaussian(1.0).drop(columns="out").to_csv(tmp_path / "trained_spectra.csv", index=False)
    with pytest.raises(ValueError, match="no column out"):
        trained.load_trained(tmp_path / "trained_spectra.csv")


def test_tables_page_and_figure_say_the_same_and_are_the_same_each_time(
    tmp_path: Path, spectra: pd.DataFrame, measured: pd.DataFrame
) -> None:
    for copy in ("a", "b"):
        folder = tmp_path / copy
        write_reexamination(RESULTS / "published", REFERENCE, folder, folder)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {
        *(f"{table}.csv" for table in TABLES),
        *(f"reexamination.{form}" for form in ("html", "png", "pdf")),
    }
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    distances, checks = (pd.read_csv(tmp_path / "a" / f"{table}.csv") for table in TABLES)
    assert (distances["from_nearest_trained"] > 10 * distances["distance"]).all()
    assert again.verdict(distances, checks) == again.verdict(
        again.spectrum_distances(spectra, measured), geometry(spectra, measured)
    )
    assert again.CONSISTENT in (tmp_path / "a" / "reexamination.html").read_text()
