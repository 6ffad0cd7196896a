# SPDX-License-Identifier: MIT
"""Which edits of the code change a digest, and which do not."""

import io
import subprocess
import sys
import textwrap
import time
import tokenize
from pathlib import Path

import pytest

from derotate.study import provenance
from derotate.study.provenance import (  # fmt: skip
    ProvenanceError,
    code_digest,
    imported_modules,
    lock_digest,
    value_digest,
)
from derotate.study.source_lines import logical_lines

SOURCES = sorted(provenance.ROOT.rglob("*.py"))

PACKAGE = {
    "__init__.py": '"""The package."""\n',
    "reward.py": """
        '''Rewards.'''
        from derotate.tasks import cards as card_module
        from derotate.tasks.cards import (
            value,  # the number of a card
        )

        BEST = 5  # the papers' value

        def reward(card: str) -> int:
            '''Reward of a card.'''
            if card == "#K":
                return BEST

            return value(card)
        """,
    "tasks/__init__.py": "",
    "tasks/cards.py": """
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from derotate.drawing import Figure

        def value(card: str) -> int:
            import derotate.tasks.table as table
            return table.VALUES[card]
        """,
    "tasks/table.py": 'VALUES = {"K": 10}\n',
    "tasks/words.json": '["a"]\n',
    "drawing.py": "class Figure: ...\n",
    "unrelated.py": "X = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of the same name; editing it changes nothing of ours."""
    root = tmp_path / "src" / "derotate"
    for name, text in PACKAGE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    monkeypatch.setattr(provenance, "ROOT", root)
    return root


def digest(*modules: str) -> str:
    """The digest that a new process would compute."""
    provenance._source.cache_clear()
    provenance._code_digest.cache_clear()
    return code_digest(*(modules or ("derotate.reward",)))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_imports_are_followed_at_any_depth_but_not_those_for_type_checking(package: Path) -> None:
    assert imported_modules(package, ["derotate.reward"]) == (
        "derotate",
        "derotate.reward",
        "derotate.tasks",
        "derotate.tasks.cards",
        "derotate.tasks.table",
    )


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("reward.py", "the papers' value", "another comment"),
        ("reward.py", "  # the papers' value", ""),
        ("reward.py", "'''Rewards.'''", '"""Other words,\n\non lines."""'),
        ("reward.py", "    '''Reward of a card.'''\n", ""),
        ("reward.py", "BEST = 5", "\n\nBEST   =\t5"),
        ("reward.py", "return value(card)", "return value(\n        card\n    )"),
        ("reward.py", "return value(card)", "return \\\n        value(card)"),
        ("reward.py", "        return BEST", "            return BEST"),
        ("tasks/cards.py", "    from derotate.drawing import Figure", "    import nothing"),
        ("unrelated.py", "X = 1", "X = 2"),
        ("drawing.py", "Figure", "Drawing"),
    ],
)
def test_edits_that_change_no_behaviour_keep_the_digest(
    package: Path, file: str, old: str, new: str
) -> None:
    before = digest()
    edit(package / file, old, new)
    assert digest() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("reward.py", "BEST = 5", "BEST = 6"),
        ("reward.py", "#K", "#Q"),
        ("reward.py", "\n    return value(card)", "\n        return value(card)"),
        ("reward.py", "card == ", "card != "),
        ("tasks/table.py", "10", "13"),
        ("tasks/cards.py", "VALUES[card]", "VALUES [card] or 1"),
        ("tasks/words.json", "a", "b"),
        ("__init__.py", '"""The package."""', "import os"),
    ],
)
def test_edits_of_behaviour_change_the_digest_also_from_afar(
    package: Path, file: str, old: str, new: str
) -> None:
    before = digest()
    edit(package / file, old, new)
    assert digest() != before


def test_moving_a_word_into_a_string_changes_the_digest(package: Path) -> None:
    (package / "reward.py").write_text("x = 'a b'\n")
    before = digest()
    (package / "reward.py").write_text("x = 'ab'\n")
    assert digest() != before


def test_the_digest_does_not_depend_on_the_order_of_modules_nor_on_the_place(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest("derotate.reward", "derotate.unrelated")
    assert digest("derotate.unrelated", "derotate.reward") == before
    package.parent.rename(tmp_path / "moved")
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "moved" / "derotate")
    assert digest("derotate.reward", "derotate.unrelated") == before
    assert digest("derotate.reward") != before


@pytest.mark.parametrize(
    "line", ["from . import table", "from .table import VALUES", "from .. import reward"]
)
def test_relative_imports_are_refused_in_one_line(package: Path, line: str) -> None:
    (package / "tasks" / "cards.py").write_text(f"def value():\n    {line}\n")
    with pytest.raises(ProvenanceError, match=r"^derotate\.tasks\.cards: relative import") as error:
        digest()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["derotate.absent", "json", "derotate.tasks.cards.value"])
def test_unknown_modules_are_refused(package: Path, name: str) -> None:
    with pytest.raises(ProvenanceError, match=f"^{name}: no such module"):
        digest(name)


def standard_tokens(text: str) -> str:
    """What `tokenize` sees without layout and string statements, written without spaces."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}
    statements: list[list[tokenize.TokenInfo]] = [[]]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE:
            statements.append([])
        elif token.type not in layout:
            statements[-1].append(token)
    kept = (
        tokens for tokens in statements if any(token.type != tokenize.STRING for token in tokens)
    )
    return "\n".join("".join("".join(token.string.split()) for token in tokens) for tokens in kept)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tokenize splits f-strings from 3.12 on")
@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_logical_lines_agree_with_the_standard_tokenizer(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    ours = "\n".join("".join(line.text.split()) for line in logical_lines(text))
    assert ours.strip() == standard_tokens(text).strip()


def test_logical_lines_keep_the_space_between_words_only() -> None:
    lines = list(logical_lines("if  a   and( b ):\n  return 'x  y'  # z\nx = [1,\n     2]\n"))
    assert lines == [(0, "if a and(b):"), (1, "return'x  y'"), (0, "x=[1,2]")]


def test_digesting_imports_nothing_and_is_fast_enough_to_plan_with() -> None:
    code = (
        "import sys; from derotate.study.provenance import code_digest;"
        "code_digest('derotate.config.schema');"
        "print(sorted({'torch', 'pydantic', 'derotate.config.schema'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

    names = [".".join(("derotate", *file.relative_to(provenance.ROOT).with_suffix("").parts))
             for file in SOURCES if file.name != "__init__.py"]  # fmt: skip
    provenance._source.cache_clear()
    provenance._code_digest.cache_clear()
    start = time.process_time()
    code_digest(*names)
    # 1 ms a module where this was written; ten times that on a slow or busy machine
    assert time.process_time() - start < 0.01 * len(names)


def test_the_lock_digest_follows_pins_alone(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# made by a tool\na==1\nb==2\n")
    before = lock_digest(lock)
    lock.write_text("b==2  # why\n\na==1\n")
    assert lock_digest(lock) == before
    lock.write_text("a==1\nb==3\n")
    assert lock_digest(lock) != before
    with pytest.raises(ProvenanceError, match="no such lock file"):
        lock_digest(tmp_path / "absent.lock")
    assert len(lock_digest()) == provenance.DIGEST_LENGTH


def test_a_digest_of_a_value_follows_content_and_not_the_order_of_keys() -> None:
    assert value_digest({"a": 1, "b": [1, 2]}) == value_digest({"b": [1, 2], "a": 1})
    assert value_digest({"a": [1, 2]}) != value_digest({"a": [2, 1]})
