"""Functions that the other rule files and the Snakefile call.

Makes nothing: rules ask here which files they need, where that depends on wildcards or on the
landmarks. What can be said without Snakemake is in `derotate.study.paths`.
"""

import json
import os
import shutil
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from snakemake.exceptions import IncompleteCheckpointException, WorkflowError
from snakemake.settings.types import DeploymentMethod

from derotate.config.matrix_kinds import EDITABLE
from derotate.evaluation import engines
from derotate.figures.captions import load_captions
from derotate.study import phase_paths as phase
from derotate.resources import stages as stage_resources
from derotate.study import paths as study
from derotate.study.arms import ARMS
from derotate.study.checkpoint import LABEL
from derotate.study.provenance import code_digest, lock_digest
from derotate.study.rl_algorithms import RL_ALGORITHMS
from derotate.resources.formulas import disk_mb, mem_mb, minutes

# One file per item of Snakemake's report: rule, category, title and caption.
CAPTION_FOLDER = os.path.relpath(
    Path(workflow.current_basedir.get_path_or_uri(secret_free=True), "../report")
)
CAPTIONS = load_captions(Path(CAPTION_FOLDER))
RUNS = study.runs(CONFIG)
RECIPES = {recipe.name: recipe for recipe in CONFIG.surgery.recipes}
PHASE_EVALUATIONS = phase.evaluations(CONFIG)
# Of conda; not below workflow.basedir, which is the folder of the main file that was named.
ENVIRONMENTS = Path(
    workflow.current_basedir.get_path_or_uri(secret_free=True), "../../envs"
).resolve()


# What a profile sets for `training` under `set-resources`, as if that were a rule: it holds for every
# rule that trains, since the names of SFT's depend on the config. A GPU is requested in this way, or
# by the config; how it is called on a cluster is the profile's affair.
TRAINING = {
    name: (
        (lambda wildcards, given=given, **job: given.evaluate(wildcards, **job).value)
        if given.is_evaluable()
        else given.value
    )
    for name, given in workflow.resource_settings.overwrite_resources.get("training", {}).items()
}
if CONFIG.gpu and "gres" not in TRAINING:
    TRAINING.setdefault("gpu", 1)
GPU = bool(TRAINING.get("gpu") or TRAINING.get("gres"))


def captioned(path, name):
    """An output that Snakemake's report shows with its caption."""
    return report(
        path,
        category=REPORT_SECTION + CAPTIONS[name].category,
        caption=f"../report/{name}.rst",
        labels={"figure": CAPTIONS[name].title},
    )


def requested_resources(need):
    """The resources of a rule: what it needs, more with each attempt."""
    return {
        "mem_mb": lambda wildcards, attempt: mem_mb(need, attempt),
        "runtime": lambda wildcards, attempt: minutes(need, attempt),
        "disk_mb": disk_mb(need),
    }


# Which states of a training are kept changes no result: an edit of it reruns nothing.
WITHOUT_STATES = {"compute": {"save_state_every"}}


SFT_SETTINGS = CONFIG.sft.model_dump(exclude={"segments": True, **WITHOUT_STATES})


def arm_optimisation(arm):
    """SFT's settings, with what the arm's block replaces."""
    block = getattr(CONFIG, arm).model_dump(exclude={"steps"})
    return SFT_SETTINGS | {key: value for key, value in block.items() if key in SFT_SETTINGS}


def arm_adapter(arm):
    """The LoRA adapter that an arm trains; None where it trains all weights."""
    block = getattr(CONFIG, arm).model_dump(exclude={"steps"})
    adapter = {key: value for key, value in block.items() if key not in SFT_SETTINGS}
    if "rank" not in adapter:
        return None
    # peft knows matrices by the names of their modules
    return adapter | {"matrices": [EDITABLE[kind] for kind in adapter["matrices"]]}


def stream_code(stream):
    """Digest of what writes an arm's samples; None where the task has no such stream."""
    part = stream.partition(".")[0]
    if find_spec(f"{TASK_PACKAGE}.{part}") is None:
        return None
    return code_digest("derotate.stages.data", f"{TASK_PACKAGE}.prompts", f"{TASK_PACKAGE}.{part}")


def untracked(value):
    """A param whose edit reruns nothing.

    Snakemake compares no params that it derives, as by a function that asks for resources.
    """
    return lambda wildcards, resources: value


def for_processes(given, processes):
    """What is given for a process, for all of them."""
    if callable(given):
        return lambda wildcards, **job: given(wildcards, **job) * processes
    return given * processes


def training_resources(need, processes=1):
    """The resources of what trains: so many GPUs a process, all on one node."""
    if processes == 1:
        return requested_resources(need) | TRAINING
    gpus = {"gpu": for_processes(TRAINING["gpu"], processes)} if "gpu" in TRAINING else {}
    return requested_resources(need) | {"nodes": 1} | TRAINING | gpus


SCORING_GPU = GPU and not TINY


def scoring_resources(need):
    """The resources of a rule that generates or scores, on a GPU if the model is pretrained."""
    return requested_resources(need) | ({} if TINY else TRAINING)


def require_engine(key, engine):
    """Refuse an engine that is not installed before anything runs.

    With --sdm conda it is in the environment of its rules, which Snakemake makes first.
    """
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
        return
    try:
        engines.require(key, engine)
    except engines.MissingEngineError as error:
        raise SystemExit(str(error)) from None


def engine_lock(engine):
    """Digest of the packages of an engine's rules; vLLM is not in the lock."""
    if engine == "vllm":
        return lock_digest(ENVIRONMENTS / "vllm.yaml")
    return lock_digest()


def checkpoint_weights(wildcards):
    """The weights behind the label of a checkpoint."""
    return PATHS.weights(wildcards.label).format(**wildcards)


def pair_inputs(kind):
    """An input function: `kind` ("weights" or "factors") of donor and patient."""

    def paths(wildcards):
        path = getattr(PATHS, kind)
        return [path(label).format(**wildcards) for label in (wildcards.donor, wildcards.patient)]

    return paths


def donor_of(wildcards):
    """The label of the donor: the wrong-donor control takes the base instead."""
    return "base" if RECIPES[wildcards.recipe].donor == "base" else wildcards.donor


def surgery_inputs(kind):
    """An input function: `kind` of the donor that the recipe really uses, and of the patient."""

    def paths(wildcards):
        path = getattr(PATHS, kind)
        labels = (donor_of(wildcards), wildcards.patient)
        return [path(label).format(**wildcards) for label in labels]

    return paths


def diagnostics_inputs(kind):
    """An input function: `kind` of the base and of the three checkpoints that are diagnosed."""

    def paths(wildcards):
        path = getattr(PATHS, kind)
        labels = ("base", wildcards.peak, wildcards.patient, wildcards.healed)
        return [path(label).format(**wildcards) for label in labels]

    return paths


def max_ood_step(run):
    """The step of max_ood of a run; Snakemake makes the landmarks first where they are missing."""
    made = checkpoints.landmarks.get(base_seed=run.base_seed, seed=run.seed)
    # read here: the module that chooses landmarks imports pandas
    return json.loads(Path(str(made.output)).read_text(encoding="utf-8"))["max_ood"]


def run_path(run, kind, *names):
    """A path of a run."""
    return getattr(study.Paths.of(CONFIG, run), kind)(*names)


def step_evaluations(rl):
    """Evaluations of the base, of every SFT step and, on request, of every RL run."""
    return list(
        dict.fromkeys(
            run_path(run, "evaluation", label)
            for run in RUNS
            for label in study.trained_labels(CONFIG, rl=rl)
        )
    )


def arm_evaluations():
    """Evaluations of the checkpoints of the arms beside SFT."""
    return [
        run_path(run, "evaluation", label) for run in RUNS for label in study.arm_labels(CONFIG)
    ]


def count_evaluations():
    """How many evaluations the tables read, surgery variants included."""
    recipes = len(RECIPES) + len(CONFIG.surgery.reverse)
    return len(step_evaluations(rl=True)) + len(arm_evaluations()) + len(RUNS) * recipes


def files_of_runs(files, *arguments):
    """Files of all runs whose paths name a landmark."""
    return [
        path
        for run in RUNS
        for path in files(CONFIG, study.Paths.of(CONFIG, run), max_ood_step(run), *arguments)
    ]


def after_landmarks(files):
    """An input function: files whose paths name a landmark, or the first missing landmarks.

    The rule also has the landmarks of all runs as inputs. Snakemake evaluates its input functions
    again after each of them is made.
    """

    def paths(wildcards):
        try:
            return files()
        except IncompleteCheckpointException as missing:
            # The default of Snakemake is the same file. After this exception it also processes the
            # DAG twice, for input functions of a group ID, which no rule here has.
            return missing.targetfile

    return paths


def surgery_evaluations():
    """Evaluations of all surgery variants."""
    return files_of_runs(study.surgery_files)


def surgery_facts():
    """Facts of all edits."""
    return [path.removesuffix(".parquet") + ".json" for path in surgery_evaluations()]


def spectral_tables():
    """Spectral tables of all pairs."""
    return files_of_runs(study.spectra_files)


def diagnostics_of(kind):
    """An input function: the diagnostics of a kind of all runs."""
    return after_landmarks(lambda: files_of_runs(study.diagnostics_files, [kind]))


def phase_start(wildcards):
    """The weights that an SFT run of the phase diagram starts from."""
    return phase.base_weights(CONFIG, PATHS, int(wildcards.base_steps)).format(**wildcards)


def phase_evaluations(wildcards):
    """Evaluations of the phase diagram: of all its runs and of their bases."""
    if not PHASE_EVALUATIONS:
        raise WorkflowError(
            "phase: got an empty grid, expected base_steps, learning_rates and steps; "
            "give them in the config file, as config/phase.yaml does"
        )
    return list(PHASE_EVALUATIONS)


def rl_end():
    """Algorithm, start and update of `rl_end`; None without RL."""
    end = study.rl_end(CONFIG)
    return (end.algorithm, end.start, end.step) if end else None


def drop_resumed_states(made):
    """Remove the training states of a study that a later segment has resumed.

    They are temporary, but Snakemake keeps them until the landmarks are made, and forgets them if
    it is killed before.
    """
    for run in study.runs(made):
        folder = Path(study.Paths.of(made, run).run, "sft")
        for segment, later in pairwise(made.sft.segments):
            if (folder / f"step-{later[-1]}" / "model.safetensors").exists():
                shutil.rmtree(folder / f"state-{segment[-1]}", ignore_errors=True)


def drawn_tables(figures):
    """The tables that figures are drawn from; imported on demand, since it brings matplotlib."""
    from derotate.stages.reference_figures import drawn_tables

    return drawn_tables(figures)
