# SPDX-License-Identifier: MIT
"""Steps with the right history before them are what a rollout meets up to its first failure.

The rollout here walks: it keeps a crossing and a heading, obeys actions, and writes down what it
saw and did. It shares nothing with the problems but the streets and the directions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product

import pandas as pd
import pytest

from derotate.tasks.navigation.answers import grade
from derotate.tasks.navigation.compass import HEADINGS
from derotate.tasks.navigation.feedback import feedback
from derotate.tasks.navigation.problems import Problem, generate, steps_of
from derotate.tasks.navigation.prompts import compact_prompt, compact_response
from derotate.tasks.navigation.routes import Route, routes
from derotate.tasks.navigation.streets import Crossing, Network, networks
from derotate.tasks.navigation.success import COLUMNS, route_success

Policy = Callable[[str], str]
NETWORKS = {network.name: network for network in networks()}
AHEAD = {"slightly right": (1,), "right": (2, 3), "slightly left": (-1,), "left": (-2, -3)}


@dataclass
class Walker:
    """Someone in the streets with directions in hand; actions move them."""

    network: Network
    route: Route
    rule: str
    crossing: Crossing
    heading: str
    path: list[tuple[Crossing, str]]
    """Where the directions lead: each next crossing and the heading to it."""
    lines: list[str] = field(default_factory=list)

    @property
    def context(self) -> str:
        """What the walker would ask a model now."""
        directions = [
            f"{n} {leg.heading} {leg.landmark}" for n, leg in enumerate(self.route.legs, 1)
        ]
        last = f"at {self.seen} now {self.heading}"
        return " ; ".join([self.rule, *directions, *self.lines[-3:], last, "leg"])

    @property
    def seen(self) -> str:
        """The landmark at the crossing."""
        return self.network.landmark_at.get(self.crossing, "none") if self.lines else "start"

    def obey(self, action: str) -> bool:
        """Whether the action leads along the path; then it is done."""
        if not self.path:
            return action == "stop"
        verb, _, direction = action.partition(" ")
        end, wanted = self.path[0]
        steps = HEADINGS.index(wanted) - HEADINGS.index(self.heading)
        if verb == "turn" and self.rule == "relative":
            right = any((steps - ahead) % 8 == 0 for ahead in AHEAD.get(direction, ()))
        elif verb == "turn":
            right = direction == wanted and steps != 0
        else:
            right = verb == "forward" and steps == 0
        if right:
            self.lines.append(f"at {self.seen} {action}")
            self.crossing, self.heading, self.path = end, wanted, self.path[1:]
        return right


def walker(network: Network, route: Route, rule: str) -> Walker:
    for start in product(range(5), range(5)):
        crossing, path, legs, places = start, [], list(route.legs), ["start"]
        while legs and crossing is not None:
            wanted = legs[0].heading
            crossing = network.exits[crossing].get(wanted)
            if crossing is not None:
                path.append((crossing, wanted))
                places.append(network.landmark_at.get(crossing, "none"))
                legs = legs[1:] if places[-1] == legs[0].landmark else legs
        if tuple(places) == route.places:
            return Walker(network, route, rule, start, route.start, path)
    raise AssertionError("no crossing from which the route can be walked")


def policy(skill: float, prompts: dict[str, Problem]) -> Policy:
    """Right with a chance of `skill`, drawn anew for each context; else one of two others."""

    def respond(context: str) -> str:
        digest = sha256(context.encode()).digest()
        problem = next(p for prompt, p in prompts.items() if context.startswith(prompt))
        if digest[0] < 256 * skill:
            return compact_response(problem)
        return compact_response(problem, "forward" if digest[1] % 2 else "turn north")

    return respond


def rolled_out(walk: Walker, respond: Policy, steps: list[Problem], attempts: int) -> list[bool]:
    """Whether each step that is reached was taken; the episode ends at the first that was not."""
    taken: list[bool] = []
    for problem in steps:
        context = walk.context
        assert context == compact_prompt(problem)
        done = False
        for _ in range(attempts):
            response = respond(context)
            done = walk.obey(response.rpartition(" ; ")[2])
            if done:
                break
            context += f" {response} {feedback(problem, grade(problem, response))}"
        taken.append(done)
        if not done:
            break
    return taken


def asked_alone(respond: Policy, steps: list[Problem], attempts: int) -> list[dict[str, object]]:
    """Rows as an evaluation with attempts writes them, of every step by itself."""
    rows = []
    for problem in steps:
        context = compact_prompt(problem)
        for attempt in range(attempts):
            response = respond(context)
            verdict = grade(problem, response)
            rows.append(row(problem, int(verdict.correct), "feedback", attempt))
            if verdict.correct:
                break
            context += f" {response} {feedback(problem, verdict)}"
    return rows


def row(
    problem: Problem, correct: int, decoding: str = "greedy", attempt: int = 0
) -> dict[str, object]:
    return {
        "problem": problem.name,
        "split": problem.split,
        "fold": problem.fold,
        "cluster": problem.cluster,
        "decoding": decoding,
        "attempt": attempt,
        "correct": correct,
    }


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("splits", [("id",), ("ood", "ood_straight")])
def test_steps_asked_alone_equal_a_rollout_up_to_its_first_failure(
    splits: tuple[str, ...], attempts: int
) -> None:
    outcomes = set()
    for name in list(NETWORKS)[:60]:
        steps = [step for split in splits for step in steps_of(split, name, 2)]
        steps.sort(key=lambda step: len(step.places))
        respond = policy(0.8, {compact_prompt(step): step for step in steps})
        walk = walker(NETWORKS[name], routes()[name][2], steps[0].rule)
        taken = rolled_out(walk, respond, steps, attempts)
        (found,) = route_success(pd.DataFrame(asked_alone(respond, steps, attempts))).to_dict(
            "records"
        )
        assert found["success"] == all(taken)
        assert found["reached"] == len(taken)
        assert found["passed"] == sum(taken)
        assert (found["cluster"], found["route"]) == (name, f"{name}-2")
        outcomes.add((found["success"], found["reached"] == found["steps"]))
    # successes, failures on the way and failures at the last step all occurred
    assert outcomes == {(1, True), (0, False), (0, True)}


def test_a_route_succeeds_where_every_step_is_right() -> None:
    steps = [*generate("ood", 1, seed=0), *generate("ood_straight", 1, seed=0)]
    success = route_success(pd.DataFrame([row(step, 1) for step in steps]))
    assert tuple(success.columns) == COLUMNS
    assert len(success) == 1000
    assert set(success["rule"]) == {"ood"}
    assert (success["success"] == 1).all()
    assert (success["passed"] == success["steps"]).all()
    assert success["steps"].sum() == len(steps)

    # the ID habit: every turn is wrong, and the first step of a route is one
    habit = route_success(pd.DataFrame([row(step, int(step.wanted is None)) for step in steps]))
    assert (habit["success"] == 0).all()
    assert (habit["reached"] == 1).all()
    assert (habit["passed"] == 0).all()


def test_routes_that_were_not_asked_whole_are_left_out() -> None:
    first = [row(step, 1) for step in steps_of("id", "n0000", 0)]
    second = [row(step, 1) for step in steps_of("id", "n0001", 0)][:-1]
    found = route_success(pd.DataFrame([*first, *second]))
    assert list(found["route"]) == ["n0000-0"]
    # the turns alone are no route, be it of one rule or the other
    for split in ("ood", "id_turns"):
        turns = [row(step, 1) for step in steps_of(split, "n0000", 0)]
        assert route_success(pd.DataFrame(turns)).empty


def test_independent_samples_are_independent_routes() -> None:
    steps = steps_of("id", "n0000", 0)
    rows = [row(step, 1) for step in steps]
    rows += [row(step, 1, "sample", 0) for step in steps]
    rows += [row(step, int(i > 1), "sample", 1) for i, step in enumerate(steps)]
    found = route_success(pd.DataFrame(rows))
    assert list(found[["decoding", "draw", "success", "passed"]].itertuples(index=False)) == [
        ("greedy", 0, 1, len(steps)),
        ("sample", 0, 1, len(steps)),
        ("sample", 1, 0, 0),
    ]


def test_rows_of_another_task_are_refused_in_one_line() -> None:
    step = row(steps_of("id", "n0000", 0)[0], 1)
    with pytest.raises(ValueError, match="problem 'id-3-3-8-8-0': expected a step like"):
        route_success(pd.DataFrame([{**step, "problem": "id-3-3-8-8-0"}]))
