# SPDX-License-Identifier: MIT
"""Which part of a study is worth a budget: `derotate plan --gpu-hours H`.

**What is maximised.** A run (one base seed with one seed) serves a claim if it makes every cell
that the claim's verdict is computed from, which is read off the statistics in `claims.yaml`; a
verdict needs these cells of every run, so a plan has the same cells in all of its runs. A claim
counts 1, a primary one 2. The run of the i-th base and j-th seed counts 1 / (i j) of the first: a
further run narrows the interval by less and less, and another base is worth as much as another
seed. A cell that no claim needs counts 0.01, since somebody put it into the grid to see it: such
cells only fill what is left of a budget. The plan maximises that sum over claims and cells
under the budget and under what the cells need of each other.

**What is spent.** Device hours: seconds of a job times the devices that it holds. A device is a
core, or with `--device gpu` a GPU, of which each job that computes with torch holds one and other
jobs hold none. No pause, no queue and no idle device counts.

The cells are the jobs that the workflow's own rules have (`derotate.runs.rule_jobs`). `units` says
which cells a config can leave out, `claims_served` what serves a claim, `costs` what a job takes;
`choose` poses the problem and `solve` solves it with PuLP's CBC; `restrict` writes the config of
what was chosen, `tables`, `figure` and `report` show it. Nothing here imports torch.
"""
