# SPDX-License-Identifier: MIT
"""Memory of surgery on checkpoints of the papers' sizes.

    python benchmarks/full_size.py qwen            all tensors of Qwen2.5-7B
    python benchmarks/full_size.py mllama          all of Llama 3.2 Vision 11B
    python benchmarks/full_size.py layer           one layer of Qwen2.5-7B through decompositions
    python benchmarks/full_size.py qwen --layers 2 its first two layers, with embedding and head

The complete models are sparse files: a header and a length. `derotate operate` reads, checks and
interpolates each of their tensors. It does not write zeros, so the result is sparse too and needs
almost no disk space. The layer has random numbers with the spectrum of trained weights, and gets
the donor's directions. Only anonymous memory counts (RssAnon, sampled), because the kernel can drop
pages of mapped checkpoints when memory runs short.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import busy
from memory import PeakMemory, anonymous

from derotate.config.recipes import Band, Recipe

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TARGET = 8 * 10**9
"""Bytes: below the memory of a laptop that is used with models of this size."""

PERIOD = 0.01
SHARDS = 5
FOLDER = Path("results/bench_models")

INTERPOLATION = Recipe(name="interpolate-half", part="interpolate", amount=0.5)
DIRECTIONS = Recipe(name="directions-top20", part="directions", band=Band(fraction=0.2))

OLD_NAMES = (
    ("model.language_model.", "language_model.model."),
    ("model.vision_model.", "vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("lm_head.", "language_model.lm_head."),
)
"""Prefixes of Mllama's parameters, and those of the tensors in its published checkpoints."""


@dataclass(frozen=True)
class Measured:
    """Time, memory and disk space of one edit.

    Attributes:
        matrices: number of edited matrices.
        seconds: by the clock.
        anonymous: peak of anonymous memory in bytes.
        disk: bytes that the written files occupy.
        size: their nominal size in bytes.
    """

    matrices: int
    seconds: float
    anonymous: int
    disk: int
    size: int


def config_of(model: str, layers: int | None) -> Any:
    """The config of a published model, cut after its first layers if their number is given."""
    import transformers

    if model == "qwen":
        config: Any = transformers.Qwen2Config(
            vocab_size=152064,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            tie_word_embeddings=False,
            architectures=["Qwen2ForCausalLM"],
            dtype="bfloat16",
        )
        if layers is not None:
            config.num_hidden_layers = layers
            config.layer_types = config.layer_types[:layers]
        return config
    # transformers' defaults are the language model of the 11B; its images are larger
    config = transformers.MllamaConfig(
        vision_config={"image_size": 560},
        architectures=["MllamaForConditionalGeneration"],
        dtype="bfloat16",
    )
    if layers is not None:
        text = config.text_config
        text.num_hidden_layers = layers
        text.cross_attention_layers = [at for at in text.cross_attention_layers if at < layers]
    return config


def tensor_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Name in a published checkpoint -> shape, of every tensor of the model of that config."""
    import torch
    import transformers

    with torch.device("meta"):
        model = getattr(transformers, config.architectures[0])(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.model_type != "mllama":
        return shapes
    return {_old_name(name): shape for name, shape in shapes.items()}


def _old_name(name: str) -> str:
    for new, old in OLD_NAMES:
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def write_sparse(directory: Path, config: Any, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A checkpoint of zeros in bfloat16, in shards behind an index, that takes no disk."""
    from derotate.models.shard_writer import Entry, preallocate
    from derotate.models.shards import INDEX

    directory.mkdir(parents=True)
    config.save_pretrained(directory)
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        names = list(shapes)[shard::SHARDS]
        if not names:
            continue
        file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        entries = {name: Entry("BF16", shapes[name], 2 * math.prod(shapes[name])) for name in names}
        preallocate(directory / file, entries)
        weight_map |= dict.fromkeys(names, file)
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    return directory


def write_pair(model: str, layers: int | None, folder: Path) -> tuple[Path, Path]:
    """Directories of donor and patient in `folder`."""
    if model == "layer":
        import qwen_layer

        return qwen_layer.write_pair(folder)
    config = config_of(model, layers)
    shapes = tensor_shapes(config)
    donor, patient = (write_sparse(folder / side, config, shapes) for side in ("donor", "patient"))
    return donor, patient


def _operate(donor: Path, patient: Path, recipe: Recipe, out: Path, result: Connection) -> None:
    """The measured process: only the edit, as `derotate operate` makes it."""
    from derotate.config.surgery import Guards
    from derotate.surgery.export import operate

    result.send(len(operate(donor, patient, recipe, out, Guards()).rows))


def measure(donor: Path, patient: Path, recipe: Recipe, out: Path) -> Measured:
    """Edit the patient in a process of its own and measure it.

    Raises:
        RuntimeError: the process failed; its error is on standard error.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_operate, args=(donor, patient, recipe, out, send))
    start = perf_counter()
    process.start()
    send.close()
    assert process.pid is not None
    with PeakMemory([process.pid], anonymous, PERIOD) as memory:
        try:
            matrices = int(receive.recv())
        except EOFError:
            raise RuntimeError("the edit failed, see above") from None
        finally:
            process.join()
    seconds = perf_counter() - start
    files = [file.stat() for file in out.glob("*.safetensors")]
    disk, size = sum(512 * file.st_blocks for file in files), sum(file.st_size for file in files)
    return Measured(matrices, seconds, memory.peak, disk, size)


def main() -> None:
    """Measure and print; what was written is removed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=("qwen", "mllama", "layer"))
    parser.add_argument("--layers", type=int, help="only the first layers (default: all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    options = parser.parse_args()
    if options.layers is not None and (options.model == "layer" or options.layers < 1):
        parser.error(f"--layers = {options.layers}, expected 1 or more, with qwen or mllama")
    if warning := busy.before(busy.cores_taken()):
        print(f"{warning}; memory does not depend on it", flush=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    recipe = DIRECTIONS if options.model == "layer" else INTERPOLATION
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        donor, patient = write_pair(options.model, options.layers, Path(folder))
        took = measure(donor, patient, recipe, Path(folder) / "out")
    print(
        f"{options.model}, {recipe.name}: {took.matrices} matrices of a checkpoint of "
        f"{took.size / 1e9:.2f} GB in {took.seconds:.0f} s, {took.disk / 1e9:.2f} GB of disk\n"
        f"  peak RssAnon: {took.anonymous / 1e9:.2f} GB, target {TARGET / 1e9:g} GB: "
        f"{'met' if took.anonymous < TARGET else 'not met'}"
    )


if __name__ == "__main__":
    main()
