# SPDX-License-Identifier: MIT
"""Diagnostics of a run: tables that say what four known checkpoints have to do with each other."""

import logging
from pathlib import Path

import pandas as pd
import pytest
import torch

from derotate.analysis.table_schemas.reading import validate
from derotate.analysis.table_schemas.study import SCHEMAS
from derotate.claims.effects import effects
from derotate.claims.schema import Cells, load_claims
from derotate.config.model import TinyModel
from derotate.diagnostics import LANDMARKS
from derotate.models import checkpoint as checkpoints
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.spectral.decompose import factorise
from derotate.spectral.factors import save_factors
from derotate.stages.data import write_problems
from derotate.stages.run_files import states_table, weights_table
from derotate.stages.states import compare_states, suites
from derotate.stages.weights import compare_weights
from derotate.tasks.general_points.pretraining import WORDS

TASK = "general_points"
SMALL = TinyModel(hidden_size=16, intermediate_size=32, layers=2, heads=2)
TURNED = "model.layers.1.mlp.up_proj.weight"
"""The one matrix that RL changes in these checkpoints."""
CLAIMED = {"pair": "max_ood:sft_end:rl_end", "split": "ood"}

Run = dict[str, Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Checkpoints by landmark, with factors beside them: RL changed one matrix of `sft_end`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study") / "base-1/seed-2"
    tokenizer = tiny_tokenizer(WORDS)
    for place, name in enumerate(LANDMARKS):
        model = tiny_model(SMALL, tokenizer, seed=min(place, 2))
        for key, parameter in model.named_parameters():
            # random weights of the usual size barely tell prompts apart
            parameter.data *= 10 if parameter.ndim == 2 else 1
            if name == "rl_end" and key == TURNED:
                parameter.data = parameter.data.flip(0)
        checkpoints.save(model, tokenizer, folder / name)
        state = checkpoints.load_state(folder / name)
        known = {key: factorise(value) for key, value in state.items() if "_proj" in key}
        save_factors(folder / f"{name}.safetensors", known)
    return {name: folder / name for name in LANDMARKS}


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "problems.csv"
    asked = [("id", "train", 1), ("id", "test", 4), ("ood", "test", 2), ("ood", "selection", 1)]
    write_problems(
        TASK,
        [{"split": a, "fold": b, "orders": orders, "limit": 40} for a, b, orders in asked],
        out,
    )
    return out


def states_of(run: Run, problems: Path, **landmarks: Path) -> pd.DataFrame:
    """The table of states of a run, some of whose landmarks are other checkpoints."""
    out = run["base"].parent / "diagnostics/states.parquet"
    compare_states(
        TASK, style="compact", landmarks={**run, **landmarks}, problems=problems, prompts=12,
        batch_size=8, out=out,
    )  # fmt: skip
    return states_table([out])


def weights_of(run: Run, **landmarks: Path) -> pd.DataFrame:
    """The table of weights of a run, some of whose landmarks are other checkpoints."""
    known = {**run, **landmarks}
    out = run["base"].parent / "diagnostics/weights.parquet"
    factors = {name: path.with_suffix(".safetensors") for name, path in known.items()}
    compare_weights(landmarks=known, factors=factors, out=out)
    return weights_table([out])


def value(table: pd.DataFrame, **wanted: object) -> float:
    """The value of the only row with these keys."""
    for column, key in wanted.items():
        table = table[table[column] == key]
    assert len(table) == 1
    return float(table["value"].iloc[0])


def test_rl_that_is_the_peak_has_come_back_to_it(run: Run, problems: Path) -> None:
    table = states_of(run, problems, rl_end=run["max_ood"])
    own = {"split": "ood", "pair": "max_ood:rl_end"}
    assert value(table, **own, metric="cka") == pytest.approx(1)
    assert value(table, **own, metric="jensen_shannon_1") == 0
    assert value(table, **CLAIMED, metric="cka") > 0.1
    assert value(table, **CLAIMED, metric="win_rate.jensen_shannon_1") == 1


def test_rl_that_changed_nothing_has_gained_nothing(run: Run, problems: Path) -> None:
    table = states_of(run, problems, rl_end=run["sft_end"])
    assert value(table, **CLAIMED, metric="cka") == 0
    assert value(table, **CLAIMED, metric="jensen_shannon_1") == 0


def test_the_divergence_from_the_base_is_of_id_prompts_and_0_for_the_base(
    run: Run, problems: Path
) -> None:
    table = states_of(run, problems, max_ood=run["base"])
    divergence = table[table["metric"] == "forward_kl"].set_index("pair")
    assert list(divergence.index) == ["base:max_ood", "base:sft_end", "base:rl_end"]
    assert set(divergence["split"]) == {"id"}
    assert divergence["value"]["base:max_ood"] == 0
    assert (divergence["value"][["base:sft_end", "base:rl_end"]] > 0.01).all()


def test_the_claim_of_hidden_states_finds_its_cells_and_each_row_has_a_key(
    run: Run, problems: Path
) -> None:
    table = states_of(run, problems)
    validate(table, SCHEMAS["states"], "states.csv")
    landmarks = pd.DataFrame([{"base_seed": 1, "seed": 2, "max_ood": 1, "sft_end": 2}])
    (claim,) = (claim for claim in load_claims() if claim.id == "C16")
    for part in claim.parts:
        assert isinstance(part.statistic, Cells)
        found = effects(part.statistic, {"states": table, "landmarks": landmarks})
        metric = part.statistic.terms[0].where["metric"]
        assert list(found.runs["effect"]) == [value(table, **CLAIMED, metric=metric)]
    assert set(table["fold"]) == {"test"} and len(table) < 300


def test_states_are_the_same_bytes_again(run: Run, problems: Path) -> None:
    pd.testing.assert_frame_equal(states_of(run, problems), states_of(run, problems))


def test_prompts_are_of_the_test_fold_and_spread_over_number_sets(problems: Path) -> None:
    asked = suites(TASK, "compact", problems, 12)
    assert [suite.split for suite in asked] == ["id", "ood"]
    for suite in asked:
        assert len(suite.prompts) == len(set(suite.prompts)) == len(suite.answers) == 12
        assert len(set(suite.clusters)) > 6
    more = suites(TASK, "compact", problems, 20)
    assert set(asked[0].prompts) < set(more[0].prompts)


def test_a_suite_of_two_number_sets_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = [("id", 2), ("ood", 5)]
    write_problems(
        TASK,
        [{"split": split, "fold": "test", "orders": 1, "limit": limit} for split, limit in few],
        tmp_path / "problems.csv",
    )
    with caplog.at_level(logging.WARNING):
        asked = suites(TASK, "compact", tmp_path / "problems.csv", 20)
    assert [suite.split for suite in asked] == ["ood"]
    assert "suite id test: 2 prompts of 2 number sets" in caplog.text


def test_a_change_of_one_matrix_leaves_all_others_as_they_were(run: Run) -> None:
    table = weights_of(run)
    rl = table[(table["pair"] == "sft_end:rl_end") & (table["metric"] == "update_sparsity")]
    changed = rl[rl["against"] == "patient"].iloc[0]
    assert (changed["low"], changed["high"]) == (pytest.approx(0, abs=0.02), 1)
    assert changed["value"] == pytest.approx(13 / 14, abs=0.01)
    assert set(table["pair"]) == {"base:sft_end", "max_ood:sft_end", "sft_end:rl_end"}


def test_a_random_change_lies_where_the_closed_form_says(run: Run) -> None:
    table = weights_of(run)
    own = table[(table["pair"] == "base:sft_end") & (table["metric"] == "energy_off_principal")]
    shares = own.pivot(index="against", columns="fraction", values="value")
    gap = shares.loc["norm_null"] - shares.loc["random_change"]
    assert gap.abs().max() < 0.02
    # these checkpoints are unrelated, so half of the change takes the donor's own directions away
    assert (shares.loc["patient"] < shares.loc["random_change"] - 0.05).all()


def test_a_pair_that_is_one_checkpoint_is_left_out(run: Run) -> None:
    table = weights_of(run, max_ood=run["sft_end"])
    assert set(table["pair"]) == {"base:sft_end", "sft_end:rl_end"}


def test_the_table_of_weights_is_small_and_names_each_row_once(run: Run) -> None:
    table = weights_of(run)
    keys = ["base_seed", "seed", "pair", "against", "metric", "fraction"]
    assert not table.duplicated(keys).any()
    assert len(table) < 300
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_tables_of_no_run_have_their_columns() -> None:
    for table in (states_table([]), weights_table([])):
        assert table.empty and {"base_seed", "seed", "pair", "metric", "value"} <= set(table)
