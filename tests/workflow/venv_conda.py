# SPDX-License-Identifier: MIT
"""A replacement for conda, based on venv and pip, for machines without access to conda channels.

`python venv_conda.py BASE ARGUMENTS` answers `conda ARGUMENTS`. The environment files of this
project list only a Python and pip packages, so a venv with these packages is equivalent: no other
package can be imported in it, except those of Snakemake itself.
"""

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import yaml

VERSION = "24.7.1"
"""The oldest conda that Snakemake 9 accepts."""
ACTIVATE = 'export PATH="$1/bin:$PATH"\n'
COMMAND = '#!/bin/sh\nexec "{python}" "{script}" "{base}" "$@"\n'


def install(base: Path) -> Path:
    """Make `conda` and `activate` in BASE/bin, and return that folder."""
    folder = base / "bin"
    folder.mkdir(parents=True)
    (folder / "activate").write_text(ACTIVATE)
    command = folder / "conda"
    command.write_text(COMMAND.format(python=sys.executable, script=Path(__file__), base=base))
    command.chmod(0o755)
    return folder


def create(file: Path, prefix: Path) -> None:
    """Create the environment of a file.

    Raises:
        SystemExit: the file lists another Python version or conda packages.
    """
    python, pip, packages = yaml.safe_load(file.read_text(encoding="utf-8"))["dependencies"]
    here = f"python={sys.version_info.major}.{sys.version_info.minor}"
    if (python, pip) != (here, "pip"):
        raise SystemExit(f"{file}: got {python}, {pip}; a venv can only have {here} and pip")
    make_venv(prefix, packages["pip"])


def make_venv(prefix: Path, packages: Sequence[str]) -> Path:
    """Create a venv with pip packages; returns its Python."""
    venv.create(prefix, with_pip=True, symlinks=True)
    python = prefix / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *packages], check=True)
    return python


def main(base: str, arguments: Sequence[str]) -> None:
    """Answer one conda command."""
    match list(arguments):
        case ["--version"]:
            print(f"conda {VERSION}")
        case ["info", "--json"]:
            print(json.dumps({"conda_prefix": base, "platform": "linux-64"}))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["env", "create", *options]:
            parser = argparse.ArgumentParser()
            parser.add_argument("--file", type=Path)
            parser.add_argument("--prefix", type=Path)
            known, _ = parser.parse_known_args(options)
            create(known.file, known.prefix)
        case ["clean", "-y", "--tarballs"]:
            pass  # pip leaves no tarballs
        case _:
            raise SystemExit(f"conda {' '.join(arguments)}: not among the commands of Snakemake")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
