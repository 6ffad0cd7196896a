# SPDX-License-Identifier: MIT
"""Bad config is refused in one line that names key, value and expectation."""

from typing import Any

import pytest

from derotate.config import Config, ConfigError, load


def test_the_defaults_are_a_valid_study() -> None:
    assert load({}) == Config()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sedes": [1]}, ("unknown key sedes",)),
        ({"rl": {"grpo": {"learnig_rate": 1e-5}}}, ("unknown key rl.grpo.learnig_rate",)),
        ({"sft": {"batch_size": "many"}}, ("sft.batch_size", "'many'", "integer")),
        ({"sft": {"learning_rate": 3.0}}, ("sft.learning_rate", "3.0", "less than 1")),
        ({"sft": {"segments": [[50, 20]]}}, ("step 20 comes after step 50",)),
        ({"landmarks": {"sft_end": 55}}, ("landmarks.sft_end", "55", "20, 40, 60")),
        ({"rl": {"runs": [{"starts": [61]}]}}, ("rl.runs.starts", "61", "an SFT step")),
        ({"surgery": {"reverse": ["nothing"]}}, ("surgery.reverse", "nothing", "a recipe")),
        ({"base": {"mixture": {"plain": 0.5}}}, ("sum to", "expected 1")),
        ({"model": {"heads": 5}}, ("heads", "hidden_size", "change one")),
        ({"seeds": [-1]}, ("seeds.0", "-1", "greater than or equal to 0")),
        ({"task": "chess"}, ("task", "'chess'", "general_points")),
        ({"diagnostics": {"prompts": 2}}, ("diagnostics", "got 2", "0 or at least 3")),
        ({"lora": {"matrices": ["z"]}}, ("lora.matrices", "z", "kinds out of")),
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
