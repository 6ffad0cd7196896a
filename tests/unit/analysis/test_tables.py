# SPDX-License-Identifier: MIT
"""Tables of a study small enough to be counted by hand."""

import re
from pathlib import Path

import pandas as pd
import pytest

from derotate.analysis.accuracy import (
    accuracy_by_step,
    episodes_by_step,
    errors_by_step,
    feedback_attempts,
    loss_by_step,
    picks,
    sampled_pass_at_k,
    stages,
)
from derotate.analysis.comparisons import controls_of
from derotate.analysis.contrasts import contrasts, surgery_plane
from derotate.analysis.rl_logs import advantages_by_start, budget, rl_first_update
from derotate.config.recipes import Band, Recipe
from derotate.files import tables as files
from derotate.files.atomic import atomic_write
from derotate.report.terminal_summary import summary
from derotate.tasks.general_points.answers import ErrorKind

TOP = Band(fraction=0.2)
RECIPES = (
    Recipe(name="values-top20", part="values", band=TOP),
    Recipe(name="directions-top20", part="directions", band=TOP),
    Recipe(name="rollback", part="rollback"),
    Recipe(name="interpolate-equal-norm", part="interpolate", match="norm:directions-top20"),
    Recipe(name="wrong-donor-top20", part="directions", band=TOP, donor="base"),
)


def checkpoint(correct: dict[str, str], seed: int | None = 1, **columns: object) -> pd.DataFrame:
    """Greedy rows of one checkpoint.

    `correct` has the verdicts by "split/fold", e.g. {"ood/test": "1100"}; pairs share a number set.
    """
    defaults = {
        "base_seed": 7, "seed": seed, "stage": "sft", "algorithm": "", "start": None, "step": 0,
        "donor": None, "patient": "", "recipe": "", "direction": "", "control": False,
        "decoding": "greedy", "attempt": 0, "loss": 0.5, "response": "",
    }  # fmt: skip
    rows = [
        {
            **defaults,
            **columns,
            "problem": f"{suite}-{i}",
            "split": suite.split("/")[0],
            "fold": suite.split("/")[1],
            "cluster": f"{suite}-{i // 2}",
            "correct": int(verdict),
            "kind": "correct" if verdict == "1" else "wrong_value",
        }
        for suite, verdicts in correct.items()
        for i, verdict in enumerate(verdicts)
    ]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(("seed", "start", "step", "donor"), "Int64"))


def suites(ood: str, ood_selection: str, train: str, id_test: str) -> dict[str, str]:
    return {
        "ood/test": ood,
        "ood/selection": ood_selection,
        "id/train": train,
        "id/test": id_test,
    }


@pytest.fixture
def rows() -> pd.DataFrame:
    """A base, two seeds with two SFT steps each, RL of seed 1 and the surgery of seed 1."""
    edit = {"stage": "surgery", "patient": "sft-500", "direction": "forward", "donor": 100}
    return pd.concat(
        [
            checkpoint(suites("10000000", "0000", "1000", "0000"), seed=None, stage="base"),
            checkpoint(suites("11110000", "1110", "1110", "1100"), step=100, loss=0.2),
            checkpoint(suites("11000000", "1000", "1111", "1000"), step=500, loss=0.1),
            checkpoint(suites("11100000", "1100", "1110", "1100"), seed=2, step=100, loss=0.2),
            checkpoint(suites("11000000", "1110", "1111", "1000"), seed=2, step=500, loss=0.3),
            checkpoint(suites("11001000", "0000", "1111", "0000"), stage="rl", algorithm="grpo",
                       start=500, step=30),
            checkpoint(suites("11111111", "0000", "1111", "0000"), stage="rl", algorithm="grpo",
                       start=500, step=10),
            checkpoint(suites("11000000", "0000", "1111", "1000"), **edit, recipe="values-top20"),
            checkpoint(suites("11110000", "0000", "1110", "1100"), **edit,
                       recipe="directions-top20"),
            checkpoint(suites("00000000", "0000", "0000", "0000"), **{**edit, "donor": 20},
                       recipe="directions-top20"),
            checkpoint(suites("11100000", "0000", "1110", "1100"), **edit, recipe="rollback",
                       control=True),
            checkpoint(suites("11110000", "0000", "1111", "1000"), **edit,
                       recipe="interpolate-equal-norm", control=True),
            checkpoint(suites("10000000", "0000", "1100", "1000"), **{**edit, "donor": 0},
                       recipe="wrong-donor-top20", control=True),
        ],
        ignore_index=True,
    )  # fmt: skip


@pytest.fixture
def landmarks() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "base_seed": [7, 7],
            "seed": [1, 2],
            "max_ood": [100, 100],
            "sft_end": [500, 500],
            "rl_end_algorithm": ["grpo", None],
            "rl_end_start": pd.array([500, None], dtype="Int64"),
            "rl_end_step": pd.array([30, None], dtype="Int64"),
        }
    )


def one(table: pd.DataFrame, **wanted: object) -> pd.Series:
    """The only row with these values."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_accuracy_is_the_share_of_correct_greedy_answers(rows: pd.DataFrame) -> None:
    table = accuracy_by_step(rows)
    ood = table[(table["split"] == "ood") & (table["fold"] == "test")]
    assert one(ood, seed="1", step=100)["accuracy"] == 50
    assert one(ood, seed="2", step=100)["accuracy"] == 37.5
    pooled = one(ood, seed="all", step=100)
    assert (pooled["accuracy"], pooled["n"], pooled["clusters"], pooled["seeds"]) == (
        43.75,
        16,
        4,
        2,
    )
    assert pooled["low"] < 43.75 < pooled["high"]


def test_base_is_step_0_of_every_seed(rows: pd.DataFrame) -> None:
    table = accuracy_by_step(rows)
    base = table[(table["stage"] == "base") & (table["split"] == "ood") & (table["fold"] == "test")]
    assert list(base["seed"]) == ["1", "2", "all"]
    assert set(base["step"]) == {0}
    assert set(base["accuracy"]) == {12.5}
    assert set(base["n"]) == {8}


def test_rl_shows_its_last_update_at_its_start(rows: pd.DataFrame) -> None:
    table = accuracy_by_step(rows)
    result = one(table, seed="1", stage="rl", split="ood", fold="test")
    assert (result["step"], result["update"], result["accuracy"]) == (500, 30, 37.5)


def test_samples_do_not_count_for_accuracy(rows: pd.DataFrame) -> None:
    sampled = rows.assign(decoding="sample", correct=1)
    extra = pd.concat([rows, sampled], ignore_index=True)
    pd.testing.assert_frame_equal(accuracy_by_step(extra), accuracy_by_step(rows))


def test_error_kinds_share_out_every_answer(rows: pd.DataFrame) -> None:
    table = errors_by_step(rows, ErrorKind)
    cell = table[(table["seed"] == "1") & (table["step"] == 100) & (table["split"] == "ood")]
    cell = cell[cell["fold"] == "test"].set_index("kind")["share"]
    assert cell.to_dict() == {
        "correct": 50, "wrong_value": 50, "wrong_numbers": 0, "id_rule_applied": 0, "unparsable": 0,
    }  # fmt: skip


def test_each_criterion_picks_its_step_and_pays_its_regret(rows: pd.DataFrame) -> None:
    table = picks(loss_by_step(rows), accuracy_by_step(rows))
    first = table[table["seed"] == "1"]
    by_loss = one(first, criterion="lowest loss", split="id", fold="test")
    assert (by_loss["step"], by_loss["accuracy"], by_loss["regret"]) == (500, 25, 25)
    by_score = one(first, criterion="highest accuracy", split="ood")
    assert (by_score["step"], by_score["best_step"], by_score["regret"]) == (100, 100, 0)
    second = table[table["seed"] == "2"]
    assert one(second, criterion="highest accuracy", split="ood")["step"] == 500
    assert one(second, criterion="lowest loss", split="id", fold="test")["step"] == 100
    assert set(table[table["criterion"] == "last step"]["step"]) == {500}


def test_stages_follow_each_seeds_landmarks(rows: pd.DataFrame, landmarks: pd.DataFrame) -> None:
    landmarks["max_ood"] = [100, 500]
    table = stages(rows, landmarks)
    ood = table[(table["split"] == "ood") & (table["fold"] == "test")]
    peak = one(ood, seed="all", landmark="max_ood")
    assert peak["checkpoint"] == "sft-100 sft-500"
    assert peak["accuracy"] == (50 + 25) / 2
    base = one(ood, seed="all", landmark="base")
    assert (base["n"], base["seeds"]) == (8, 0)
    assert list(ood[ood["seed"] == "1"]["landmark"]) == ["base", "max_ood", "sft_end", "rl_end"]
    assert "rl_end" not in set(ood[ood["seed"] == "2"]["landmark"])


def test_contrasts_are_counted_by_hand(rows: pd.DataFrame, landmarks: pd.DataFrame) -> None:
    table = contrasts(rows, landmarks, RECIPES)
    ood = table[(table["split"] == "ood") & (table["fold"] == "test")]
    assert one(ood, contrast="forgot", seed="1")["points"] == 25
    assert one(ood, contrast="forgot", seed="2")["points"] == 12.5
    pooled = one(ood, contrast="forgot", seed="all")
    assert (pooled["points"], pooled["n"], pooled["clusters"], pooled["seeds"]) == (18.75, 16, 4, 2)
    assert one(ood, contrast="peak_over_base", seed="1")["points"] == 37.5
    assert one(ood, contrast="rl_gain", seed="1")["points"] == 12.5
    assert one(ood, contrast="rl_over_start", seed="1")["reference"] == "sft-500"
    rise = one(table, contrast="id_rise", seed="1", split="id", fold="train")
    assert rise["points"] == 75


def test_rl_stands_beside_its_controls_and_the_peak(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    own = {"ood/test": "11000000"}
    shuffled = checkpoint(own, stage="rl", algorithm="shuffled", start=500, step=30)
    more = checkpoint({"ood/test": "10000000"}, step=530, loss=9.0)
    oracle = checkpoint({"ood/test": "11111100"}, stage="oracle", step=200)
    every = contrasts(pd.concat([rows, shuffled, more, oracle]), landmarks)
    every = every[(every["seed"] == "1") & (every["split"] == "ood") & (every["fold"] == "test")]
    grpo = every[every["treatment"] == "rl-grpo-500"].set_index(["contrast", "reference"])
    assert grpo["points"].to_dict() == pytest.approx(
        {
            ("rl_over_start", "sft-500"): 12.5,
            ("rl_over_more_sft", "sft-530"): 25.0,
            ("rl_over_shuffled", "rl-shuffled-500"): 12.5,
            ("rl_over_peak", "max_ood"): -12.5,
        }
    )
    assert "rl_over_shuffled" not in set(every[every["treatment"] == "rl-shuffled-500"]["contrast"])
    arms = every[every["contrast"] == "arm_over_sft_end"].set_index("treatment")["points"]
    assert arms.to_dict() == pytest.approx({"oracle": 50.0})
    beside_peak = every[every["contrast"] == "arm_over_peak"].set_index("treatment")
    assert beside_peak["reference"].to_dict() == {"oracle": "max_ood"}
    assert beside_peak["points"].to_dict() == pytest.approx({"oracle": 25.0})


def test_a_step_picked_by_its_loss_is_compared_with_the_peak(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    every = contrasts(rows, landmarks)
    cost = every[(every["contrast"] == "over_loss_pick") & (every["fold"] == "test")]
    cost = cost[(cost["split"] == "ood") & (cost["seed"] != "all")].set_index(["seed", "reference"])
    # seed 1 has its lowest OOD loss at step 500, seed 2 at the peak; no ID selection was evaluated
    assert cost["points"].to_dict() == pytest.approx(
        {("1", "ood-selection"): 25.0, ("2", "ood-selection"): 0.0}
    )


def test_edits_stand_beside_their_controls(rows: pd.DataFrame, landmarks: pd.DataFrame) -> None:
    table = contrasts(rows, landmarks, RECIPES)
    ood = table[(table["split"] == "ood") & (table["fold"] == "test") & (table["seed"] == "1")]
    of = ood[ood["treatment"] == "directions-top20"].set_index("contrast")["points"]
    assert of.to_dict() == {
        "over_patient": 25, "over_donor": 0, "over_rollback": 12.5, "over_equal_norm": 0,
        "over_wrong_donor": 37.5,
    }  # fmt: skip


def test_values_that_change_nothing_are_equivalent_as_far_as_the_sample_tells(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    table = contrasts(rows, landmarks, RECIPES)
    values = one(table, contrast="over_patient", treatment="values-top20", seed="1", split="ood",
                 fold="test")  # fmt: skip
    assert (values["points"], values["standard_error"]) == (0, 0)
    assert not values["equivalent"]
    assert values["smallest_margin"] == pytest.approx(100 * (1 - 0.05 ** (1 / 4)))


def test_contrast_of_different_problems_is_refused(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    lost = (rows["stage"] == "sft") & (rows["step"] == 500) & (rows["problem"] == "ood/test-3")
    with pytest.raises(ValueError, match="seed 1: paired: 1 of 20 rows have no partner") as error:
        contrasts(rows[~lost], landmarks, RECIPES)
    assert "\n" not in str(error.value)


def test_surgery_plane_has_what_was_lost_and_gained(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    table = surgery_plane(contrasts(rows, landmarks, RECIPES), RECIPES)
    own = table[table["seed"] == "1"].set_index("recipe")
    assert own.loc["directions-top20", ["id_lost", "ood_gained", "role"]].tolist() == [
        25, 25, "recipe",
    ]  # fmt: skip
    assert own.loc["wrong-donor-top20", ["id_lost", "ood_gained", "role"]].tolist() == [
        50, -12.5, "control",
    ]  # fmt: skip
    assert own.loc["donor", ["id_lost", "ood_gained", "role"]].tolist() == [25, 25, "reference"]
    assert own.loc["rl_end", ["id_lost", "ood_gained"]].tolist() == [0, 12.5]
    assert (own["id_lost_low"] <= own["id_lost"]).all()
    assert (own["id_lost"] <= own["id_lost_high"]).all()


def test_reverse_surgery_is_seen_from_the_rl_result(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    reverse = checkpoint(suites("11000000", "0000", "1110", "0000"), stage="surgery", donor=500,
                         patient="rl-grpo-500", recipe="directions-top20",
                         direction="reverse")  # fmt: skip
    table = contrasts(pd.concat([rows, reverse], ignore_index=True), landmarks, RECIPES)
    edit = one(table, direction="reverse", contrast="over_patient", seed="1", split="ood",
               fold="test")  # fmt: skip
    assert edit["points"] == -12.5
    plane = surgery_plane(table, RECIPES)
    donor = one(plane, direction="reverse", recipe="donor", seed="1")
    assert donor["ood_gained"] == -12.5


def test_controls_edit_the_same_place() -> None:
    first_half = Recipe(name="half", part="directions", band=TOP, layers=(0, 1))
    assert controls_of(first_half, RECIPES) == {}
    assert controls_of(RECIPES[2], RECIPES) == {}
    assert controls_of(RECIPES[0], RECIPES) == {"over_rollback": "rollback"}


def test_without_rl_and_surgery_the_tables_are_just_shorter(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    sft_only = rows[rows["stage"].isin(["base", "sft"])]
    landmarks = landmarks.assign(rl_end_start=pd.NA, rl_end_step=pd.NA, rl_end_algorithm=None)
    table = contrasts(sft_only, landmarks, RECIPES)
    assert set(table["contrast"]) == {"peak_over_base", "forgot", "id_rise", "over_loss_pick"}
    assert surgery_plane(table, RECIPES).empty
    assert sampled_pass_at_k(sft_only).empty
    assert feedback_attempts(sft_only).empty
    assert episodes_by_step(sft_only[:0], lambda own: own).empty


def test_pass_at_k_averages_over_problems() -> None:
    attempts = [
        checkpoint({"ood/test": verdicts}, step=100, decoding="sample", attempt=i)
        for i, verdicts in enumerate(["1000", "1000", "1100", "1000"])
    ]
    table = sampled_pass_at_k(pd.concat(attempts, ignore_index=True))
    assert one(table, seed="1", k=1)["pass_at_k"] == pytest.approx(100 * (1 + 1 / 4) / 4)
    assert one(table, seed="1", k=4)["pass_at_k"] == 50
    assert 8 not in set(table["k"])


def test_attempts_stop_when_solved() -> None:
    first = checkpoint({"ood/test": "1000"}, step=100, decoding="feedback", attempt=0)
    second = checkpoint({"ood/test": "0100"}, step=100, decoding="feedback", attempt=1)
    second = second[second["problem"] != "ood/test-0"]  # solved at the first attempt
    table = feedback_attempts(pd.concat([first, second], ignore_index=True))
    assert one(table, seed="1", attempts=1)["solved"] == 25
    assert one(table, seed="1", attempts=2)["solved"] == 50


def test_episodes_are_counted_at_each_checkpoint_and_the_base_under_each_seed() -> None:
    base = checkpoint({"ood/test": "1100"}, seed=None, stage="base")
    first = checkpoint({"ood/test": "1111"}, seed=1, step=100)
    second = checkpoint({"ood/test": "1011"}, seed=2, step=100)

    def pairs_succeed(own: pd.DataFrame) -> pd.DataFrame:
        whole = own.groupby(["split", "fold", "cluster"])["correct"].min().rename("success")
        return whole.reset_index().rename(columns={"split": "rule"})

    table = episodes_by_step(pd.concat([base, first, second], ignore_index=True), pairs_succeed)
    assert one(table, seed="1", step=0)["success"] == 50
    assert one(table, seed="2", step=0)["success"] == 50
    assert one(table, seed="1", step=100)["success"] == 100
    assert one(table, seed="2", step=100)["success"] == 50
    pooled = one(table, seed="all", step=100)
    assert (pooled["success"], pooled["n"], pooled["seeds"]) == (75, 4, 2)
    assert set(table["attempts"]) == {1}


def test_an_episode_succeeds_where_each_step_is_right_within_the_attempts() -> None:
    greedy = checkpoint({"ood/test": "1000"}, step=100)
    first = checkpoint({"ood/test": "1000"}, step=100, decoding="feedback", attempt=0)
    second = checkpoint({"ood/test": "0100"}, step=100, decoding="feedback", attempt=1)
    second = second[second["problem"] != "ood/test-0"]  # solved at the first attempt

    def pairs_succeed(own: pd.DataFrame) -> pd.DataFrame:
        steps = own.groupby(["split", "fold", "cluster", "problem"])["correct"].max()
        whole = steps.groupby(["split", "fold", "cluster"]).min().rename("success")
        return whole.reset_index().rename(columns={"split": "rule"})

    table = episodes_by_step(pd.concat([greedy, first, second], ignore_index=True), pairs_succeed)
    assert one(table, seed="1", attempts=1)["success"] == 0
    assert one(table, seed="1", attempts=2)["success"] == 50


def test_first_update_tells_whether_rl_has_a_signal() -> None:
    log = pd.DataFrame(
        {
            "base_seed": 7, "seed": 1, "algorithm": "grpo", "start": [500, 500, 100],
            "update": [2, 1, 1], "correct_share": [0.5, 0.25, 0.3], "reward_mean": 0.0,
            "zero_variance_share": [0.9, 0.31, 0.5], "entropy": 1.0,
        }
    )  # fmt: skip
    table = rl_first_update(log).set_index("start")
    assert table["correct_share"].to_dict() == {100: 30, 500: 25}
    assert table.loc[500, "zero_variance_share"] == 31


def test_advantages_are_shares_of_the_first_update() -> None:
    bins = {"bin_low": [-1.0, 0.0, -1.0], "bin_high": [0.0, 1.0, 0.0]}
    table = advantages_by_start(
        pd.DataFrame({"base_seed": 7, "seed": 1, "algorithm": "grpo", "start": 500,
                      "update": [1, 1, 2], "count": [3, 1, 9], **bins})
    )  # fmt: skip
    assert list(table["share"]) == [75, 25]


def test_budget_adds_up_jobs_and_keeps_idle_stages() -> None:
    costs = pd.DataFrame(
        {"stage": ["sft", "sft", "other"], "rule": ["sft", "sft", "x"],
         "seconds": [60.0, 30.0, 6.0], "max_rss_mb": [500.0, 700.0, 1.0]}
    )  # fmt: skip
    table = budget(costs, {"base": 4.0, "sft": 2.5}).set_index("stage")
    assert list(table.index) == ["base", "sft", "other"]
    assert table.loc["sft"].to_dict() == {
        "budget_minutes": 2.5, "took_minutes": 1.5, "jobs": 2, "peak_memory_mb": 700,
    }  # fmt: skip
    assert (table.loc["base", "jobs"], table.loc["base", "took_minutes"]) == (0, 0)


def test_table_files_depend_on_values_alone(tmp_path: Path) -> None:
    table = pd.DataFrame({"step": pd.array([20, None], dtype="Int64"), "share": [1 / 3, None]})
    files.write(table, tmp_path / "a" / "t.csv")
    files.markdown(table, tmp_path / "t.md")
    assert (tmp_path / "a" / "t.csv").read_bytes() == b"step,share\n20,0.333333\n,\n"
    assert (tmp_path / "t.md").read_text().splitlines()[2].split() == ["|", "20", "|", "0.3", "|"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["t.csv"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("t.csv", "old")]


EDITS = pd.DataFrame(columns=["base_seed", "seed", "recipe", "matched"])
"""Of surgery_edits.csv: every control was matched."""


def test_sentences_are_no_stronger_than_their_interval(
    rows: pd.DataFrame, landmarks: pd.DataFrame
) -> None:
    said = summary(contrasts(rows, landmarks, RECIPES), stages(rows, landmarks), EDITS, RECIPES)
    sft = next(line for line in said if line.startswith("SFT: OOD accuracy"))
    # four number sets show little
    assert re.search(r"changed by -18\.8 \[.*\] points \(not significant\) from sft-", sft), sft
    values = next(line for line in said if "singular values" in line)
    assert "not shown equivalent" in values
    landmarks = landmarks.assign(rl_end_start=pd.NA)
    sft_only = rows[rows["stage"] != "rl"]
    silent = summary(
        contrasts(sft_only, landmarks, RECIPES), stages(sft_only, landmarks), EDITS, RECIPES
    )
    assert any(line.startswith("RL: no result") for line in silent)
