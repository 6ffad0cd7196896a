# SPDX-License-Identifier: MIT
"""Bad config is refused in one line that names key, value and expectation."""

from pathlib import Path
from typing import Any

import pytest

from derotate.config.schema import Config, ConfigError, further, load


def test_the_defaults_are_a_valid_study() -> None:
    assert load({}) == Config()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sedes": [1]}, ("unknown key sedes",)),
        ({"rl": {"grpo": {"learnig_rate": 1e-5}}}, ("unknown key rl.grpo.learnig_rate",)),
        ({"sft": {"batch_size": "many"}}, ("sft.batch_size", "'many'", "integer")),
        ({"sft": {"learning_rate": 3.0}}, ("sft.learning_rate", "3.0", "less than 1")),
        ({"sft": {"segments": [[50, 20]]}}, ("got step 20 after step 50", "ascending steps")),
        ({"landmarks": {"sft_end": 55}}, ("landmarks.sft_end", "55", "20, 40, 60")),
        ({"rl": {"runs": [{"starts": [61]}]}}, ("rl.runs.starts", "61", "an SFT step")),
        ({"surgery": {"reverse": ["nothing"]}}, ("surgery.reverse", "nothing", "a recipe")),
        ({"base": {"mixture": {"plain": 0.5}}}, ("sum to", "expected 1")),
        ({"model": {"heads": 5}}, ("heads", "hidden_size", "change one")),
        ({"seeds": [-1]}, ("seeds.0", "-1", "greater than or equal to 0")),
        ({"task": "chess"}, ("task", "'chess'", "general_points")),
        ({"diagnostics": {"prompts": 2}}, ("diagnostics", "got 2", "0 or at least 3")),
        ({"lora": {"matrices": ["z"]}}, ("lora.matrices", "z", "kinds out of")),
        (
            {"task": "rank", "diverse": {"steps": [200]}},
            (
                "diverse.steps: got [200] with task rank",
                "expected an empty list",
                "(general_points)",
            ),
        ),
    ],
)
def test_bad_values_are_one_line(values: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        load(values)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_every_wrong_key_gets_a_line() -> None:
    with pytest.raises(ConfigError) as error:
        load({"sedes": [1], "sft": {"batch_size": 0}})
    assert len(str(error.value).splitlines()) == 2


def test_further_studies_are_known_by_names_that_rules_can_have(tmp_path: Path) -> None:
    file = tmp_path / "ranks.yaml"
    file.write_text("study: ranks\ntask: rank\nsft: {batch_size: 8, warmup_steps: 2}\n")
    differs = {"study": "tiny-rank", "seeds": [1, 2], "sft": {"warmup_steps": 3}}
    [(name, config)] = further(load({"also": [{"file": str(file), **differs}]})).items()
    assert (name, config.study, config.task) == ("tiny_rank", "tiny-rank", "rank")
    assert config.seeds == (1, 2)
    assert (config.sft.batch_size, config.sft.warmup_steps) == (8, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ("No such file", "expected a config file")),
        ("study: demo\n", ("study: got demo", "another name")),
        ("study: other\nalso: [{file: third.yaml}]\n", ("also: got a list", "list all studies")),
        ("study: other\nsedes: [1]\n", ("unknown key sedes",)),
        ("[", ("not YAML",)),
    ],
)
def test_a_further_study_that_cannot_be_made_is_one_line_with_its_file(
    tmp_path: Path, text: str | None, words: tuple[str, ...]
) -> None:
    file = tmp_path / "other.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as error:
        further(load({"also": [{"file": str(file)}]}))
    message = str(error.value)
    assert message.startswith("also: ")
    assert "\n" not in message
    for word in (str(file), *words):
        assert word in message
