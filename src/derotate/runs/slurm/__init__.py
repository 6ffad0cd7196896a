# SPDX-License-Identifier: MIT
"""Studies on a cluster: what `derotate slurm` adds to `snakemake --profile slurm`."""
