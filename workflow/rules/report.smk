"""Tables and figures.

Needs evaluations, RL logs, spectra and diagnostics. Makes tables as CSV (and Markdown), figures as
PNG and PDF. Aggregates alone ask for the landmarks; figures are drawn from tables, so they are quick to redo.
"""

from importlib.metadata import version

from derotate.study.provenance import value_digest
from derotate.study.tables import TABLES

FIGURES_CODE = code_digest("derotate.stages.figures", f"{TASK_PACKAGE}.defaults")
TABLES_CODE = code_digest(
    "derotate.stages.tables",
    *(f"{TASK_PACKAGE}.{part}" for part in ("answers", "problems", "defaults")),
    *([f"{TASK_PACKAGE}.chance"] if OF_TASK.guessable else []),
    *([f"{TASK_PACKAGE}.success"] if OF_TASK.episodes else []),
)
FIGURES = [name for name, caption in CAPTIONS.items() if caption.rule == "figures"]
SHOWN = [
    name.removesuffix("_table") for name, caption in CAPTIONS.items() if caption.rule == "tables"
]
NO_RESULT = {
    **dict.fromkeys(("budget", "gpu", "phase", "also"), True),
    "sft": WITHOUT_STATES,
    "rl": dict.fromkeys(
        (algorithm.settings for algorithm in RL_ALGORITHMS.values()), WITHOUT_STATES
    ),
}
# What the tables were made from, written beside them.
ORIGIN = {
    "derotate": version("derotate"),
    "seeds": list(CONFIG.seeds),
    "base_seeds": list(CONFIG.base_seeds),
    "config": value_digest(CONFIG.model_dump(mode="json", exclude=NO_RESULT)),
    "lock": LOCK,
    "code": {
        "base": BASE_CODE,
        "sft": SFT_CODE,
        "evaluation": EVALUATION_CODE,
        # of what this study trains: an edit of PPO is no news to a study without it
        **{algorithm: RL_CODE[algorithm] for algorithm, _ in study.rl_starts(CONFIG)},
        "factors": FACTORS_CODE,
        "spectra": SPECTRA_CODE,
        "surgery": SURGERY_CODE,
        "states": STATES_CODE,
        "weights": WEIGHTS_CODE,
        "tables": TABLES_CODE,
    },
}


rule accuracy_by_step:
    """Accuracy by SFT step: the first thing to look at, before any RL is done."""
    input:
        evaluations=step_evaluations(rl=False),
    output:
        table="<study>/tables/sft_accuracy_by_step.csv",
        png=captioned("<study>/figures/accuracy_by_step.png", "accuracy_by_step"),
        pdf="<study>/figures/accuracy_by_step.pdf",
    log:
        "<study>/logs/accuracy_by_step.log",
    benchmark:
        "<study>/benchmarks/rest/accuracy_by_step.tsv"
    priority: 30
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(len(step_evaluations(rl=False)))),
    params:
        code=FIGURES_CODE + TABLES_CODE,
    message:
        "first figure: accuracy by SFT step"
    script:
        "../scripts/accuracy_by_step.py"


rule tables:
    """Every table of the study."""
    input:
        # The path and not `rules.problems.output`: beside a rule's output, Snakemake compares each
        # file of a named list with the whole list, which is quadratic in the number of runs.
        problems="<task>/data/problems.csv",
        evaluations=step_evaluations(rl=True),
        arms=arm_evaluations(),
        surgery=after_landmarks(surgery_evaluations),
        facts=after_landmarks(surgery_facts),
        landmarks=[f"{study.Paths.of(CONFIG, run).run}/landmarks.json" for run in RUNS],
        rl_logs=[
            f"{study.Paths.of(CONFIG, run).run}/rl/{algorithm}/from-{start}/log.csv"
            for run in RUNS
            for algorithm, start in study.rl_starts(CONFIG)
        ],
        spectra=after_landmarks(spectral_tables),
        states=diagnostics_of("states"),
        weights=diagnostics_of("weights"),
    output:
        csv=expand("<study>/tables/{table}.csv", table=TABLES),
        origin="<study>/tables/origin.json",
        markdown=expand("<study>/tables/{table}.md", table=SHOWN),
        html=[captioned(f"<study>/tables/{table}.html", f"{table}_table") for table in SHOWN],
    log:
        "<study>/logs/tables.log",
    benchmark:
        "<study>/benchmarks/rest/tables.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(count_evaluations())),
    params:
        task=CONFIG.task,
        recipes=[recipe.model_dump(exclude_defaults=True) for recipe in CONFIG.surgery.recipes],
        rl_end=rl_end(),
        origin=ORIGIN,
        code=TABLES_CODE,
    message:
        "tables"
    script:
        "../scripts/tables.py"


rule figures:
    """Every figure of the study but the first, the papers' numbers beside ours."""
    input:
        rules.tables.output.csv,
        published=[
            f"results/published/{subject}.csv"
            for subject in ("accuracy_by_step", "stages", "surgery")
        ],
    output:
        [captioned(f"<study>/figures/{figure}.png", figure) for figure in FIGURES],
        [f"<study>/figures/{figure}.pdf" for figure in FIGURES],
    log:
        "<study>/logs/figures.log",
    benchmark:
        "<study>/benchmarks/rest/figures.tsv"
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        **requested_resources(stage_resources.aggregate(0)),
    params:
        task=CONFIG.task,
        code=FIGURES_CODE,
    message:
        "figures"
    script:
        "../scripts/figures.py"
