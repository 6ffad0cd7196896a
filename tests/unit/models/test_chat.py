# SPDX-License-Identifier: MIT
"""Every part of the study gives a model the same token ids, by its own chat template."""

from __future__ import annotations

import copy
from functools import cache, partial
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from environments import ToyEnvironment
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from derotate import tasks
from derotate.config.model import TinyModel
from derotate.config.rl import Grpo
from derotate.config.training import Compute
from derotate.evaluation.evaluate import Decoding, respond
from derotate.models.chat import (
    DATE,
    Messages,
    answer_ids,
    continued,
    end_of_turn,
    left_padded,
    pad_id,
    prompt_ids,
    stop_ids,
)
from derotate.models.checkpoint import load, save
from derotate.models.tiny import tiny_model, tiny_tokenizer
from derotate.tasks import TASKS
from derotate.tasks.samples import Sample
from derotate.training import grpo
from derotate.training.multi_turn import play_episodes, sample_responses
from derotate.training.rl_job import RlJob
from derotate.training.sft import IGNORED, Optimisation, SftJob, tokenised_dataset, train

QWEN_LIKE = (
    "{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\nhelp<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- for turn in messages %}"
    "{{- '<|im_start|>' + turn['role'] + '\n' + turn['content'] + '<|im_end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
LLAMA_LIKE = (
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
    "{%- endif %}"
    "{{- bos_token + '<|start_header_id|>system<|end_header_id|>\n\n' + date_string + '<|eot_id|>'"
    " }}"
    "{%- for turn in messages %}"
    "{{- '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\n\n' + turn['content'] | trim"
    " + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<|im_start|>", "<|im_end|>",
           "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")  # fmt: skip
WORDS = ("system", "user", "assistant", "help", *DATE.split(), "a", "b", "c", "why", "no", "again")
ASKED: Messages = [{"role": "user", "content": "why a"}]
TINY = TinyModel(hidden_size=32, intermediate_size=32, layers=1, heads=2)


@cache
def chat_tokenizer(template: str, pad: bool = True) -> Any:
    """Word-level; its end token is not what ends a turn, and plain text starts with `<bos>`."""
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
        pad_token="<pad>" if pad else None, padding_side="left", chat_template=template,
        model_max_length=64, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def words(tokenizer: Any, ids: list[int]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


def model_that_says(tokenizer: Any, said: tuple[str, ...]) -> Any:
    """A model whose next token depends on the last one alone: each word of `said` on the one
    before, and the first again after the last."""
    model = tiny_model(TINY, tokenizer, seed=0).eval()
    chain = tokenizer.convert_tokens_to_ids(["assistant", *said, said[0]])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "proj" in name or "lm_head" in name:
                weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(32)[: len(tokenizer)])
        for before, after in pairwise(chain):
            model.lm_head.weight[after, before] = 20.0
    return model


@pytest.mark.parametrize("task", TASKS)
def test_the_tiny_models_ids_are_those_of_plain_text(task: str) -> None:
    tokenizer = tiny_tokenizer(tasks.load(task).pretraining.WORDS)
    prompts, answers = tasks.load(task).prompts, tasks.load(task).answers
    problems = tasks.load(task).problems
    for split in problems.SPLITS:
        for problem in problems.generate(split, 1, 0)[::97]:
            prompt, right = prompts.prompt(problem, "compact"), prompts.response(problem, "compact")
            feedback = tasks.load(task).feedback.feedback(
                problem, answers.grade(problem, "", "compact"), "compact"
            )
            # the text that was tokenized before there were conversations
            text = f"{prompt} {right} {feedback}"
            assert prompt_ids(tokenizer, [prompt]) == tokenizer([prompt])["input_ids"]
            chat = continued(prompt, right, feedback)
            assert prompt_ids(tokenizer, [chat]) == tokenizer([text])["input_ids"]
            plain = tokenizer(right, add_special_tokens=False)["input_ids"]
            assert answer_ids(tokenizer, [right]) == [[*plain, tokenizer.eos_token_id]]


def test_a_tokenizer_pads_and_masks_as_it_did_itself() -> None:
    tokenizer = tiny_tokenizer(("a", "b"))
    ids = prompt_ids(tokenizer, ["a", "a b a", "b b"])
    expected = tokenizer(["a", "a b a", "b b"], padding=True, return_tensors="pt")
    found, mask = left_padded(tokenizer, ids)
    assert torch.equal(found, expected["input_ids"]) and found.dtype == expected["input_ids"].dtype
    assert torch.equal(mask, expected["attention_mask"])


def test_a_template_like_qwens_frames_every_turn() -> None:
    tokenizer = chat_tokenizer(QWEN_LIKE)
    start, end = "<|im_start|>", "<|im_end|>"
    one = f"{start} system help {end} {start} user why a {end} {start} assistant"
    assert words(tokenizer, *prompt_ids(tokenizer, [ASKED])) == one
    second = continued(ASKED, "b", "no again")
    two = f"{one} b {end} {start} user no again {end} {start} assistant"
    assert words(tokenizer, *prompt_ids(tokenizer, [second])) == two
    assert ASKED == [{"role": "user", "content": "why a"}]  # a conversation goes on in a copy


def test_a_template_like_llamas_begins_once_and_on_a_fixed_day() -> None:
    tokenizer = chat_tokenizer(LLAMA_LIKE)
    head, foot, end = "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"
    expected = (
        f"<bos> {head} system {foot} {DATE} {end} {head} user {foot} why a {end} "
        f"{head} assistant {foot} b {end} {head} user {foot} no again {end} {head} assistant {foot}"
    )
    assert words(tokenizer, *prompt_ids(tokenizer, [continued(ASKED, "b", "no again")])) == expected


def test_a_text_is_one_user_turn() -> None:
    for template in (QWEN_LIKE, LLAMA_LIKE):
        tokenizer = chat_tokenizer(template)
        assert prompt_ids(tokenizer, ["why a"]) == prompt_ids(tokenizer, [ASKED])


@pytest.mark.parametrize(
    ("template", "end"), [(QWEN_LIKE, "<|im_end|>"), (LLAMA_LIKE, "<|eot_id|>")]
)
def test_an_answer_ends_with_the_turn_and_not_with_the_text(template: str, end: str) -> None:
    tokenizer = chat_tokenizer(template)
    assert tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)) == end
    assert words(tokenizer, *answer_ids(tokenizer, ["a b"])) == f"a b {end}"
    model = tiny_model(TINY, tokenizer, seed=0)
    assert stop_ids(model, tokenizer) == [end_of_turn(tokenizer), tokenizer.eos_token_id]
    model.generation_config.eos_token_id = stop_ids(model, tokenizer)
    assert stop_ids(model, tokenizer) == model.generation_config.eos_token_id


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("qwen2_5", "<|im_end|>"),
        ("llama3", "<|eot_id|>"),
        ("llama3_1", "<|eot_id|>"),
        ("llama3_2", "<|eot_id|>"),
    ],
)
def test_the_papers_models_own_templates(name: str, end: str) -> None:
    template = files("trl").joinpath("chat_templates", f"{name}.jinja").read_text("utf-8")
    tokenizer = chat_tokenizer(template)
    assert tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)) == end
    text = tokenizer.apply_chat_template(
        continued(ASKED, "b", "no"), tokenize=False, add_generation_prompt=True, date_string=DATE
    )
    # Llama 3.2's template asks for the day of the run unless it is told one
    assert name != "llama3_2" or f"Today Date: {DATE}\n" in text
    assert text.index("why a") < text.index("b" + end) < text.index("no" + end)
    assert text.count("<bos>") == name.startswith("llama")


@pytest.mark.parametrize("template", [QWEN_LIKE, LLAMA_LIKE])
def test_sft_teaches_the_answer_and_its_end_and_nothing_of_the_template(template: str) -> None:
    tokenizer = chat_tokenizer(template)
    samples = [Sample(ASKED, "b c"), Sample("why b", "a"), Sample(ASKED, "b", ends=False)]
    rows = list(tokenised_dataset(tokenizer, samples))
    end = end_of_turn(tokenizer)
    answers = [tokenizer.convert_tokens_to_ids(text) for text in (["b", "c"], ["a"], ["b"])]
    taught = [[label for label in row["labels"] if label != IGNORED] for row in rows]
    assert taught == [[*answers[0], end], [*answers[1], end], answers[2]]
    for row, sample in zip(rows, samples, strict=True):
        assert len(row["labels"]) == len(row["input_ids"])
        own = prompt_ids(tokenizer, [sample.prompt])[0]
        assert row["input_ids"][: len(own)] == own
        assert row["labels"][: len(own)] == [IGNORED] * len(own)
    whole = tokenizer.apply_chat_template(
        [*ASKED, {"role": "assistant", "content": "b c"}], date_string=DATE
    )["input_ids"]
    assert whole[: len(rows[0]["input_ids"])] == rows[0]["input_ids"]


@pytest.mark.parametrize("template", [QWEN_LIKE, LLAMA_LIKE])
def test_what_sft_taught_is_answered_and_ended(template: str, tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(chat_tokenizer(template, pad=False))  # trl gives it a pad token
    taught = {"why a": "b", "why b": "c a"}
    train(
        tiny_model(TINY, tokenizer, seed=1),
        tokenizer,
        [Sample(*pair) for pair in taught.items()] * 40,
        SftJob(
            optimisation=Optimisation(1e-2, 2, 1, "constant_with_warmup", 1),
            checkpoints={40: tmp_path / "end"},
            log=tmp_path / "log.csv",
            compute=Compute(),
        ),
    )
    model, own = load(tmp_path / "end")
    assert own.get_chat_template() == template
    limits = Decoding(max_new_tokens=6, batch_size=2)
    assert respond(model, own, list(taught), limits) == list(taught.values())


def test_an_answer_stops_at_the_end_of_its_turn() -> None:
    tokenizer = chat_tokenizer(QWEN_LIKE)
    model = model_that_says(tokenizer, ("a", "b", "<|im_end|>"))
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    asked = [ASKED, continued(ASKED, "c", "no again")]
    limits = Decoding(max_new_tokens=7, batch_size=2)
    assert respond(model, tokenizer, asked, limits) == ["a b", "a b"]


def test_a_model_made_to_repeat_itself_less_answers_as_it_would_without() -> None:
    tokenizer = chat_tokenizer(QWEN_LIKE)
    model = model_that_says(tokenizer, ("a", "b"))
    with torch.no_grad():  # what it would turn to
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("c")] = 1.0
    model.generation_config.repetition_penalty = 1e6  # what instruct models ship, exaggerated
    limits = Decoding(max_new_tokens=3, batch_size=1)
    assert respond(model, tokenizer, ["why"], limits) == ["a b a"]


def test_an_attempt_reads_the_verifier_as_a_further_user_turn() -> None:
    tokenizer = chat_tokenizer(QWEN_LIKE)
    model = model_that_says(tokenizer, ("a", "b", "<|im_end|>"))
    environment = ToyEnvironment([ASKED, "why c"], lambda *_: 0.0, lambda *_: "no again")
    sample = partial(sample_responses, model, tokenizer, 0.01, 7)
    played = play_episodes(sample, tokenizer, environment, [1, 0], attempts=2)
    first, second = (prompt_ids(tokenizer, [prompt])[0] for prompt in ("why c", ASKED))
    again = prompt_ids(
        tokenizer, [continued(prompt, "a b", "no again") for prompt in ("why c", ASKED)]
    )
    assert [list(attempt.context) for attempt in played] == [first, again[0], second, again[1]]
    assert {attempt.response for attempt in played} == {tuple(answer_ids(tokenizer, ["a b"])[0])}


def test_grpo_generates_from_the_ids_of_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = chat_tokenizer(QWEN_LIKE)
    save(model_that_says(tokenizer, ("a", "b", "<|im_end|>")), tokenizer, tmp_path / "start")
    seen: list[list[int]] = []

    class Listening(grpo.SeededGRPOTrainer):
        """The trainer, overheard where it hands ids to generation."""

        def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kw: Any) -> Any:
            seen.extend(prompt_ids)
            return super()._generate_single_turn(prompt_ids, *args, **kw)

    monkeypatch.setattr(grpo, "SeededGRPOTrainer", Listening)
    prompts, rewarded = [ASKED, "why c", "why b"], []

    def reward(problem: int, response: str) -> float:
        rewarded.append((problem, response))
        return 0.0

    grpo.train(
        RlJob(
            environment=ToyEnvironment(prompts, reward),
            start=tmp_path / "start",
            checkpoints={1: tmp_path / "end"},
            log=tmp_path / "log.csv",
            settings=Grpo(learning_rate=1e-3, updates=1, prompts=3, group_size=2, temperature=0.01),
            max_new_tokens=7,
            seed=3,
        )
    )
    assert {text for _, text in rewarded} == {"a b"}  # stopped by the end of the turn
    assert seen == prompt_ids(tokenizer, [prompts[problem] for problem, _ in rewarded])


def test_a_tokenizer_without_padding_pads_with_the_end_of_a_turn() -> None:
    tokenizer = chat_tokenizer(LLAMA_LIKE, pad=False)
    assert tokenizer.pad_token_id is None
    assert pad_id(tokenizer) == end_of_turn(tokenizer)
    ids, mask = left_padded(tokenizer, [[5], [6, 7]])
    assert ids.tolist() == [[end_of_turn(tokenizer), 5], [6, 7]]
    assert mask.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("task", TASKS)
def test_natural_prompts_are_refused_for_a_tiny_model(task: str) -> None:
    tokenizer = tiny_tokenizer(tasks.load(task).pretraining.WORDS)
    problem = tasks.load(task).problems.generate("id", 1, 0)[0]
    prompt = tasks.load(task).prompts.prompt(problem, "natural")
    with pytest.raises(ValueError, match=r"tokens are unknown to the tokenizer.*style to compact"):
        prompt_ids(tokenizer, [prompt])


def test_a_prompt_longer_than_the_context_is_refused_and_later_turns_are_not() -> None:
    tokenizer = tiny_tokenizer(("a", "b"))
    tokenizer.model_max_length = 8
    with pytest.raises(ValueError, match="9 tokens, expected at most 8, the context"):
        prompt_ids(tokenizer, ["a " * 8])
    assert len(*prompt_ids(tokenizer, [continued("a a a", "b b b", "a a a")])) == 10


def test_templates_that_look_at_the_clock_or_end_no_turn_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the current date.*edit chat_template\.jinja"):
        prompt_ids(chat_tokenizer("{{- strftime_now('%Y') }} why"), ["why"])
    endless = chat_tokenizer("{%- for turn in messages %}{{- turn['content'] + ' ' }}{%- endfor %}")
    with pytest.raises(ValueError, match="' ' after an answer, expected a special token"):
        end_of_turn(endless)
