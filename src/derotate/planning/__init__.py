# SPDX-License-Identifier: MIT
"""Choose the cells of a study for a budget: `derotate plan --gpu-hours H`.

**Objective.** A run is one base seed with one seed. It serves a claim if it makes every cell that
the claim's verdict is computed from; the statistics in `claims.yaml` name these cells. A verdict
needs its cells in every run, so all runs of a plan have the same cells. A claim has weight 1, a
primary claim 2. The run of the i-th base and j-th seed has weight 1 / (i j) relative to the first:
each further run narrows the interval by less, and another base is worth as much as another seed. A
cell that no claim needs has value 0.01, since its author put it into the grid to see it. Such cells
only fill the rest of a budget. The plan maximises the weighted sum over claims and cells. The
constraints are the budget and the dependencies between cells.

**Budget.** Device hours: seconds of a job times the devices that it holds. A device is a core, or a
GPU with `--device gpu`. A job holds one GPU per process that computes with torch; other jobs hold
none. Pauses, queueing and idle devices do not count.

The cells are the jobs of the workflow's own rules (`derotate.runs.rule_jobs`). `units` groups the
cells that a config can leave out. `claims_served` says which units a claim needs, `costs` estimates
the cost of a job. `choose` builds the optimisation problem, `solve` solves it with PuLP's CBC.
`restrict` writes the config of the chosen cells; `tables`, `figure` and `report` show the plan.
Nothing here imports torch.
"""
