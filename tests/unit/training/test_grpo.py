# SPDX-License-Identifier: MIT
"""GRPO: its logs, its seeds, and that it finds what is rewarded."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from environments import ToyEnvironment

from derotate.config.model import TinyModel
from derotate.config.rl import Grpo
from derotate.models.checkpoint import load, save
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.training import grpo, rl_log, rollout
from derotate.training.rl_job import RlJob

PROMPTS = ("a", "b b", "a b", "b a a")
TINY = TinyModel(hidden_size=32, intermediate_size=64, layers=2, heads=2)
SETTINGS = Grpo(learning_rate=1e-3, updates=3, prompts=2, group_size=6, temperature=1.0)
LEARNING = Grpo(learning_rate=3e-3, updates=25, prompts=4, group_size=8, temperature=1.0)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer(("a", "b", "x", "y"))
    directory = tmp_path_factory.mktemp("checkpoint") / "start"
    save(tiny_model(TINY, tokenizer, seed=1), tokenizer, directory)
    return directory


def wants_x(problem: int, response: str) -> float:
    return 5.0 if response.startswith("x") else -1.0


def run(
    start: Path,
    folder: Path,
    reward: Callable[[int, str], float] = wants_x,
    settings: Grpo = SETTINGS,
    seed: int = 7,
    shuffled: bool = False,
) -> list[dict[str, str]]:
    """Rows of the log of a run that leaves its last checkpoint in `folder`/end."""
    grpo.train(
        RlJob(
            environment=ToyEnvironment(PROMPTS, reward),
            start=start,
            checkpoints={settings.updates: folder / "end"},
            log=folder / "log.csv",
            settings=settings,
            max_new_tokens=4,
            seed=seed,
            shuffle_rewards=shuffled,
        )
    )
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load(directory)[0].state_dict()


def test_two_runs_with_one_seed_leave_the_same_bytes(start: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(start, tmp_path / name)
    for file in ("log.csv", "advantages.csv", "end/model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_run_leaves_its_tables_and_checkpoints_and_nothing_else(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run(start, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"log.csv", "advantages.csv", "end"}
    assert not list(elsewhere.iterdir())
    assert capsys.readouterr().out == ""


def test_the_policy_drifts_from_the_start_only_after_its_first_update(
    start: Path, tmp_path: Path
) -> None:
    rows = run(start, tmp_path)
    drift = [float(row["kl_to_start"]) for row in rows]
    assert drift[0] == pytest.approx(0, abs=1e-6)
    assert 0 < drift[1] < drift[2]
    # A random model is nearly indifferent between the 8 tokens of its vocabulary.
    assert float(rows[0]["entropy"]) == pytest.approx(torch.tensor(8.0).log().item(), abs=0.05)


def test_equal_rewards_teach_nothing(start: Path, tmp_path: Path) -> None:
    rows = run(start, tmp_path, reward=lambda index, response: -1.0)
    assert [row["zero_variance_share"] for row in rows] == ["1", "1", "1"]
    before, after = weights(start), weights(tmp_path / "end")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_samples_do_not_depend_on_how_the_run_goes_on(start: Path, tmp_path: Path) -> None:
    seen: dict[int, list[tuple[int, str]]] = {}
    for updates in (2, 3):
        rewarded: list[tuple[int, str]] = []

        def indifferent(problem: int, response: str, rewarded: list = rewarded) -> float:
            rewarded.append((problem, response))
            return 0.0

        settings = SETTINGS.model_copy(update={"updates": updates})
        run(start, tmp_path / str(updates), indifferent, settings)
        seen[updates] = rewarded
    a_run_of_two = seen[2]
    assert seen[3][: len(a_run_of_two)] == a_run_of_two
    responses = SETTINGS.prompts * SETTINGS.group_size
    assert a_run_of_two[:responses] != a_run_of_two[responses:]


def test_an_update_rewards_the_problems_of_its_seed(start: Path, tmp_path: Path) -> None:
    rewarded: list[int] = []

    def reward(problem: int, response: str) -> float:
        rewarded.append(problem)
        return 0.0

    run(start, tmp_path, reward, seed=11)
    expected = [
        problem
        for update in (1, 2, 3)
        for problem in rollout.problems_for_update(len(PROMPTS), SETTINGS.prompts, 11, update)
        for _ in range(SETTINGS.group_size)
    ]
    assert rewarded == expected


def test_the_size_of_a_pass_is_no_part_of_the_result(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(start, tmp_path / "whole")
    monkeypatch.setattr(rollout, "MICRO_BATCH_SIZE", 4)
    parts = run(start, tmp_path / "parts")
    for one, other in zip(whole, parts, strict=True):
        for column in ("reward_mean", "loss", "entropy", "kl_to_start", "response_length"):
            assert float(one[column]) == pytest.approx(float(other[column]), rel=1e-3, abs=1e-5)


def test_the_policy_finds_the_rewarded_word(start: Path, tmp_path: Path) -> None:
    rows = run(start, tmp_path, settings=LEARNING)
    assert float(rows[0]["correct_share"]) < 0.5
    assert float(rows[-1]["correct_share"]) > 0.9
    assert float(rows[-1]["reward_mean"]) > 4


def test_a_kl_term_holds_the_policy_near_the_start(start: Path, tmp_path: Path) -> None:
    drift = {}
    for coefficient in (0.0, 5.0):
        settings = Grpo(
            learning_rate=3e-3, updates=10, prompts=4, group_size=8, kl_coefficient=coefficient
        )
        rows = run(start, tmp_path / str(coefficient), settings=settings)
        drift[coefficient] = float(rows[-1]["kl_to_start"])
    assert drift[5.0] < drift[0.0] / 2


def test_a_checkpoint_beyond_the_last_update_is_refused(start: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"updates \[2, 9\], expected updates from 1 to 3"):
        RlJob(
            environment=ToyEnvironment(PROMPTS, wants_x),
            start=start,
            checkpoints={2: tmp_path / "2", 9: tmp_path / "9"},
            log=tmp_path / "log.csv",
            settings=SETTINGS,
            max_new_tokens=4,
            seed=1,
        )
    assert not list(tmp_path.iterdir())


def test_no_problem_comes_again_before_all_others_came() -> None:
    drawn = [
        problem
        for update in range(1, 8)
        for problem in rollout.problems_for_update(5, 3, seed=2, update=update)
    ]
    laps = [drawn[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(lap) == [0, 1, 2, 3, 4] for lap in laps)
    assert len({tuple(lap) for lap in laps}) > 1
    assert drawn[3:6] != rollout.problems_for_update(5, 3, seed=3, update=2)


def test_an_update_may_draw_more_problems_than_there_are() -> None:
    drawn = rollout.problems_for_update(3, 7, seed=0, update=1)
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]


def test_k3_is_the_kl_of_two_distributions_when_averaged_over_the_first() -> None:
    policy, start = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    exact = (policy * (policy / start).log()).sum()
    estimate = rollout.kl_k3(policy.log(), start.log())
    assert (estimate >= 0).all()
    assert (policy * estimate).sum() == pytest.approx(exact.item(), abs=1e-6)


def test_scores_are_those_of_the_full_forward_pass(start: Path) -> None:
    model, tokenizer = load(start)
    contexts, responses = [[1, 4], [1, 5, 5, 4]], [[6, 7, 2], [6, 2]]
    batch = rollout.collate(contexts, responses, tokenizer.pad_token_id, "cpu")
    scores = rollout.score_without_gradient(model, batch, temperature=0.5)
    for row, (context, response) in enumerate(zip(contexts, responses, strict=True)):
        with torch.no_grad():
            logits = model(torch.tensor([context + response])).logits[0] / 0.5
        expected = logits.log_softmax(-1)[len(context) - 1 : -1].gather(
            1, torch.tensor(response)[:, None]
        )[:, 0]
        torch.testing.assert_close(scores.log_probs[row, : len(response)], expected)
        assert not scores.log_probs[row, len(response) :].any()


def test_the_histogram_keeps_every_advantage() -> None:
    counts = rl_log.histogram([-9.0, -3.0, -1e-9, 0.0, 0.25, 2.99, 3.0, 40.0])
    assert len(counts) == 24
    assert sum(counts) == 8
    assert (counts[0], counts[12], counts[13], counts[-1]) == (2, 2, 1, 3)


def test_a_group_without_variance_earned_one_reward() -> None:
    assert rl_log.zero_variance_share([5, 5, -1, 5, -1, -1], group_size=2) == pytest.approx(2 / 3)


def test_shuffled_rewards_train_otherwise_and_the_log_shows_what_was_earned(
    start: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"updates": 1})
    true = run(start, tmp_path / "true", settings=settings)
    dealt = run(start, tmp_path / "dealt", settings=settings, shuffled=True)
    assert true[0]["reward_mean"] == dealt[0]["reward_mean"]
    assert true[0]["correct_share"] == dealt[0]["correct_share"]
    own, other = weights(tmp_path / "true/end"), weights(tmp_path / "dealt/end")
    assert any(not torch.equal(own[name], other[name]) for name in own)


def test_shuffled_rewards_teach_nothing(start: Path, tmp_path: Path) -> None:
    rows = run(start, tmp_path, settings=LEARNING, shuffled=True)
    assert float(rows[-1]["correct_share"]) < 0.6
