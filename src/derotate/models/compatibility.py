# SPDX-License-Identifier: MIT
"""Whether two checkpoints are of one model, and whether a checkpoint fills the model it names.

Weights under a name that the model does not look for are left at random values without a word; the
papers' figures of spectra show such weights (papers.md 0.1). Here the names are asked from the
model's own class, and what would stay random is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from derotate.models.checkpoint import CheckpointError
from derotate.models.shards import Shards

SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
         "num_key_value_heads")  # fmt: skip
"""What two configs of one architecture must agree in, beside names and shapes of the tensors."""


def require_same_model(donor: Shards, patient: Shards) -> None:
    """Refuse two checkpoints that are not of one architecture, vocabulary and tying.

    Raises:
        CheckpointError: one line with the first difference and both its values.
    """
    pair = f"{donor.directory} and {patient.directory}"
    remedy = "give two checkpoints of one model"

    def differ(what: str, of_donor: object, of_patient: object) -> CheckpointError:
        return CheckpointError(f"{pair}: {what}: {of_donor} and {of_patient}; {remedy}")

    for key in ("model_type", "architectures"):
        sides = donor.config.get(key), patient.config.get(key)
        if sides[0] != sides[1]:
            raise differ(f"{key} of the configs differs", *sides)
    texts = _text_config(donor.config), _text_config(patient.config)
    sizes = texts[0].get("vocab_size"), texts[1].get("vocab_size")
    if sizes[0] != sizes[1]:
        raise differ("vocabularies differ in vocab_size", *sizes)
    vocabularies = _vocabulary(donor.directory), _vocabulary(patient.directory)
    if None not in vocabularies and vocabularies[0] != vocabularies[1]:
        raise differ("vocabularies differ in tokenizer.json", *map(_count, vocabularies))
    ties = [_tied(side) for side in (donor, patient)]
    if ties[0] != ties[1]:
        raise differ("tying of head and embedding differs", *("tied" if t else "not" for t in ties))
    for key in SIZES:
        sides = texts[0].get(key), texts[1].get(key)
        if sides[0] != sides[1]:
            raise differ(f"{key} of the configs differs", *sides)
    _require_same_tensors(donor, patient)


def _require_same_tensors(donor: Shards, patient: Shards) -> None:
    for here, there in ((patient, donor), (donor, patient)):
        lacking = [name for name in here if name not in there]
        if lacking:
            others = [name for name in there if name not in here]
            raise CheckpointError(
                f"{there.directory}: tensor {lacking[0]} of {here.directory} is "
                f"{_renamed(lacking[0], here, there, others)}; give two checkpoints of one model"
            )
    for name, place in patient.places.items():
        shape = donor.places[name].shape
        if shape != place.shape:
            raise CheckpointError(
                f"{donor.directory}: tensor {name} is {list(shape)}, expected {list(place.shape)} "
                f"as in {patient.directory}; give two checkpoints of one model"
            )


def _renamed(name: str, here: Shards, there: Shards, others: Iterable[str]) -> str:
    """`missing`, or under which name the other checkpoint may have it."""
    same = [other for other in others if there.places[other].shape == here.places[name].shape]
    return f"missing or renamed: {same[0]} is there instead" if same else "missing"


def module_names(shards: Shards) -> dict[str, str]:
    """Tensor name -> name of the parameter that a load with transformers puts it into.

    The two differ where the library keeps old checkpoints readable, e.g. `language_model.model.`
    of Llama 3.2 Vision. The class named in config.json is built without weights.

    Raises:
        CheckpointError: the class is unknown, or a parameter would be left at random weights, a
            tensor has no place, or another shape than the config says.
    """
    model = _empty_model(shards)
    expected = model.state_dict()
    named = _renamer(model, expected)
    found = {name: named(name) for name in shards}
    placed = set(found.values())
    extra = [name for name, key in found.items() if key not in expected]
    for key in expected:
        if key not in placed and key not in _tied_parameters(model, placed):
            raise CheckpointError(
                f"{shards.directory}: parameter {key} would be left at random weights: "
                f"{_elsewhere(key, extra)}; rename the tensors or take the class in config.json "
                "that they were saved from"
            )
    ignored = model._keys_to_ignore_on_load_unexpected or ()
    for name in extra:
        if not any(re.search(pattern, found[name]) for pattern in ignored):
            raise CheckpointError(
                f"{shards.directory}: tensor {name} has no place in {type(model).__name__}, the "
                "class in config.json; take the config that it was saved with"
            )
    for name, key in found.items():
        shape = shards.places[name].shape
        if key in expected and tuple(expected[key].shape) != shape:
            raise CheckpointError(
                f"{shards.directory}: tensor {name} is {list(shape)}, expected "
                f"{list(expected[key].shape)} as config.json says; take the config that it was "
                "saved with"
            )
    return found


def _empty_model(shards: Shards) -> Any:
    """The model that config.json names, on the meta device."""
    import torch
    import transformers

    wanted = (shards.config.get("architectures") or [None])[0]
    model_class = getattr(transformers, str(wanted), None)
    if model_class is None:
        raise CheckpointError(
            f"{shards.directory}: architectures in config.json is {wanted}, expected a class that "
            "transformers has, e.g. Qwen2ForCausalLM"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(shards.directory, local_files_only=True)
        with torch.device("meta"):
            return model_class(config)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{shards.directory}: config.json makes no {wanted} ({reason}); copy it again"
        ) from None


def _renamer(model: Any, expected: Mapping[str, Any]) -> Any:
    """The function by which transformers renames a stored tensor while it loads `model`."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    steps = get_model_conversion_mapping(model)
    converters = [step for step in steps if isinstance(step, WeightConverter)]
    renamings = [step for step in steps if not isinstance(step, WeightConverter)]

    def renamed(name: str) -> str:
        return rename_source_key(name, renamings, converters, model.base_model_prefix, expected)[0]

    return renamed


def _tied_parameters(model: Any, placed: set[str]) -> set[str]:
    """Parameters that are another name of one that is there."""
    return {key for key, source in model.all_tied_weights_keys.items() if source in placed}


def _elsewhere(key: str, extra: Iterable[str]) -> str:
    """Where the checkpoint has the weights of a parameter under a wrong prefix, if it does."""
    tail = key
    while tail:
        for name in extra:
            if name == tail or name.endswith(f".{tail}"):
                return f"the checkpoint has {name}, whose prefix the model does not look for"
        tail = tail.partition(".")[2]
        if tail.count(".") < 2:  # `q_proj.weight` alone would match another layer's
            break
    return "the checkpoint has no such tensor"


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model."""
    return config.get("text_config") or config


def _tied(side: Shards) -> bool:
    """Tied if the config says so; configs that say nothing are read off the tensors."""
    says = side.config.get("tie_word_embeddings")
    return side.tied if says is None else bool(says)


def _vocabulary(directory: Path) -> Any:
    """Tokens and their numbers in tokenizer.json; None where there is no such file."""
    path = directory / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        added = [(token["id"], token["content"]) for token in tokenizer.get("added_tokens", [])]
        return tokenizer["model"]["vocab"], added
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path}: not a tokenizer of Hugging Face; copy the checkpoint again"
        ) from None


def _count(vocabulary: Any) -> str:
    return f"{len(vocabulary[0])} tokens and {len(vocabulary[1])} added"
