# SPDX-License-Identifier: MIT
"""Sentences of the findings page by verdict, and deviations from the claims, as data.

The files lie in this package and not beside the claims: a data file counts for every rule that
imports a module of its folder, and a better sentence must not remake tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from derotate.claims.verdicts import Verdict
from derotate.report.format import sentence

WORDING: Final = Path(__file__).with_name("wording.yaml")
DEVIATIONS: Final = Path(__file__).with_name("deviations.yaml")

Sentence = Annotated[str, Field(min_length=1, pattern=r"\.$")]
ClaimId = Annotated[str, Field(pattern=r"^C\d+$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sentences(_Frozen):
    """The sentences of one claim, by verdict."""

    supported: Sentence
    contradicted: Sentence
    undecided: Sentence
    not_testable: Sentence = Field(alias="not testable")

    def of(self, verdict: Verdict) -> str:
        """The sentence of a verdict."""
        return str(getattr(self, verdict.replace(" ", "_")))


class Wording(_Frozen):
    """Sentences by claim, and the page's words for the reasons in claims.csv."""

    claims: Mapping[ClaimId, Sentences]
    reasons: Mapping[str, str]

    def reason(self, text: str) -> str:
        """A reason of claims.csv in the page's words, as a sentence."""
        for phrase, words in self.reasons.items():
            text = text.replace(phrase, words)
        return sentence(text)

    @model_validator(mode="after")
    def _numbers_come_from_tables(self) -> Wording:
        for name, sentences in self.claims.items():
            for verdict, text in sentences.model_dump(by_alias=True).items():
                if any(character.isdigit() for character in text):
                    raise ValueError(
                        f"claims.{name}.{verdict}: a digit in {text!r}, expected words alone; "
                        "numbers are filled in from tables"
                    )
        return self


class Stated(_Frozen):
    """Date and digest of the claims when the reference study was started."""

    date: date
    digest: str


class Deviation(_Frozen):
    """Something seen or changed that bears on how confirmatory the claims are.

    `when` is `before` for results seen before the claims were stated, `interim` for results seen
    before the study was complete, `after` for changes since the claims were stated.
    """

    date: date
    when: Literal["before", "interim", "after"]
    what: Sentence
    why: Sentence
    claims: tuple[ClaimId, ...] = Field(min_length=1)


class Deviations(_Frozen):
    """The claims as first stated, and all deviations since."""

    stated: Stated
    deviations: tuple[Deviation, ...]


Data = TypeVar("Data", Wording, Deviations)


def load_wording(path: Path = WORDING) -> Wording:
    """Read the sentences.

    Raises:
        ValueError: one line that names the file, the key and what is wrong.
    """
    return _load(path, Wording)


def load_deviations(path: Path = DEVIATIONS) -> Deviations:
    """Read the deviations, in the order of the file.

    Raises:
        ValueError: one line that names the file, the key and what is wrong.
    """
    return _load(path, Deviations)


def _load(path: Path, kind: type[Data]) -> Data:
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return kind.model_validate(values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable YAML file ({line})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {f'{place}: ' if place else ''}{message}") from None
