# SPDX-License-Identifier: MIT
"""Fetch the pretrained base of a study, check it, and merge its shards into one weights file.

From the hub, one commit is downloaded, or read from the cache. Only safetensors, tokenizer and
configs are used: pickled weights and code can do anything. A record lists each file with its
checksum.
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
"""Configs and licence, and the tokenizer: `tokenizer.json`, `tokenizer.model`,
`tokenizer_config.json`."""
NEVER = ("*/*", "*.py", "*.bin", "*.pt", "*.pth", "*.pkl")
"""Never fetched, whatever the other patterns say. Subfolders have weights for other programs."""
RECORD = "fetched.json"
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


class FetchError(ValueError):
    """A model that cannot be fetched: one line with its name and a remedy."""


def fetch(model: PretrainedModel, directory: Path) -> None:
    """Make the checkpoint of a pretrained model; an error leaves no files.

    Args:
        model: its name or folder, and the dtype of the weights.
        directory: of the new checkpoint.

    Raises:
        FetchError: the hub, the model, its revision or the folder cannot be reached.
        CheckpointError: the files are no complete model in safetensors with a tokenizer.
    """
    source = _folder(model.pretrained) if model.is_folder else _from_hub(model)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with scratch(directory) as aside:
        used = merge(source, aside, model.dtype)
        for pattern in BESIDE:
            for file in sorted(source.glob(pattern)):
                if file.is_file() and not any(file.match(never) for never in NEVER[1:]):
                    used.append(file)
                    if not (aside / file.name).exists():
                        shutil.copyfile(file, aside / file.name)
        _keep_special_tokens_only(aside)
        _complete_tokenizer(source, aside)
        record = {
            "pretrained": model.pretrained,
            "revision": model.revision,
            "dtype": model.dtype,
            "files": [_file_record(file) for file in sorted(set(used))],
        }
        (aside / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        move_into_place(aside, directory)


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise FetchError(
            f"model.pretrained: got {name}, expected the folder of a Hugging Face model; no such "
            "folder, correct the path"
        )
    return folder


def _from_hub(model: PretrainedModel) -> Path:
    """The snapshot of a commit in the hub's cache, downloaded if it is not there."""
    from huggingface_hub import errors, snapshot_download

    name = f"model.pretrained: {model.pretrained}"
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
            f"{name} is gated; accept its licence on its page, then set HF_TOKEN to a token of "
            "that account"
        ) from None
    except errors.RepositoryNotFoundError:
        raise FetchError(
            f"{name} is not on the hub, or is private; correct the name, or set HF_TOKEN to a "
            "token that may read it"
        ) from None
    except errors.RevisionNotFoundError:
        raise FetchError(
            f"model.revision: {model.pretrained} has no commit {model.revision}; copy one from its "
            "history on the hub"
        ) from None
    # HTTPError: connection errors that huggingface_hub does not wrap
    except (OSError, errors.HTTPError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FetchError(
            f"{name} at {model.revision} is not in the cache, and the hub cannot be reached "
            f"({reason}); go online without HF_HUB_OFFLINE, or copy the model here and set "
            "the key to its folder"
        ) from None
    if not any(folder.glob(WEIGHTS[0])):
        raise FetchError(
            f"{name} has no safetensors weights at {model.revision}; pickled ones can run code and "
            "are not fetched, convert them and set the key to their folder"
        )
    return folder


def _keep_special_tokens_only(directory: Path) -> None:
    """Remove all generation defaults but the special tokens; the study sets how it samples.

    Some models set a repetition penalty, which would change greedy answers too.
    """
    path = directory / "generation_config.json"
    if not path.is_file():
        return
    config = _json(path)
    tokens = {key: config[key] for key in TOKEN_IDS if config.get(key) is not None}
    path.write_text(json.dumps(tokens, indent=2) + "\n", encoding="utf-8")


def _complete_tokenizer(source: Path, directory: Path) -> None:
    """Refuse a tokenizer without an end token; without a padding token, pad with the end token."""
    try:
        tokenizer = load_tokenizer(directory)
    # the Rust code of tokenizers raises plain Exception
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{source}: cannot read the tokenizer ({reason}); copy its files beside the weights"
        ) from None
    if tokenizer.eos_token_id is None:
        raise CheckpointError(
            f"{source}: the tokenizer has no end token, expected one to end answers with; set "
            "eos_token in tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.save_pretrained(directory)


def _file_record(file: Path) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest}


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: not readable JSON ({error}); copy it again") from None
    return content
