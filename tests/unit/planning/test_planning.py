# SPDX-License-Identifier: MIT
"""A plan is the best there is, keeps what cells need of each other, and is what its config runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain, combinations, product
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from derotate.analysis.table_schemas.reading import read_tables
from derotate.claims.cells import MissingCells, Tables
from derotate.claims.effects import effects
from derotate.claims.hypothesis_tests import evaluate_part
from derotate.claims.schema import Claim, load_claims
from derotate.claims.spectral_statistics import Spectral
from derotate.claims.step_statistics import Window
from derotate.config.schema import Config, load
from derotate.planning.choose import HOUR, build_problem, choose, unit_cells
from derotate.planning.claims_served import Goal, Need, goals
from derotate.planning.costs import Prices, devices, problem_counts, read_prices, work_of
from derotate.planning.report import check
from derotate.planning.restrict import restricted, to_yaml
from derotate.planning.solve import (
    Choice,
    Cost,
    PlanError,
    Problem,
    cost,
    served,
    solve,
    value,
    weight,
    whole_grid,
)
from derotate.planning.tables import cells, claims, stages
from derotate.planning.units import grid, spread, units
from derotate.stages.data import write_problems
from derotate.study import record
from derotate.study.paths import Run

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
NOTHING = Prices({})


def study(name: str) -> Config:
    return load(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def tiny() -> Config:
    return study("tiny")


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 2 x 2 runs of up to five units, needing earlier ones, and up to three claims."""
    count = draw(st.integers(1, 5))
    names = [f"u{number}" for number in range(count)]
    small = st.integers(0, 6)
    choices = tuple(
        Choice(
            name,
            # few different costs, so that some units are interchangeable
            Cost(draw(st.integers(0, 1)), draw(st.integers(0, 1)), draw(st.integers(1, 3))),
            cells=draw(st.integers(1, 2)),
            needs=tuple(draw(st.sets(st.sampled_from(names[:place]), max_size=1)) if place else ()),
        )
        for place, name in enumerate(names)
    )
    wanted = st.sets(st.sampled_from(names), min_size=1)
    claims = tuple(
        Goal(f"C{number}", draw(st.sampled_from([1.0, 2.0])),
             tuple(Need(frozenset(units), draw(st.integers(1, len(units))))
                   for units in draw(st.lists(wanted, max_size=2))))
        for number in range(draw(st.integers(0, 3)))
    )  # fmt: skip
    core = Cost(draw(small), draw(small), draw(st.integers(1, 6)))
    return Problem(
        bases=draw(st.integers(1, 2)), seeds=draw(st.integers(1, 2)), core=core, choices=choices,
        goals=claims, budget=core.of((1, 1)) + draw(st.integers(0, 25)),
    )  # fmt: skip


def allowed(problem: Problem, units: frozenset[str]) -> bool:
    return all(set(choice.needs) <= units for choice in problem.choices if choice.name in units)


def brute_force(problem: Problem) -> float:
    """The value of the best plan, by trying all."""
    names = [choice.name for choice in problem.choices]
    subsets = chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))
    shapes = product(range(1, problem.bases + 1), range(1, problem.seeds + 1))
    return max(
        value(problem, shape, frozenset(units))
        for shape, units in product(list(shapes), list(subsets))
        if allowed(problem, frozenset(units))
        and cost(problem, shape, frozenset(units)) <= problem.budget
    )


@settings(max_examples=25, deadline=None)
@given(problems())
def test_no_plan_is_better_than_the_solvers(problem: Problem) -> None:
    found = solve(problem)
    assert found.optimal
    assert found.value == pytest.approx(brute_force(problem))
    assert found.bound == found.value
    assert allowed(problem, found.units)
    assert cost(problem, found.shape, found.units) <= problem.budget


@settings(max_examples=10, deadline=None)
@given(problems(), st.integers(1, 20))
def test_a_larger_budget_is_never_worth_less(problem: Problem, more: int) -> None:
    richer = replace(problem, budget=problem.budget + more)
    assert solve(richer).value >= solve(problem).value - 1e-9


def test_a_support_comes_with_what_needs_it_and_never_alone() -> None:
    samples = Choice("samples", Cost(run=1), support=True)
    arm = Choice("arm", Cost(run=5), needs=("samples",))
    problem = Problem(1, 1, Cost(run=1), (arm, samples), (), budget=6)
    assert solve(problem).units == frozenset()
    assert solve(Problem(1, 1, Cost(run=1), (arm, samples), (), 7)).units == {"arm", "samples"}


def test_a_solver_without_time_never_calls_its_plan_optimal(tiny: Config) -> None:
    problem, _ = build_problem(tiny, unit_cells(tiny, NOTHING, "core"), 2 * HOUR)
    found, best = solve(problem, seconds=0.001), solve(problem)
    assert not found.optimal
    assert found.value <= best.value <= found.bound
    assert cost(problem, found.shape, found.units) <= problem.budget


@pytest.mark.parametrize(("shape", "counts"), [((1, 1), 1), ((1, 2), 1.5), ((2, 2), 2.25)])
def test_a_further_seed_or_base_counts_less_and_less(shape: tuple[int, int], counts: float) -> None:
    assert weight(shape) == pytest.approx(counts)


def test_starts_are_taken_from_the_ends_inwards() -> None:
    assert spread([5, 20, 40, 120, 350, 600], 600) == [600, 5, 40, 20, 120, 350]
    assert spread([120, 600], 60) == [600, 120]


# --- what a config has


@pytest.mark.parametrize("name", ["demo", "tiny", "smoke", "phase"])
def test_every_cell_is_work_with_a_price(name: str) -> None:
    for cell in grid(study(name)).all_cells:
        assert NOTHING.of(cell.work).seconds > 0, cell


def test_the_cells_are_the_jobs_that_the_workflow_has(tiny: Config) -> None:
    rules = Counter(cell.rule for cell in grid(tiny).all_cells)
    rl_runs = sum(len(run.starts) for run in tiny.rl.runs)
    evaluated = rl_runs + len(tiny.oracle.steps) + len(tiny.diverse.steps)
    assert rules["evaluate_sft"] == len(tiny.sft.steps)
    assert rules["evaluate"] == evaluated
    assert rules["surgery"] == len(tiny.surgery.recipes) + len(tiny.surgery.reverse)
    assert (rules["factors"], rules["spectra"], rules["landmarks"], rules["all"]) == (3, 5, 1, 0)


def test_samples_that_an_arm_shares_with_the_phase_diagram_belong_to_neither() -> None:
    values = study("phase").model_dump(mode="json")
    known = grid(load(values | {"lora": {"steps": [max(values["phase"]["steps"])]}}))
    [shared] = known.support
    assert shared in known.needs["lora"] and shared in known.needs["phase"]
    assert [cell.rule for cell in known.cells[shared]] == ["sft_samples"]


def test_a_step_that_a_study_has_not_is_no_work_of_it(tiny: Config) -> None:
    assert work_of(tiny, "sft/to-640") is not None
    assert work_of(tiny, "sft/to-600") is None
    assert work_of(tiny, "sft/lora") is None


def test_an_arm_is_planned_with_the_samples_it_alone_has_and_for_the_claim_about_it(
    tiny: Config,
) -> None:
    steps = tiny.diverse.steps
    assert Counter(cell.rule for cell in grid(tiny).cells["diverse"]) == {
        "diverse_samples": 1, "diverse": 1, "evaluate": len(steps)
    }  # fmt: skip
    samples, trained = (
        work_of(tiny, f"rest/diverse-samples-0-{max(steps)}"),
        work_of(tiny, "sft/diverse"),
    )
    assert samples is not None and trained is not None
    assert (samples.kind, trained.kind) == ("diverse.diverse_stream", "sft")
    found, _ = goals(tiny, load_claims())
    [varied] = [goal for goal in found if goal.id == "C19"]
    assert varied.needs == (Need(frozenset({"diverse"})),)
    _, unserved = goals(study("demo"), load_claims())
    assert "the arm diverse (diverse.steps is empty)" in unserved["C19"]


def test_the_problems_that_are_counted_are_those_that_are_dealt(tmp_path: Path) -> None:
    config = study("demo")
    suites = [suite.model_dump() for suite in config.evaluation.suites]
    write_problems(config.task, suites, tmp_path / "problems.csv")
    dealt = pd.read_csv(tmp_path / "problems.csv").groupby(["split", "fold"]).size()
    counted = problem_counts(config.task, config.evaluation.suites)
    for suite, count in zip(config.evaluation.suites, counted, strict=True):
        assert dealt[suite.split, suite.fold] == count


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_restricted_config_has_the_chosen_units_and_no_others(data: st.DataObject) -> None:
    config = study(data.draw(st.sampled_from(["tiny", "smoke"])))
    needs = grid(config).needs
    wanted = data.draw(st.sets(st.sampled_from(sorted(needs))))
    chosen: set[str] = set()
    while wanted:
        name = wanted.pop()
        chosen.add(name)
        wanted |= set(needs[name]) - chosen
    part = restricted(config, (1, 1), frozenset(chosen))
    known = {unit.name: unit.files for unit in units(config) if unit.name in chosen}
    assert {unit.name: unit.files for unit in units(part)} == known
    assert load(yaml.safe_load(to_yaml(part, "two\nlines"))) == part


def test_a_restricted_config_has_the_cells_of_its_units(tiny: Config) -> None:
    chosen = frozenset({"rl-grpo-600", "surgery-rollback", "diverse"})
    whole, part = grid(tiny), grid(restricted(tiny, (1, 1), chosen))
    assert set(part.core) == set(whole.core)
    assert {name: set(own) for name, own in part.cells.items()} == {
        name: set(whole.cells[name]) for name in chosen
    }


def test_later_segments_need_the_earlier_ones_and_rl_its_start(tiny: Config) -> None:
    values = tiny.model_dump(mode="json")
    values["sft"]["segments"] += [[800], [900, 1000]]
    values["rl"]["runs"].append({"algorithm": "ppo", "starts": [900]})
    needs = grid(load(values)).needs
    assert needs["sft-to-800"] == ()
    assert needs["sft-to-1000"] == ("sft-to-800",)
    assert set(needs["rl-ppo-900"]) == {"rl-grpo-600", "sft-to-800", "sft-to-1000"}
    assert needs["reverse-directions-top20"] == ("surgery-directions-top20", "rl-grpo-600")
    assert needs["surgery-interpolate-equal-loss"] == ("surgery-directions-top20",)


# --- what serves a claim


def lacks_cells(claim: Claim, tables: Tables) -> bool:
    """Whether the evidence on a claim names cells that the tables have not."""
    try:
        for floor in claim.floors:
            effects(floor.statistic, tables)
        for part in claim.parts:
            evaluate_part(part, tables)
    except MissingCells:
        return True
    return False


def test_a_grid_serves_the_claims_that_the_evidence_finds_all_cells_of() -> None:
    """The reference demo has run the demo's grid; its tables of spectra are not kept."""
    tables = read_tables(ROOT / "results/reference/demo")
    found, unserved = goals(study("demo"), load_claims())
    assert len(found) + len(unserved) == len(load_claims())
    for claim in load_claims():
        statistics = [part.statistic for part in claim.parts]
        spectral = any(isinstance(statistic, Spectral) for statistic in statistics)
        # in which starts the window lies is known only afterwards
        window = any(isinstance(statistic, Window) for statistic in statistics)
        if not (spectral or window or claim.not_testable):
            assert lacks_cells(claim, tables) == (claim.id in unserved), claim.id


def test_no_unit_that_a_claim_needs_is_needed_in_vain(tiny: Config) -> None:
    found, _ = goals(tiny, load_claims())
    every = frozenset(unit.name for unit in units(tiny))
    for goal in found:
        assert served(goal, every)
        for need in goal.needs:
            assert not served(goal, every - need.units)


def test_every_start_counts_for_a_claim_about_starts(tiny: Config) -> None:
    found, _ = goals(tiny, load_claims())
    across = next(goal for goal in found if goal.id == "C7")
    three = frozenset({"rl-grpo-600", "rl-grpo-5", "rl-grpo-40"})
    assert not served(across, three | {"rl-ppo-600", "rl-shuffled-600"})
    assert served(across, three | {"rl-grpo-120"})


# --- what it costs


def benchmark(folder: Path, name: str, seconds: float) -> None:
    file = folder / f"benchmarks/{name}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{COLUMNS}\n{seconds}\t0:00:01\t100\t1\t1\t1\t0\t0\t50\t1\n")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A study of two seeds that has measured SFT, RL and a job of a step it no longer has."""
    config = load({"study": "measured", "seeds": [1, 2]})
    folder = tmp_path / "measured"
    record.write(config, folder)
    for seed, seconds in ((1, 60.0), (2, 80.0)):
        run = Path(record.paths(folder, config, Run(1, seed)).run)
        benchmark(run, "sft/to-200", seconds)
        benchmark(run, "rl/grpo-from-60", seconds)
    benchmark(run, "sft/to-999", 5000)
    return folder


def test_a_like_job_costs_the_median_of_those_measured(measured: Path) -> None:
    prices = read_prices([measured])
    work = work_of(load({}), "sft/to-200")
    assert work is not None
    assert prices.of(work).seconds == pytest.approx(70)
    assert prices.of(work).source == "measured"


def test_twice_the_work_costs_twice_the_time_beside_that_to_start(measured: Path) -> None:
    prices = read_prices([measured])
    work = work_of(load({}), "sft/to-600")  # 400 steps
    assert work is not None
    price = prices.of(work)
    assert price.source == "scaled"
    assert 70 < price.seconds < 140
    assert price.seconds == pytest.approx(2 * 70 - 8)  # eight seconds to start


def test_what_nobody_measured_is_estimated(measured: Path) -> None:
    work = work_of(load({}), "evaluation/sft-20")
    assert work is not None
    assert read_prices([measured]).of(work).source == "estimated"


def test_a_core_hour_counts_threads_and_a_gpu_hour_jobs_with_torch() -> None:
    config = load({})
    base, problems = work_of(config, "base/base"), work_of(config, "rest/problems")
    assert base is not None and problems is not None
    assert (devices(base, "core"), devices(base, "gpu")) == (2, 1)
    assert (devices(problems, "core"), devices(problems, "gpu")) == (1, 0)


@pytest.mark.parametrize("name", ["sft/to-600", "rl/grpo-from-600", "rl/ppo-from-600"])
def test_processes_share_the_work_and_each_holds_a_gpu(name: str) -> None:
    block = {"compute": {"processes": 4}}
    alone = work_of(load({}), name)
    shared = work_of(load({"sft": block, "rl": {"grpo": block, "ppo": block}}), name)
    assert alone is not None and shared is not None
    assert (shared.amount, shared.threads) == (alone.amount / 4, 4 * alone.threads)
    assert (devices(alone, "gpu"), devices(shared, "gpu")) == (1, 4)


# --- the whole


def test_a_plan_fits_its_budget_and_its_tables_agree(tiny: Config) -> None:
    plan = choose(tiny, 2, NOTHING)
    table = cells(plan)
    chosen = table[table["chosen"] == "yes"]
    spent = cost(plan.problem, plan.solution.shape, plan.solution.units) / HOUR
    assert chosen["hours"].sum() == pytest.approx(spent)
    assert spent <= 2 < whole_grid(plan.problem) / HOUR
    assert stages(table)["hours"].sum() == pytest.approx(spent)
    assert set(chosen["unit"]) == plan.chosen
    runs = claims(plan).set_index("claim")["runs"]
    assert {name for name in runs.index if runs[name]} == {
        goal.id for goal in plan.problem.goals if plan.serves(goal)
    }


def test_a_budget_for_everything_is_a_plan_of_everything(tiny: Config) -> None:
    plan = choose(tiny, 100, NOTHING)
    assert plan.solution.shape == (2, 5)
    assert plan.chosen - {"core"} == {unit.name for unit in units(tiny)}
    alone = tiny.model_copy(update={"also": ()})
    assert restricted(tiny, plan.solution.shape, plan.solution.units) == alone


def test_the_smallest_feasible_budget_is_feasible(tiny: Config) -> None:
    with pytest.raises(PlanError, match=r"--gpu-hours: got 0.01 core hours") as refused:
        choose(tiny, 0.01, NOTHING)
    least = float(str(refused.value).split("at least ")[1].split(",")[0])
    plan = choose(tiny, least, NOTHING)
    assert (plan.solution.shape, plan.solution.units) == ((1, 1), frozenset())
    with pytest.raises(PlanError):
        choose(tiny, least - 0.002, NOTHING)


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_budget_is_refused_in_one_line(tiny: Config, hours: float) -> None:
    with pytest.raises(PlanError, match=r"^--gpu-hours: got .*, expected a number of hours above"):
        choose(tiny, hours, NOTHING)


def test_of_recipes_that_cost_and_count_the_same_the_first_of_the_config_is_preferred(
    tiny: Config,
) -> None:
    problem, _ = build_problem(tiny, unit_cells(tiny, NOTHING, "core"), HOUR)
    pairs = problem.preferences
    order = [choice.name for choice in problem.choices]
    assert all(order.index(first) < order.index(second) for first, second in pairs)
    assert any("surgery-rollback" in pair for pair in pairs)
    # others need it
    assert not any("surgery-directions-top20" in pair for pair in pairs)


def test_planned_stands_beside_measured(measured: Path) -> None:
    table, origin = check(measured, read_prices([measured]))
    by_stage = table.set_index("stage")
    assert by_stage.loc["sft", "planned_jobs"] == 2 * 2  # two segments in two runs
    assert by_stage.loc["sft", "jobs"] == 2
    assert by_stage.loc["sft", "hours"] == pytest.approx((60 + 80) / 3600)
    assert by_stage.loc["rl", "planned_hours"] == pytest.approx(2 * 3 * 70 / 3600)
    assert by_stage.loc["all", "jobs"] == 4
    assert origin == "the config that it ran with"
