# SPDX-License-Identifier: MIT
"""Compatibility of two checkpoints, and of a checkpoint with the architecture in its config.

transformers silently leaves parameters at random values if their weights are stored under another
name; the papers' figures of spectra show such weights (arXiv 2509.12235, released spectra). Here
the names come from the model's class, and a parameter that would stay random is an error with its
name.
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
"""Config values that must be equal, beside names and shapes of the tensors."""


def require_same_model(donor: Shards, patient: Shards) -> None:
    """Refuse two checkpoints that differ in architecture, vocabulary or weight tying.

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
        missing = [name for name in here if name not in there]
        if missing:
            others = [name for name in there if name not in here]
            raise CheckpointError(
                f"{there.directory}: tensor {missing[0]} of {here.directory} is "
                f"{_renamed(missing[0], here, there, others)}; give two checkpoints of one model"
            )
    for name, place in patient.places.items():
        shape = donor.places[name].shape
        if shape != place.shape:
            raise CheckpointError(
                f"{donor.directory}: tensor {name} is {list(shape)}, expected {list(place.shape)} "
                f"as in {patient.directory}; give two checkpoints of one model"
            )


def _renamed(name: str, here: Shards, there: Shards, others: Iterable[str]) -> str:
    """`missing`, or the name under which the other checkpoint may have the tensor."""
    same = [other for other in others if there.places[other].shape == here.places[name].shape]
    return f"missing or renamed: {same[0]} is there instead" if same else "missing"


def module_names(shards: Shards) -> dict[str, str]:
    """Tensor name -> name of the parameter that transformers loads it into.

    The two differ where transformers renames tensors of older checkpoints, e.g.
    `language_model.model.` of Llama 3.2 Vision. The class in config.json is built without weights.

    Raises:
        CheckpointError: the class is unknown, a parameter would be left at random weights, or a
            tensor is unexpected or has another shape than the config says.
    """
    model = _empty_model(shards)
    expected = model.state_dict()
    renamed = _renamer(model, expected)
    parameters = {name: renamed(name) for name in shards}
    loaded = set(parameters.values())
    extra = [name for name, key in parameters.items() if key not in expected]
    for key in expected:
        if key not in loaded and key not in _tied_parameters(model, loaded):
            raise CheckpointError(
                f"{shards.directory}: parameter {key} would be left at random weights: "
                f"{_elsewhere(key, extra)}; rename the tensors, or set the class in config.json to "
                "the one they were saved from"
            )
    ignored = model._keys_to_ignore_on_load_unexpected or ()
    for name in extra:
        if not any(re.search(pattern, parameters[name]) for pattern in ignored):
            raise CheckpointError(
                f"{shards.directory}: tensor {name} is not a parameter of {type(model).__name__}, "
                "the class in config.json; use the config that it was saved with"
            )
    for name, key in parameters.items():
        shape = shards.places[name].shape
        if key in expected and tuple(expected[key].shape) != shape:
            raise CheckpointError(
                f"{shards.directory}: tensor {name} is {list(shape)}, expected "
                f"{list(expected[key].shape)} as config.json says; use the config that it was "
                "saved with"
            )
    return parameters


def _empty_model(shards: Shards) -> Any:
    """The model that config.json names, on the meta device."""
    import torch
    import transformers

    class_name = (shards.config.get("architectures") or [None])[0]
    model_class = getattr(transformers, str(class_name), None)
    if model_class is None:
        raise CheckpointError(
            f"{shards.directory}: architectures in config.json is {class_name}, expected a class "
            "of transformers, e.g. Qwen2ForCausalLM; correct config.json"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(shards.directory, local_files_only=True)
        with torch.device("meta"):
            return model_class(config)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{shards.directory}: {class_name} cannot be built from config.json ({reason}); copy "
            "it again"
        ) from None


def _renamer(model: Any, expected: Mapping[str, Any]) -> Any:
    """The function by which transformers renames stored tensors when it loads `model`."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    steps = get_model_conversion_mapping(model)
    converters = [step for step in steps if isinstance(step, WeightConverter)]
    renamings = [step for step in steps if not isinstance(step, WeightConverter)]

    def renamed(name: str) -> str:
        return rename_source_key(name, renamings, converters, model.base_model_prefix, expected)[0]

    return renamed


def _tied_parameters(model: Any, loaded: set[str]) -> set[str]:
    """Parameters that are tied to a loaded one."""
    return {key for key, source in model.all_tied_weights_keys.items() if source in loaded}


def _elsewhere(key: str, extra: Iterable[str]) -> str:
    """Message part that names where a parameter is stored under another prefix, if it is."""
    tail = key
    while tail:
        for name in extra:
            if name == tail or name.endswith(f".{tail}"):
                return f"the checkpoint has {name}, under a prefix that the model does not use"
        tail = tail.partition(".")[2]
        # `q_proj.weight` alone would match another layer's
        if tail.count(".") < 2:
            break
    return "the checkpoint has no such tensor"


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model."""
    return config.get("text_config") or config


def _tied(side: Shards) -> bool:
    """Whether head and embedding are tied, by the config if it says so, else by the tensors."""
    tied = side.config.get("tie_word_embeddings")
    return side.tied if tied is None else bool(tied)


def _vocabulary(directory: Path) -> Any:
    """Vocabulary and added tokens in tokenizer.json; None if there is no such file."""
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
