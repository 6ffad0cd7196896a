# SPDX-License-Identifier: MIT
"""Turn-level PPO: its formulas at known points, and two problems whose best policy is known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from environments import ToyEnvironment
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from derotate.config.model import TinyModel
from derotate.config.rl import Ppo
from derotate.config.training import Compute
from derotate.evaluation.evaluate import Decoding, respond
from derotate.models.chat import pad_id
from derotate.models.checkpoint import load, save
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.training import ppo
from derotate.training.ppo_losses import clipped_policy_loss, clipped_value_loss, gae, normalise
from derotate.training.ppo_policy import Policy
from derotate.training.rl_job import RlJob
from derotate.training.rollout import collate

TINY = TinyModel(hidden_size=32, intermediate_size=64, layers=1, heads=2)
GREEDY = Decoding(max_new_tokens=1, batch_size=8)
units = st.floats(min_value=0, max_value=1)
numbers = st.floats(min_value=-5, max_value=5)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer(("a", "b", "x", "y", "guess", "hint"))
    directory = tmp_path_factory.mktemp("checkpoint") / "start"
    save(tiny_model(TINY, tokenizer, seed=1), tokenizer, directory)
    return directory


def run(
    start: Path,
    folder: Path,
    environment: ToyEnvironment,
    settings: Ppo,
    seed: int = 3,
) -> list[dict[str, str]]:
    """Rows of the log of a run that leaves its last checkpoint in `folder`/end."""
    ppo.train(
        RlJob(
            environment=environment,
            start=start,
            checkpoints={settings.updates: folder / "end"},
            log=folder / "log.csv",
            settings=settings,
            max_new_tokens=1,
            seed=seed,
        )
    )
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def greedy(directory: Path, contexts: list[str]) -> list[str]:
    model, tokenizer = load(directory)
    return respond(model, tokenizer, contexts, GREEDY)


def exact(problem: int, response: str) -> float:
    """Problem 0 is solved by x, problem 1 by y."""
    return float(response == "xy"[problem])


def hint(problem: int, response: str) -> str | None:
    """Tell the solution after a wrong response."""
    solution = "xy"[problem]
    return None if response == solution else f"hint {solution}"


BANDIT = ToyEnvironment(("a", "b"), exact, correct_reward=1.0)
HINTED = ToyEnvironment(("guess", "guess"), exact, hint, correct_reward=1.0)
"""The prompt does not tell the solution; the feedback on a wrong guess does."""


def test_gae_of_two_attempts_worked_by_hand() -> None:
    # d1 = 5 - 2 = 3; d0 = -1 + 0.9 * 2 - 1 = -0.2; A0 = -0.2 + 0.9 * 0.95 * 3 = 2.365
    advantages = gae(torch.tensor([-1.0, 5.0]), torch.tensor([1.0, 2.0]), 0.9, 0.95)
    torch.testing.assert_close(advantages, torch.tensor([2.365, 3.0]))


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), units, units)
def test_gae_is_the_discounted_sum_of_temporal_differences(
    steps: list[tuple[float, float]], discount: float, trace: float
) -> None:
    rewards, values = torch.tensor(steps, dtype=torch.float64).T
    following = torch.cat([values[1:], torch.zeros(1)])
    errors = rewards + discount * following - values
    expected = [
        sum((discount * trace) ** (later - t) * errors[later] for later in range(t, len(steps)))
        for t in range(len(steps))
    ]
    actual = gae(rewards, values, discount, trace)
    torch.testing.assert_close(actual, torch.stack([torch.as_tensor(e) for e in expected]))


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), units)
def test_with_a_trace_of_one_the_advantage_is_return_minus_value(
    steps: list[tuple[float, float]], discount: float
) -> None:
    rewards, values = torch.tensor(steps, dtype=torch.float64).T
    returns = [
        sum(discount ** (later - t) * rewards[later] for later in range(t, len(steps)))
        for t in range(len(steps))
    ]
    torch.testing.assert_close(
        gae(rewards, values, discount, 1.0) + values,
        torch.stack([torch.as_tensor(r) for r in returns]),
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [
        (1.0, 2.0, -2.0, True),
        (1.5, 2.0, -2.2, False),  # gained enough: clamped at 1 + clip
        (0.5, 2.0, -1.0, True),  # a good action that got rarer is still pulled back
        (0.5, -2.0, 1.8, False),  # lost enough: clamped at 1 - clip
        (1.5, -2.0, 3.0, True),  # a bad action that got likelier is still pushed down
    ],
)
def test_the_clipped_policy_loss(ratio: float, advantage: float, loss: float, moves: bool) -> None:
    log_probs = torch.tensor([ratio]).log().requires_grad_()
    value = clipped_policy_loss(log_probs, torch.zeros(1), torch.tensor([advantage]), 0.1)
    value.sum().backward()
    assert value.item() == pytest.approx(loss)
    assert bool(log_probs.grad.any()) is moves


@pytest.mark.parametrize(
    ("value", "target", "loss", "moves"),
    [
        (0.05, 1.0, 0.5 * 0.95**2, True),
        (0.5, 1.0, 0.5 * 0.9**2, False),  # moved far enough towards the return in this update
        (0.5, 0.0, 0.5 * 0.5**2, True),  # moved away from the return: the whole error counts
    ],
)
def test_the_clipped_value_loss(value: float, target: float, loss: float, moves: bool) -> None:
    values = torch.tensor([value], requires_grad=True)
    result = clipped_value_loss(values, torch.zeros(1), torch.tensor([target]), 0.1)
    result.sum().backward()
    assert result.item() == pytest.approx(loss)
    assert bool(values.grad.any()) is moves


def test_normalised_advantages_have_mean_zero_and_deviation_one() -> None:
    advantages = normalise(torch.tensor([5.0, -1.0, -1.0, -3.0]))
    assert advantages.mean().item() == pytest.approx(0, abs=1e-6)
    assert advantages.std(correction=0).item() == pytest.approx(1)
    assert not normalise(torch.full((4,), 2.0)).any()


def test_a_contextual_bandit_is_solved(start: Path, tmp_path: Path) -> None:
    settings = Ppo(temperature=1.0, learning_rate=2e-3, updates=26, prompts=64, epochs=4)
    rows = run(start, tmp_path, BANDIT, settings)
    assert greedy(tmp_path / "end", ["a", "b"]) == ["x", "y"]
    assert float(rows[0]["reward_mean"]) < 0.5
    assert float(rows[-1]["reward_mean"]) > 0.9
    assert float(rows[0]["kl_to_start"]) == pytest.approx(0, abs=1e-6)
    assert float(rows[-1]["kl_to_start"]) > float(rows[1]["kl_to_start"]) > 0
    assert float(rows[-1]["entropy"]) < float(rows[0]["entropy"])


def test_the_second_attempt_uses_the_feedback(start: Path, tmp_path: Path) -> None:
    settings = Ppo(temperature=1.0, learning_rate=2e-3, updates=30, prompts=64, attempts=2)
    rows = run(start, tmp_path, HINTED, settings)
    # A policy that reads the hint earns 1 in one response or 0 and 1 in two, each half of the time:
    # 2/3 a response. One that cannot read it guesses twice and earns at most 1/2.
    last = [float(row["reward_mean"]) for row in rows[-5:]]
    assert sum(last) / len(last) > 0.6
    contexts = ["guess y hint x", "guess x hint y"]
    assert greedy(tmp_path / "end", contexts) == ["x", "y"]


def test_only_unsolved_problems_are_tried_again(start: Path, tmp_path: Path) -> None:
    tried: list[int] = []

    def reward(problem: int, response: str) -> float:
        tried.append(problem)
        return 0.0

    def feedback(problem: int, response: str) -> str | None:
        return None if problem == 0 else "hint x"

    settings = Ppo(temperature=1.0, updates=1, prompts=2, attempts=3)
    rows = run(start, tmp_path, ToyEnvironment(("a", "b"), reward, feedback), settings)
    assert sorted(tried) == [0, 1, 1, 1]
    assert rows[0]["responses"] == "4"
    assert rows[0]["zero_variance_share"] == ""


def test_two_runs_with_one_seed_leave_the_same_bytes(start: Path, tmp_path: Path) -> None:
    settings = Ppo(
        temperature=1.0, learning_rate=1e-3, updates=3, prompts=8, attempts=2, minibatches=2
    )
    for name in ("one", "two"):
        run(start, tmp_path / name, HINTED, settings)
    for file in ("log.csv", "advantages.csv", "end/model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    run(start, tmp_path / "other", HINTED, settings, seed=4)
    assert (tmp_path / "other/log.csv").read_bytes() != (tmp_path / "one/log.csv").read_bytes()


def test_the_size_of_a_pass_is_no_part_of_the_result(start: Path, tmp_path: Path) -> None:
    settings = Ppo(temperature=1.0, learning_rate=1e-3, updates=3, prompts=14, epochs=2)
    whole = run(start, tmp_path / "whole", BANDIT, settings)
    split = settings.model_copy(update={"compute": Compute(micro_batch=4)})
    parts = run(start, tmp_path / "parts", BANDIT, split)
    for one, other in zip(whole, parts, strict=True):
        for column in ("reward_mean", "loss", "value_loss", "entropy", "kl_to_start"):
            assert float(one[column]) == pytest.approx(float(other[column]), rel=1e-3, abs=1e-5)


def test_bf16_products_stay_near_float32(start: Path, tmp_path: Path) -> None:
    settings = Ppo(temperature=1.0, learning_rate=1e-3, updates=2, prompts=14, epochs=2)
    whole = run(start, tmp_path / "whole", BANDIT, settings)
    compute = Compute(precision="bf16", gradient_checkpointing=True)
    half = settings.model_copy(update={"compute": compute})
    rounded = run(start, tmp_path / "rounded", BANDIT, half)
    for column in ("loss", "value_loss", "entropy"):
        exact, near = float(whole[0][column]), float(rounded[0][column])
        assert near == pytest.approx(exact, rel=0.02, abs=2e-3)
    assert rounded[0]["value_loss"] != whole[0]["value_loss"]
    # a step of the optimizer is lost in a bf16 weight
    weights = load(tmp_path / "rounded" / "end")[0].state_dict().values()
    assert any((weight != weight.bfloat16().float()).any() for weight in weights)


def test_layers_that_recompute_save_fewer_activations(start: Path) -> None:
    model, tokenizer = load(start)
    compute = Compute(gradient_checkpointing=True)
    policy = Policy(model, compute, torch.device("cpu"))
    contexts, responses = [[1, 5, 6]] * 8, [[8, 9, 2]] * 8
    batch = collate(contexts, responses, pad_id(tokenizer), policy.device)

    def backward() -> tuple[int, Tensor]:
        """Elements saved for the backward pass, and the gradient of the embedding."""
        saved: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            saved.append(tensor.numel())
            return tensor

        policy.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            total = policy(batch, 1.0).log_probs.sum()
        total.backward()
        return sum(saved), model.get_input_embeddings().weight.grad.clone()

    whole, gradient = backward()
    with policy.recompute_activations():
        fewer, same = backward()
    assert fewer < whole / 2
    torch.testing.assert_close(same, gradient)
    assert not any(module.training for module in policy.model.modules())


def test_a_run_prints_nothing_and_leaves_only_its_results(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(start, tmp_path, BANDIT, Ppo(temperature=1.0, updates=1, prompts=2))
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "advantages.csv", "end"}
    assert capsys.readouterr().out == ""
