# SPDX-License-Identifier: MIT
"""How a conversation becomes token ids, and which token ends an answer.

Training, evaluation, RL and diagnostics all ask here, so that a model is scored on the ids that it
was trained on. A tokenizer with a chat template (an instruct model's) gets it: the task is the user
turn, an answer the assistant's, the verifier's message on it the next user turn. No system turn is
added; what a template writes of its own (Qwen 2.5 a greeting, Llama 3.2 a date) stays in. Without a
template, as for the tiny model, the turns are one text with single spaces between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

Messages = list[dict[str, str]]
"""A chat: dictionaries with `role` and `content`."""
Prompt = str | Messages
"""What is asked: one user turn as text, or a chat that the next answer goes on."""

DATE: Final = "26 Jul 2024"
"""What a template is told of the date, the fallback of Llama 3.2's own: with the day of the run,
prompts would change overnight, and with them every result."""
_SHOWN: Final = 40
"""Characters of a prompt that an error shows."""


def messages(prompt: Prompt) -> Messages:
    """The turns of a prompt; a text is one user turn."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def continued(prompt: Prompt, answer: str, feedback: str) -> Messages:
    """The conversation after an answer and what the verifier said of it."""
    return [
        *messages(prompt),
        {"role": "assistant", "content": answer},
        {"role": "user", "content": feedback},
    ]


def prompt_ids(tokenizer: Any, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Token ids of each prompt, up to where the answer starts.

    Raises:
        ValueError: a prompt has words that the tokenizer does not know, or does not fit the model's
            context; the template would write the date of the day.
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
    """Token ids of each answer and the token that ends it: what is taught and what is scored."""
    end = end_of_turn(tokenizer)
    texts = tokenizer(list(answers), add_special_tokens=False)["input_ids"] if answers else []
    return [[*ids, end] for ids in texts]


def end_of_turn(tokenizer: Any) -> int:
    """The token that ends an answer: what the template writes after one, else the end of text.

    Qwen's `<|im_end|>` and Llama 3's `<|eot_id|>` are found so without a table of models. The
    tokenizer's own end token may be another one, which ends documents and not turns.

    Raises:
        ValueError: neither the template nor the tokenizer has such a token.
    """
    if tokenizer.chat_template is None:
        if tokenizer.eos_token_id is None:
            raise ValueError(
                "tokenizer: eos_token is none and there is no chat template, expected a token that "
                "ends an answer; name one in tokenizer_config.json"
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
        f"chat template: {text.rpartition(answer)[2]!r} after an answer, expected a special token "
        "that ends the turn; correct chat_template.jinja of the model"
    )


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that stop generation: those that the model declares, and the end of a turn."""
    declared = model.generation_config.eos_token_id
    known = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    end = end_of_turn(tokenizer)
    return known if end in known else [end, *known]


def pad_id(tokenizer: Any) -> int:
    """The token that fills up a batch; a tokenizer without one (Llama 3.1) takes the end of a turn.

    Masks leave padding out of attention and losses, so the choice is in no result.
    """
    own = tokenizer.pad_token_id
    return end_of_turn(tokenizer) if own is None else int(own)


def left_padded(tokenizer: Any, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids with padding on the left, and 1 where they are none: (sequences, longest) each."""
    shape = (len(sequences), max(map(len, sequences)))
    ids = torch.full(shape, pad_id(tokenizer))
    mask = torch.zeros(shape, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, -len(sequence) :] = torch.tensor(sequence)
        mask[row, -len(sequence) :] = 1
    return ids, mask


def _date(tokenizer: Any) -> str:
    """The fixed date; refused are templates that would not take it and look at the clock."""
    template = tokenizer.get_chat_template()
    if "strftime_now" in template and "date_string" not in template:
        raise ValueError(
            "chat template: writes the date of the day (strftime_now), expected one that takes "
            "`date_string`, since results must not change overnight; edit chat_template.jinja of "
            "the model"
        )
    return DATE


def _require_readable(
    tokenizer: Any, chats: Sequence[Messages], ids: Sequence[Sequence[int]]
) -> None:
    """Refuse unknown words, and a first prompt longer than the model's context.

    Later turns may pass the context of the tiny model, whose answers can be long: they are scored
    as they are.
    """
    unknown = tokenizer.unk_token_id
    if unknown in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        unknown = None  # one token for all of them, as GPT-2 has it, tells nothing
    for chat, own in zip(chats, ids, strict=True):
        count = own.count(unknown) if unknown is not None else 0
        if count:
            raise ValueError(
                f"prompt {_start(chat)}: {count} of {len(own)} tokens are unknown to the "
                "tokenizer, expected its own words; set style to compact for a tiny model, or take "
                "a pretrained one"
            )
        most = tokenizer.model_max_length
        if len(own) > most and not any(turn["role"] == "assistant" for turn in chat):
            raise ValueError(
                f"prompt {_start(chat)}: {len(own)} tokens, expected at most {most}, the context "
                "of the model; set style to compact, or take a model with a longer one"
            )


def _start(chat: Messages) -> str:
    text = chat[-1]["content"]
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
