# SPDX-License-Identifier: MIT
"""The generated config files say what the typed config says, and the committed ones are current."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, Field

from derotate.config.documentation import WIDTH, default_yaml, json_schema
from derotate.config.schema import DEFAULT_TASK, Config, load, mixture_descriptions

ROOT = Path(__file__).resolve().parents[3]


class Item(BaseModel):
    """One run."""

    name: str = Field(description="what it is called")
    starts: tuple[int, ...] = Field((1, 2), description="where it starts")


class Inner(BaseModel):
    """A block."""

    rate: float = Field(3e-5, description="of learning")
    label: str | None = Field(None, description="a name")


class Outer(BaseModel):
    """A study."""

    study: str = Field("yes", description="a word that YAML would read as true")
    segments: tuple[tuple[int, ...], ...] = Field(((1, 2), (3,)), description="steps")
    inner: Inner = Field(default_factory=Inner, description="nested")
    items: tuple[Item, ...] = Field(
        (Item(name="a"), Item(name="b", starts=(7,))), description="a list"
    )


def test_each_key_stands_below_its_description_in_the_nesting_of_the_model() -> None:
    lines = default_yaml(Outer).splitlines()
    assert lines[0] == "# A study."
    assert lines[lines.index("# a word that YAML would read as true") + 1] == "study: 'yes'"
    assert lines[lines.index("# steps") + 1] == "segments: [[1, 2], [3]]"
    inner = lines.index("inner:")
    assert lines[inner - 1 : inner + 5] == [
        "# nested",
        "inner:",
        "  # of learning",
        "  rate: 3.0e-05",
        "  # a name",
        "  label: null",
    ]
    items = lines.index("items:")
    assert lines[items - 3 :] == [
        "# a list",
        "#   - name (required): what it is called",
        "#   - starts (default [1, 2]): where it starts",
        "items:",
        "  - {name: a}",
        "  - {name: b, starts: [7]}",
    ]


@pytest.mark.parametrize("model", [Outer, Config])
def test_the_yaml_reads_back_as_the_defaults(model: type[BaseModel]) -> None:
    text = default_yaml(model)
    assert model.model_validate(yaml.safe_load(text)) == model()
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_every_key_of_the_config_has_a_description() -> None:
    schema = json.loads(json_schema(Config))
    blocks = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{block['title']}.{key}"
        for block in blocks
        for key, value in block.get("properties", {}).items()
        if not value.get("description")
    ]
    assert undescribed == []


def test_the_schema_accepts_the_defaults_and_refuses_unknown_keys() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(json_schema(Config)))
    values = yaml.safe_load(default_yaml(Config))
    validator.check_schema(validator.schema)
    validator.validate(values)
    values["sft"]["learning_rat"] = 1e-3
    assert [error.validator for error in validator.iter_errors(values)] == ["additionalProperties"]


@pytest.mark.parametrize(
    ("file", "generated"),
    [
        ("config/demo.yaml", default_yaml(Config, mixture_descriptions(DEFAULT_TASK))),
        ("workflow/schemas/config.schema.json", json_schema(Config)),
    ],
)
def test_the_committed_file_is_the_generated_one(file: str, generated: str) -> None:
    assert (ROOT / file).read_text(encoding="utf-8") == generated, "run `make config`"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.stem
)
def test_every_shipped_config_is_valid(file: Path) -> None:
    assert load(yaml.safe_load(file.read_text(encoding="utf-8"))).study == file.stem
