# SPDX-License-Identifier: MIT
"""Streets, routes, steps and folds: what must never leak, and exact sizes."""

import cmath
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import groupby, pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derotate.tasks.navigation.chance import chance
from derotate.tasks.navigation.compass import HEADINGS, SIDES, side_of, turn_between, wrapped
from derotate.tasks.navigation.problems import (
    CHANCE,
    FOLDS,
    SPLITS,
    Problem,
    fold_of,
    generate,
    steps_of,
)
from derotate.tasks.navigation.prompts import compact_prompt
from derotate.tasks.navigation.routes import ROUTES, Leg, Route, routes
from derotate.tasks.navigation.streets import Crossing, Network, networks

# On the complex plane with the real axis to the east: independent of degrees and of their wrapping.
ARROWS = {
    heading: cmath.rect(1, cmath.pi * (90 - 45 * i) / 180) for i, heading in enumerate(HEADINGS)
}
LEGS = (Leg("north", "cafe"), Leg("east", "bank"))


@cache
def every(split: str) -> list[Problem]:
    """All problems of a split."""
    return generate(split, ROUTES, seed=0)


def step(**changes: object) -> Problem:
    values: dict[str, object] = {
        "name": "x",
        "split": "id",
        "fold": "test",
        "network": "n0000",
        "start": "west",
        "legs": LEGS,
        "places": ("start", "none", "cafe"),
    }
    return Problem(**{**values, **changes})  # type: ignore[arg-type]


@given(degrees=st.integers(-10_000, 10_000))
def test_wrapping_keeps_the_angle(degrees: int) -> None:
    assert -180 < wrapped(degrees) <= 180
    assert (wrapped(degrees) - degrees) % 360 == 0


def test_the_turn_over_north_that_the_released_code_gets_wrong() -> None:
    # it subtracts without wrapping: 0 - 315 = -315 would be to the left
    assert turn_between("northwest", "north") == 45
    assert side_of("northwest", "north") == "slightly right"
    assert side_of("north", "northwest") == "slightly left"
    assert wrapped(10 - 350) == 20


@pytest.mark.parametrize(("now", "wanted"), list(product(HEADINGS, HEADINGS)))
def test_sides_agree_with_the_complex_plane(now: str, wanted: str) -> None:
    degrees = round(cmath.phase(ARROWS[wanted] / ARROWS[now]) * 180 / cmath.pi)
    if degrees in (0, 180, -180):
        with pytest.raises(ValueError, match="on no side, expected neither 0 nor 180"):
            side_of(now, wanted)
        return
    expected = ("slightly " if abs(degrees) <= 45 else "") + ("left" if degrees > 0 else "right")
    assert side_of(now, wanted) == expected
    assert expected in SIDES


def test_networks_are_connected_maps_that_could_be_drawn() -> None:
    for network in networks():
        assert network.connected
        words, crossings = zip(*network.landmarks, strict=True)
        assert len(set(words)) == len(set(crossings)) == 17
        assert len(set(network.streets)) == len(network.streets)
        # no two streets meet but at a crossing: the middles of diagonals differ
        assert len({(a + c, b + d) for (a, b), (c, d) in network.streets}) == len(network.streets)


def test_a_turned_or_mirrored_network_is_the_same() -> None:
    def moved(network: Network, symmetry: int) -> Network:
        def move(crossing: Crossing) -> Crossing:
            point = complex(*crossing) - (2 + 2j)
            point = (point.conjugate() if symmetry >= 4 else point) * 1j ** (symmetry % 4)
            return round(point.real) + 2, round(point.imag) + 2

        streets = [(min(a, b), max(a, b)) for a, b in (map(move, s) for s in network.streets)]
        landmarks = tuple((word, move(crossing)) for word, crossing in network.landmarks)
        return Network(network.name, tuple(sorted(streets)), landmarks)

    for network in networks()[:50]:
        assert {moved(network, symmetry).canonical for symmetry in range(8)} == {network.canonical}
    assert len({network.canonical for network in networks()}) == 1000


def way(network: Network, route: Route) -> list[Crossing]:
    """The crossings that the directions lead over, from where they can begin."""

    def walked(crossing: Crossing) -> list[Crossing] | None:
        way, landmarks = [crossing], iter(route.places[1:])
        for leg in route.legs:
            seen = None
            while seen != leg.landmark:
                arrow = ARROWS[leg.heading]
                x, y = way[-1]
                end = (x + round(arrow.real * 1.2), y + round(arrow.imag * 1.2))
                if (min(way[-1], end), max(way[-1], end)) not in streets:
                    return None
                way.append(end)
                seen = next(landmarks)
                if seen != marked.get(end, "none"):
                    return None
        return way

    streets, marked = set(network.streets), {c: word for word, c in network.landmarks}
    (found,) = filter(None, map(walked, product(range(5), range(5))))
    return found


def test_routes_follow_streets_and_see_what_stands_there() -> None:
    for network in networks():
        for route in routes()[network.name]:
            crossings = way(network, route)
            assert len(crossings) == len(set(crossings)) == len(route.places)


def test_routes_have_three_or_four_legs_of_at_most_three_blocks() -> None:
    found = [route for some in routes().values() for route in some]
    assert Counter(len(route.legs) for route in found).keys() == {3, 4}
    for route in found:
        headings = [route.start, *(leg.heading for leg in route.legs)]
        assert all(turn_between(now, wanted) % 180 for now, wanted in pairwise(headings))
        ends = [
            i for i, place in enumerate(route.places) if place in {g.landmark for g in route.legs}
        ]
        assert all(1 <= end - begin <= 3 for begin, end in pairwise([0, *ends]))
        assert route.places[-1] == route.legs[-1].landmark


def test_fold_sizes_are_the_exact_shares() -> None:
    folds = Counter(fold_of(network.name) for network in networks())
    assert folds == {"train": 500, "rl": 200, "trace": 50, "selection": 100, "test": 150}
    assert folds.keys() == set(FOLDS)


def test_folds_are_pinned() -> None:
    # A change here moves problems between training and test: results are no longer comparable.
    assert [fold_of(f"n{i:04}") for i in range(8)] == [
        "train",
        "rl",
        "test",
        "test",
        "train",
        "train",
        "train",
        "rl",
    ]
    assert compact_prompt(steps_of("id", "n0000", 0)[0]) == (
        "absolute ; 1 north cinema ; 2 northwest chapel ; 3 west harbour ; at start now east ; leg"
    )


NUMBERS = {heading: i for i, heading in enumerate(HEADINGS)}


def normal(prompt: str) -> str:
    """A compact prompt without its rule, turned so that its first leg goes north, mirrored or not.

    Sides in a history follow from the headings, so they are left out.
    """
    words = prompt.replace("slightly ", "").replace(" left", "").replace(" right", "").split()[1:]
    first = NUMBERS[words[2]]
    turned, mirrored = (
        {word: HEADINGS[sign * (number - first) % 8] for word, number in NUMBERS.items()}
        for sign in (1, -1)
    )
    return min(" ".join(names.get(word, word) for word in words) for names in (turned, mirrored))


@pytest.mark.parametrize("split", SPLITS)
def test_no_two_problems_of_a_split_are_the_same_up_to_symmetry(split: str) -> None:
    problems = every(split)
    assert len(problems) > 10_000
    assert len({problem.name for problem in problems}) == len(problems)
    assert len({normal(compact_prompt(problem)) for problem in problems}) == len(problems)


def test_no_directions_and_no_network_are_in_two_folds_whatever_the_split() -> None:
    folds: dict[str, set[str]] = {}
    for split in SPLITS:
        for problem in every(split):
            directions = " ; ".join(
                f"{n} {leg.heading} {leg.landmark}" for n, leg in enumerate(problem.legs)
            )
            for unit in (problem.cluster, normal(f"rule ; {directions}")):
                folds.setdefault(unit, set()).add(problem.fold)
    assert len(folds) == 1000 + 1000 * ROUTES
    assert all(len(found) == 1 for found in folds.values())


def test_the_steps_of_each_split() -> None:
    by_split = {split: generate(split, 2, seed=3) for split in SPLITS}
    turns = [p for p in by_split["id"] if p.action.startswith("turn")]
    assert [replace(p, split="id_turns") for p in turns] == [
        replace(p, name=p.name.replace("id_turns", "id")) for p in by_split["id_turns"]
    ]
    assert all(p.action.removeprefix("turn ") in HEADINGS for p in by_split["id_turns"])
    assert all(p.action.removeprefix("turn ") in SIDES for p in by_split["ood"])
    assert all(p.action in ("forward", "stop") for p in by_split["ood_straight"])
    assert len(by_split["ood"]) + len(by_split["ood_straight"]) == len(by_split["id"])
    # what an ID habit would score on all steps of the OOD rule
    assert round(100 * len(every("ood_straight")) / len(every("id"))) == 42


def test_the_two_ood_splits_together_hold_whole_routes() -> None:
    steps = [*generate("ood", 1, seed=0), *generate("ood_straight", 1, seed=0)]
    steps.sort(key=lambda problem: (problem.network, len(problem.places)))
    for _, route in groupby(steps, key=lambda problem: problem.network):
        found = list(route)
        assert [len(problem.places) for problem in found] == list(range(1, len(found) + 1))
        assert found[-1].action == "stop"
        assert [problem.action for problem in found[:-1]] == [a for _, a in found[-1].history]


def test_the_share_of_the_most_frequent_action() -> None:
    for split in SPLITS:
        problems = every(split)
        ((_, count),) = Counter(problem.action for problem in problems).most_common(1)
        assert 0 <= CHANCE[split] - count / len(problems) < 0.01


def test_each_side_is_about_as_frequent_as_the_others() -> None:
    sides = Counter(problem.action for problem in every("ood"))
    assert len(sides) == 4
    assert max(sides.values()) < 1.25 * min(sides.values())


def test_a_split_is_a_function_of_its_seed() -> None:
    assert generate("ood", 2, 4) == generate("ood", 2, 4)
    assert generate("ood", 2, 4) != generate("ood", 2, 5)
    # more routes keep the first ones: a larger study contains the smaller one
    assert set(generate("ood", 2, 4)) < set(generate("ood", 3, 4))
    # and the splits ask the same routes
    assert {p.name[4:] for p in generate("ood", 1, 4)} < {p.name[3:] for p in generate("id", 1, 4)}


def test_what_follows_from_the_directions_and_the_places() -> None:
    walk = [step(places=("start", "none", "cafe", "zoo", "bank")[:n]) for n in range(1, 6)]
    assert [p.action for p in walk] == ["turn north", "forward", "turn east", "forward", "stop"]
    assert [(p.leg, p.now, p.wanted) for p in walk] == [
        (0, "west", "north"),
        (1, "north", None),
        (1, "north", "east"),
        (2, "east", None),
        (2, "east", None),
    ]
    assert [replace(p, split="ood").action for p in walk] == [
        *("turn right", "forward", "turn right", "forward", "stop")
    ]
    assert walk[2].history == (("start", "turn north"), ("none", "forward"))


@pytest.mark.parametrize("split", SPLITS)
def test_a_problem_survives_csv(split: str) -> None:
    for problem in generate(split, 1, seed=0):
        row = {key: str(value) for key, value in problem.to_row().items()}
        assert Problem.from_row({**row, "other": "x"}) == problem


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "odd"}, "split 'odd': expected one of id, ood"),
        ({"start": "up"}, "heading 'up': expected one of north, northeast"),
        ({"start": "south"}, "from south to north: on no side"),
        ({"legs": (Leg("north", "pub"),)}, "place 'pub': expected a landmark or 'none'"),
        ({"legs": (Leg("north", "none"),)}, "expected at least one, each to its own landmark"),
        ({"legs": ()}, "expected at least one, each to its own landmark"),
        (
            {"legs": (Leg("north", "cafe"), Leg("east", "cafe"))},
            "expected at least one, each to its own landmark",
        ),
        ({"places": ()}, "expected 'start' first"),
        ({"places": ("cafe",)}, "expected 'start' first"),
        ({"places": ("start", "cafe", "bank", "zoo")}, "and 'bank', where the last leg ends, now"),
        ({"places": ("start", "zoo", "none", "none")}, "expected 'cafe', where leg 1 ends, after"),
    ],
)
def test_what_is_no_step_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        step(**changes)
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="split 'odd': expected one of id, ood"):
        generate("odd", 1, 0)
    for orders in (0, 7):
        with pytest.raises(ValueError, match=f"orders {orders}: expected 1 to 6"):
            generate("id", orders, 0)
    with pytest.raises(ValueError, match="network 'n9': expected one of n0000, n0001"):
        fold_of("n9")
    with pytest.raises(ValueError, match="expected pairs like 'north cafe, east bank'"):
        Problem.from_row({**step().to_row(), "legs": "north, east bank"})
    with pytest.raises(KeyError):
        Problem.from_row({"name": "x"})


def test_chance_is_what_the_most_frequent_action_scores() -> None:
    for split in SPLITS:
        found = chance(every(split))
        share = sum(p.action == found.answer for p in every(split)) / len(every(split))
        assert found.constant == share
        assert 0 <= CHANCE[split] - share < 0.01
