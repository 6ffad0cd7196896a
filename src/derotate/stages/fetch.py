# SPDX-License-Identifier: MIT
"""The base of a study with a pretrained model: fetched, checked, and made one weights file.

From the hub it is one commit of it, out of the cache where it is there already. Of a repository
only weights in safetensors, tokenizer and configs are taken: pickled weights and code can do
anything. What arrived is written down beside it, file by file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derotate.files.scratch import scratch
from derotate.models.checkpoint import CheckpointError, load_tokenizer, move_into_place
from derotate.models.merge_shards import merge

if TYPE_CHECKING:
    from derotate.config.model import PretrainedModel

WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
BESIDE = ("config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json",
          "added_tokens.json", "vocab.*", "merges.txt", "chat_template.*", "LICENSE*")  # fmt: skip
"""Of the tokenizer `tokenizer.json`, `tokenizer.model` and `tokenizer_config.json`."""
NEVER = ("*/*", "*.py", "*.bin", "*.pt", "*.pth", "*.pkl")
"""Left out whatever else fits. Subfolders hold weights in the form of other programs."""
RECORD = "fetched.json"
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


class FetchError(ValueError):
    """A model that cannot be had: one line with its name and a remedy."""


def fetch(model: PretrainedModel, directory: Path) -> None:
    """Make the checkpoint of a pretrained model; a refusal leaves nothing.

    Args:
        model: where it is, and the type that its weights are to have.
        directory: of the checkpoint.

    Raises:
        FetchError: the hub, the model, its revision or the folder cannot be reached.
        CheckpointError: what was found is no whole model in safetensors with a tokenizer.
    """
    source = _folder(model.pretrained) if model.is_folder else _from_hub(model)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with scratch(directory) as aside:
        taken = merge(source, aside, model.dtype)
        for pattern in BESIDE:
            for file in sorted(source.glob(pattern)):
                if file.is_file() and not any(file.match(never) for never in NEVER[1:]):
                    taken.append(file)
                    if not (aside / file.name).exists():
                        shutil.copyfile(file, aside / file.name)
        _neutral_generation(aside)
        _complete_tokenizer(source, aside)
        record = {
            "pretrained": model.pretrained,
            "revision": model.revision,
            "dtype": model.dtype,
            "files": [_described(file) for file in sorted(set(taken))],
        }
        (aside / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        move_into_place(aside, directory)


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise FetchError(
            f"model.pretrained: got {name}, expected the folder of a Hugging Face model, and there "
            "is none; correct the path"
        )
    return folder


def _from_hub(model: PretrainedModel) -> Path:
    """The snapshot of a commit in the cache of the hub, downloaded if it is not there."""
    from huggingface_hub import errors, snapshot_download

    named = f"model.pretrained: {model.pretrained}"
    try:
        folder = Path(
            snapshot_download(
                model.pretrained,
                revision=model.revision,
                allow_patterns=[*WEIGHTS, *BESIDE],
                ignore_patterns=list(NEVER),
            )
        )
    except errors.GatedRepoError:
        raise FetchError(
            f"{named} is gated; accept its licence on its page, then set HF_TOKEN to a token of "
            "that account"
        ) from None
    except errors.RepositoryNotFoundError:
        raise FetchError(
            f"{named} is not on the hub, or is private; correct the name, or set HF_TOKEN to a "
            "token that may read it"
        ) from None
    except errors.RevisionNotFoundError:
        raise FetchError(
            f"model.revision: {model.pretrained} has no commit {model.revision}; copy one from its "
            "history on the hub"
        ) from None
    # the second are errors of the connection that the library passes on
    except (OSError, errors.HTTPError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FetchError(
            f"{named} at {model.revision} is not in the cache, and the hub cannot be reached "
            f"({reason}); go online without HF_HUB_OFFLINE, or copy the model here and name its "
            "folder"
        ) from None
    if not any(folder.glob(WEIGHTS[0])):
        raise FetchError(
            f"{named} has no weights in safetensors at {model.revision}; pickled ones can run code "
            "and are not fetched, convert them and name the folder"
        )
    return folder


def _neutral_generation(directory: Path) -> None:
    """Keep only which tokens begin, end and pad: how responses are drawn is the study's affair.

    Some models bring a penalty on repetitions, which would change greedy answers too.
    """
    path = directory / "generation_config.json"
    if not path.is_file():
        return
    found = _json(path)
    kept = {key: found[key] for key in TOKEN_IDS if found.get(key) is not None}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _complete_tokenizer(source: Path, directory: Path) -> None:
    """Refuse a tokenizer without an end token; one that cannot pad does so with its end token."""
    try:
        tokenizer = load_tokenizer(directory)
    # the Rust part of tokenizers raises plain exceptions
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{source}: no tokenizer that can be read ({reason}); copy its files beside the weights"
        ) from None
    if tokenizer.eos_token_id is None:
        raise CheckpointError(
            f"{source}: the tokenizer has no end token, expected one, since answers end with it; "
            "name it as eos_token in tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.save_pretrained(directory)


def _described(file: Path) -> dict[str, Any]:
    """Name, bytes and SHA-256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest}


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: not readable JSON ({error}); copy it again") from None
    return found
