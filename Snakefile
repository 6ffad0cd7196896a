# SPDX-License-Identifier: MIT
"""The study, where `snakemake` looks for it first; the main file is workflow/Snakefile."""


include: "workflow/Snakefile"


# Snakemake resets the default target at the end of an include.
workflow.default_target = "all"
