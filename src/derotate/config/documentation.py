# SPDX-License-Identifier: MIT
"""The documented default file and the JSON schema of a config model.

Descriptions and defaults are written once, in the model. `config/demo.yaml` and the schema, which
editors use for completion, are generated here; a test compares them.
"""

import json
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

WIDTH: Final = 100
HEADER: Final = (
    "Generated from the typed config by `make config`. For your own study write a file with only "
    "the keys that differ, and pass it with `--configfile`."
)
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def default_yaml(model: type[BaseModel], notes: Mapping[str, str] | None = None) -> str:
    """YAML of all keys of a model with their defaults, each below its description.

    A list of models has one line per item, with only the values that differ from the item's
    defaults; the comment above the list gives those defaults.

    Args:
        model: a model whose fields all have defaults.
        notes: descriptions of the keys of mappings (root models).

    Raises:
        ValueError: a field of the model, or of a nested one, has no default.
    """
    header = [*_comment(_summary(model), 0), *_comment(HEADER, 0)]
    return "\n".join([*header, "", *_block(model(), 0, notes or {})]) + "\n"


def json_schema(model: type[BaseModel]) -> str:
    """The JSON schema (draft 2020-12) of a model, as indented text."""
    return json.dumps({"$schema": DIALECT, **model.model_json_schema()}, indent=2) + "\n"


def _block(values: BaseModel, indent: int, notes: Mapping[str, str]) -> Iterator[str]:
    """Lines of a nested mapping: description and key of each field; blank lines between blocks."""
    if isinstance(values, RootModel):
        for key, value in values.root.items():
            yield from _comment(notes.get(key, ""), indent)
            yield f"{' ' * indent}{key}: {_flow(value)}"
        return
    pad = " " * indent
    blank_before_next = False
    for key, field in type(values).model_fields.items():
        value = getattr(values, key)
        nested = isinstance(value, BaseModel)
        if blank_before_next or (nested and key != next(iter(type(values).model_fields))):
            yield ""
        blank_before_next = nested or indent == 0
        yield from _comment(field.description or "", indent)
        if nested:
            for form in _other_forms(field, type(value)):
                yield from _comment(f"Alternative: {_summary(form)} Its keys:", indent)
                yield from _keys_comment(form, indent)
            yield f"{pad}{key}:"
            yield from _block(value, indent + 2, notes)
        elif _is_list_of_models(value):
            yield from _item_comment(field, indent)
            yield f"{pad}{key}:"
            yield from (f"{pad}  - {_flow(_differing(item))}" for item in value)
        else:
            yield f"{pad}{key}: {_flow(value)}"


def _is_list_of_models(value: object) -> bool:
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], BaseModel)


def _item_comment(field: FieldInfo, indent: int) -> Iterator[str]:
    """Description and default of each key of a list item."""
    item = next(part for part in get_args(field.annotation) if isinstance(part, type))
    assert issubclass(item, BaseModel)
    yield from _keys_comment(item, indent)


def _other_forms(field: FieldInfo, shown: type[BaseModel]) -> list[type[BaseModel]]:
    """The other models of a field that is a union; the default's keys are shown as values."""
    # Each member is Annotated with the tag that discriminates the union.
    forms = (get_args(part)[0] if get_args(part) else part for part in get_args(field.annotation))
    return [
        form
        for form in forms
        if isinstance(form, type) and issubclass(form, BaseModel) and form is not shown
    ]


def _keys_comment(item: type[BaseModel], indent: int) -> Iterator[str]:
    for key, part in item.model_fields.items():
        default = part.get_default(call_default_factory=True)
        shown = "required" if part.is_required() else f"default {_flow(_plain(default))}"
        yield from _comment(f"{key} ({shown}): {part.description}", indent, bullet="  - ")


def _differing(item: BaseModel) -> dict[str, Any]:
    """The values of a list item that differ from its defaults, or all if none differs."""
    return item.model_dump(mode="json", exclude_defaults=True) or item.model_dump(mode="json")


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _flow(value: object) -> str:
    """A value on one line; strings that YAML would read as another type are quoted."""
    # Through JSON, since YAML has no tuples.
    text = yaml.safe_dump(
        json.loads(json.dumps(value)), default_flow_style=True, width=10**6, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or model.__name__).split())


def _comment(text: str, indent: int, bullet: str = "") -> Iterator[str]:
    pad = " " * indent + "# "
    hanging = pad + " " * len(bullet)
    yield from wrap(text, WIDTH, initial_indent=pad + bullet, subsequent_indent=hanging)
