# SPDX-License-Identifier: MIT
"""`derotate slurm`: checks and recovery around `snakemake --profile slurm`."""
