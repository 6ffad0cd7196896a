# SPDX-License-Identifier: MIT
"""Token ids of a conversation, and the token that ends an answer.

Training, evaluation, RL and diagnostics all use this module, so that a model is scored on the ids
that it was trained on. If the tokenizer has a chat template (instruct models), the task is the user
turn, an answer is the assistant turn, and the verifier's feedback is the next user turn. No system
turn is added; the default one of a template stays (Qwen 2.5 writes a greeting, Llama 3.2 a date).
Without a template, as for the tiny model, the turns are joined by single spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

Messages = list[dict[str, str]]
"""A chat: dictionaries with `role` and `content`."""
Prompt = str | Messages
"""One user turn as text, or a chat that the next answer continues."""

DATE: Final = "26 Jul 2024"
"""The date that templates get, the default of Llama 3.2's own template. With the current date,
prompts would change overnight, and with them every result."""
_SHOWN: Final = 40
"""Characters of a prompt in an error message."""


def messages(prompt: Prompt) -> Messages:
    """A prompt as chat messages; a text is one user turn."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def continued(prompt: Prompt, answer: str, feedback: str) -> Messages:
    """The conversation with an answer and the verifier's feedback appended."""
    return [
        *messages(prompt),
        {"role": "assistant", "content": answer},
        {"role": "user", "content": feedback},
    ]


def prompt_ids(tokenizer: Any, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Token ids of each prompt, up to the first token of the answer.

    Raises:
        ValueError: a prompt has words unknown to the tokenizer or is longer than the model's
            context, or the template would write the current date.
    """
    if not prompts:
        return []
    chats = [messages(prompt) for prompt in prompts]
    ids: list[list[int]]
    if tokenizer.chat_template is None:
        ids = tokenizer([" ".join(turn["content"] for turn in chat) for chat in chats])["input_ids"]
    else:
        rendered = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, date_string=_date(tokenizer)
        )
        ids = rendered["input_ids"]
    _require_readable(tokenizer, chats, ids)
    return ids


def answer_ids(tokenizer: Any, answers: Sequence[str]) -> list[list[int]]:
    """Token ids of each answer and its end token; training and evaluation use the same."""
    end = end_of_turn(tokenizer)
    texts = tokenizer(list(answers), add_special_tokens=False)["input_ids"] if answers else []
    return [[*ids, end] for ids in texts]


def end_of_turn(tokenizer: Any) -> int:
    """The token that ends an answer: the template's end of turn, or else the end of text.

    It is the first special token that the template writes after an answer, e.g. Qwen's `<|im_end|>`
    and Llama 3's `<|eot_id|>`. The tokenizer's `eos_token` may end documents instead of turns.

    Raises:
        ValueError: neither the template nor the tokenizer has such a token.
    """
    if tokenizer.chat_template is None:
        if tokenizer.eos_token_id is None:
            raise ValueError(
                "tokenizer: got neither eos_token nor a chat template, expected a token that ends "
                "an answer; set eos_token in tokenizer_config.json"
            )
        return int(tokenizer.eos_token_id)
    answer = "answer"
    chat = [*messages("question"), {"role": "assistant", "content": answer}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, date_string=_date(tokenizer))
    after = tokenizer(text.rpartition(answer)[2], add_special_tokens=False)["input_ids"]
    added = tokenizer.added_tokens_decoder
    for token in after:
        if token in added and added[token].special:
            return int(token)
    raise ValueError(
        f"chat template: got {text.rpartition(answer)[2]!r} after an answer, expected a special "
        "token that ends the turn; correct chat_template.jinja of the model"
    )


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that stop generation: the model's `eos_token_id`, and the end of a turn."""
    declared = model.generation_config.eos_token_id
    stops = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    end = end_of_turn(tokenizer)
    return stops if end in stops else [end, *stops]


def pad_id(tokenizer: Any) -> int:
    """The padding token; a tokenizer without one (Llama 3.1) pads with the end of a turn.

    Padding is masked out of attention and losses, so the choice affects no result.
    """
    pad = tokenizer.pad_token_id
    return end_of_turn(tokenizer) if pad is None else int(pad)


def left_padded(tokenizer: Any, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids, padded on the left, and attention mask; both (sequences, longest)."""
    shape = (len(sequences), max(map(len, sequences)))
    ids = torch.full(shape, pad_id(tokenizer))
    mask = torch.zeros(shape, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, -len(sequence) :] = torch.tensor(sequence)
        mask[row, -len(sequence) :] = 1
    return ids, mask


def _date(tokenizer: Any) -> str:
    """The fixed date; a template that reads the clock and has no `date_string` is refused."""
    template = tokenizer.get_chat_template()
    if "strftime_now" in template and "date_string" not in template:
        raise ValueError(
            "chat template: got strftime_now (the current date), expected a template with "
            "`date_string`, since results must not change overnight; edit chat_template.jinja of "
            "the model"
        )
    return DATE


def _require_readable(
    tokenizer: Any, chats: Sequence[Messages], ids: Sequence[Sequence[int]]
) -> None:
    """Refuse unknown words, and a first prompt longer than the model's context.

    Later turns may exceed the context of the tiny model, whose answers can be long; they are scored
    as they are.
    """
    unknown = tokenizer.unk_token_id
    if unknown in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        # as in GPT-2, which has one token for all of them
        unknown = None
    for chat, tokens in zip(chats, ids, strict=True):
        count = tokens.count(unknown) if unknown is not None else 0
        if count:
            raise ValueError(
                f"prompt {_start(chat)}: {count} of {len(tokens)} tokens are unknown to the "
                "tokenizer, expected words of its vocabulary; set style to compact for a tiny "
                "model, or use a pretrained one"
            )
        most = tokenizer.model_max_length
        if len(tokens) > most and not any(turn["role"] == "assistant" for turn in chat):
            raise ValueError(
                f"prompt {_start(chat)}: got {len(tokens)} tokens, expected at most {most}, the "
                "context of the model; set style to compact, or use a model with a longer context"
            )


def _start(chat: Messages) -> str:
    text = chat[-1]["content"]
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
