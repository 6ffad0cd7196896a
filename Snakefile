# SPDX-License-Identifier: MIT
"""The study: what SFT forgets, what RL gives back, what surgery on singular vectors can do.

data -> base -> sft -> evaluate -> landmarks -> rl -> evaluate -> factors -> spectra, surgery,
diagnostics -> tables, figures. Start with `make demo`, or `snakemake --cores 2`; config/README.md lists the keys.
"""

from snakemake.utils import min_version

from derotate.config import schema as typed
from derotate.study import record
from derotate.resources import stages as stage_resources
from derotate import tasks
from derotate.config.model import TinyModel
from derotate.resources.model_size import SizeError
from derotate.study.paths import LABEL, Paths

min_version("9.27")


report: "workflow/report/workflow.rst"


# Over demo.yaml a file of another task would inherit what general_points has; keys that a file leaves
# out have the defaults of its task instead, which for general_points are those of demo.yaml.
if not workflow.overwrite_configfiles:

    configfile: "config/demo.yaml"


try:
    CONFIG = typed.load(config)
    ALSO = typed.further(CONFIG)
    stage_resources.require_size(CONFIG)
except (typed.ConfigError, SizeError) as error:
    # Not a WorkflowError: the user shall see the line about the key, not where it was raised.
    raise SystemExit(str(error)) from None

# Whether the base is trained here; else it is a pretrained model.
TINY = isinstance(CONFIG.model, TinyModel)
# What the task states of itself; captions read it with the config, all keys of it.
OF_TASK = tasks.module(CONFIG.task, "defaults")
config.update(CONFIG.model_dump(mode="json"))
config.update(words=dict(OF_TASK.WORDING), published=OF_TASK.PUBLISHED)
# In the report a further study stands apart from the one that names it (workflow/rules/also.smk).
OF_STUDY = f"{CONFIG.study}, " if workflow.modifier.namespace else ""
# Patterns: the folders of a run keep {base_seed} and {seed} as wildcards.
PATHS = Paths.of(CONFIG)


wildcard_constraints:
    base_seed=r"\d+",
    seed=r"\d+",
    label=LABEL,
    donor=LABEL,
    patient=LABEL,
    peak=LABEL,
    healed=LABEL,
    start=r"\d+",
    step=r"\d+",
    after=r"\d+",
    last=r"\d+",
    recipe=r"[a-z0-9][a-z0-9_.-]*",


pathvars:
    study=PATHS.study,
    task=PATHS.task,
    base=PATHS.base,
    run=PATHS.run,


include: "workflow/rules/common.smk"
include: "workflow/rules/also.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/base.smk" if TINY else "workflow/rules/fetch.smk"
include: "workflow/rules/sft.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/landmarks.smk"
include: "workflow/rules/rl.smk"
include: "workflow/rules/spectra.smk"
include: "workflow/rules/surgery.smk"
include: "workflow/rules/diagnostics.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/evidence.smk"


if TINY:  # a phase diagram trains bases

    include: "workflow/rules/phase.smk"


include: "workflow/rules/published.smk"
include: "workflow/rules/findings.smk"
include: "workflow/rules/reference.smk"


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.figures.output,
        rules.claims.output,
        rules.accuracy_by_step.output,
        rules.data_card.output,
        rules.phase_diagram.output if PHASE_EVALUATIONS else [],
        rules.reexamination.output,
        [getattr(rules, f"{name}_all").input for name in ALSO],


onstart:
    # beside the results, for `derotate summary` and `derotate explore-export`
    for made in (CONFIG, *ALSO.values()):
        record.write(made)
        record.write_environment(made)


onsuccess:
    for made in (CONFIG, *ALSO.values()):
        drop_resumed_states(made)


# Of the studies of one command the first alone.
if workflow.output_settings.dryrun and not workflow.modifier.namespace:
    from derotate.planning import requested_totals as asked

    asked.tell(workflow, {"": CONFIG} | {f"{name}_": made for name, made in ALSO.items()})
