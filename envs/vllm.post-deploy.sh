#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Snakemake runs this once in the new environment, from the workflow's working directory.
set -euo pipefail
test -d src/derotate || {
  echo "derotate: start Snakemake in the repository root, which holds src/derotate" >&2
  exit 1
}
python -m pip install --no-deps --editable .
