# SPDX-License-Identifier: MIT
"""Exact solver of the 24 game for any target, with one canonical formula per hand.

The values that a sub-multiset reaches are computed once and shared by all hands that contain it. A
complete hand is not enumerated. For each way to cut it in two, the values that one half needs from
the other to meet the target are intersected with the values that the other half reaches. Values are
reduced integer pairs (numerator, denominator > 0): fractions.Fraction takes six times as long.

The formula is the cheapest one. Its cost counts first the brackets that must be printed, so that a
small model has one short, regular form to learn.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from math import gcd
from typing import Final, NamedTuple

Value = tuple[int, int]

ATOM, PRODUCT, SUM = 0, 1, 2
"""The top of an expression, which decides whether it needs brackets inside another one."""

BRACKETS: Final = 16
AWKWARD: Final = 6  # an intermediate value that is negative or not an integer
OPERATOR_COST: Final = {"+": 0, "*": 0, "-": 1, "/": 2}


class Node(NamedTuple):
    """An expression: `op` is an operator, or the number itself if it is an atom."""

    cost: int
    kind: int
    op: str
    left: "Node | None"
    right: "Node | None"


Nodes = dict[Value, tuple[Node, ...]]
"""Reachable value -> its cheapest expressions, at most one for each kind."""


def _join_cost(op: str, left: Node, right: Node) -> int:
    cost = left.cost + right.cost + OPERATOR_COST[op]
    if op == "*":
        cost += BRACKETS * ((left.kind == SUM) + (right.kind == SUM))
    elif op == "/":
        cost += BRACKETS * ((left.kind == SUM) + (right.kind != ATOM))
    elif op == "-":
        cost += BRACKETS * (right.kind == SUM)
    return cost


def _outcomes(x: Value, y: Value) -> list[tuple[Value, str, bool]]:
    """Values of the six operations on two values: (value, operator, whether y comes first).

    The larger operand of a sum or product comes first: one order for each.
    """
    (a, b), (c, d) = x, y
    ad, cb, bd, ac = a * d, c * b, b * d, a * c
    y_first = cb > ad
    found = [
        (ad + cb, bd, "+", y_first),
        (ad - cb, bd, "-", False),
        (cb - ad, bd, "-", True),
        (ac, bd, "*", y_first),
    ]
    if c:
        found.append((ad, cb, "/", False) if c > 0 else (-ad, -cb, "/", False))
    if a:
        found.append((cb, ad, "/", True) if a > 0 else (-cb, -ad, "/", True))
    reduced = []
    for n, m, op, swap in found:
        k = gcd(n, m) if m != 1 else 1
        reduced.append(((n // k, m // k) if k != 1 else (n, m), op, swap))
    return reduced


@lru_cache(maxsize=16)
def _cuts(size: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Every way to cut the positions 0..size-1 in two, the smaller part first, halves once."""
    everything = set(range(size))
    return tuple(
        (chosen, tuple(sorted(everything - set(chosen))))
        for part_size in range(1, size // 2 + 1)
        for chosen in combinations(range(size), part_size)
        if part_size * 2 < size or 0 in chosen
    )


def _splits(numbers: tuple[int, ...]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Every way to cut a sorted multiset in two parts that are not empty: part -> the rest."""
    return {
        tuple([numbers[i] for i in chosen]): tuple([numbers[i] for i in rest])
        for chosen, rest in _cuts(len(numbers))
    }


@lru_cache(maxsize=8192)
def _reachable(numbers: tuple[int, ...], signed: bool) -> Nodes:
    """All values that a sorted multiset reaches, using each number once.

    Unless `signed`, negative intermediate values are left out. For a target >= 0 they add nothing:
    replacing b - a by a - b changes the sign of the result, which is not negative.
    """
    if len(numbers) == 1:
        return {(numbers[0], 1): (Node(0, ATOM, str(numbers[0]), None, None),)}
    best: dict[Value, dict[int, Node]] = {}
    for part, rest in _splits(numbers).items():
        right_items = _reachable(rest, signed).items()
        for x, x_nodes in _reachable(part, signed).items():
            for y, y_nodes in right_items:
                for value, op, swap in _outcomes(x, y):
                    if value[0] < 0 and not signed:
                        continue
                    kind = SUM if op in "+-" else PRODUCT
                    awkward = AWKWARD if value[1] != 1 or value[0] < 0 else 0
                    kinds = best.setdefault(value, {})
                    for x_node in x_nodes:
                        for y_node in y_nodes:
                            left, right = (y_node, x_node) if swap else (x_node, y_node)
                            cost = _join_cost(op, left, right) + awkward
                            old = kinds.get(kind)
                            if old is None or cost < old.cost:
                                kinds[kind] = Node(cost, kind, op, left, right)
    return {value: tuple(kinds.values()) for value, kinds in best.items()}


@lru_cache(maxsize=8192)
def _needed(numbers: tuple[int, ...], target: int) -> dict[Value, list[tuple[str, bool, Value]]]:
    """What the other part must be worth: value -> (operator, whether it comes first, own value).

    Zero needs care: x / y = target must not be solved for y when x is 0 (y would be 0), and for
    target 0 any y will do beside a factor 0, which `_meets` handles.
    """
    needed: dict[Value, list[tuple[str, bool, Value]]] = {}

    def add(n: int, m: int, op: str, swap: bool, own: Value) -> None:
        if m < 0:
            n, m = -n, -m
        k = gcd(n, m)
        needed.setdefault((n // k, m // k), []).append((op, swap, own))

    for own in _reachable(numbers, target < 0):
        n, m = own
        rest = target * m - n
        add(rest, m, "+", rest > n, own)
        add(-rest, m, "-", False, own)  # own - y = target
        add(target * m + n, m, "-", True, own)  # y - own = target
        if n:
            add(target * m, n, "*", target * m * m > n * n if n > 0 else False, own)
            add(target * n, m, "/", True, own)  # y / own = target
            if target:
                add(n, m * target, "/", False, own)  # own / y = target
    return needed


def _meets(part: tuple[int, ...], rest: tuple[int, ...], target: int) -> Iterator[Node]:
    """Expressions worth the target with `part` and `rest` as the two operands of the last step."""
    own, other = _reachable(part, target < 0), _reachable(rest, target < 0)
    needed = _needed(part, target)
    meetings = [(op, swap, x, y) for y in needed.keys() & other.keys() for op, swap, x in needed[y]]
    if target == 0 and (0, 1) in own:
        meetings += [("*", True, (0, 1), y) for y in other]
    for op, swap, x, y in meetings:
        for x_node in own[x]:
            for y_node in other[y]:
                left, right = (y_node, x_node) if swap else (x_node, y_node)
                kind = SUM if op in "+-" else PRODUCT
                yield Node(_join_cost(op, left, right), kind, op, left, right)


def _print(node: Node) -> str:
    if node.left is None or node.right is None:
        return node.op
    left, right = _print(node.left), _print(node.right)
    if node.op in "*/" and node.left.kind == SUM:
        left = f"( {left} )"
    # a + ( b - c ) and a * ( b / c ) may lose their brackets; a - ( b + c ) and a / ( b * c ) not
    loose = {"+": SUM, "-": PRODUCT, "*": PRODUCT, "/": ATOM}
    if node.right.kind > loose[node.op]:
        right = f"( {right} )"
    return f"{left} {node.op} {right}"


@lru_cache(maxsize=8192)
def _whole(numbers: tuple[int, ...], target: int) -> str | None:
    if len(numbers) == 1:
        return str(target) if numbers[0] == target else None
    found = [node for part, rest in _splits(numbers).items() for node in _meets(part, rest, target)]
    if not found:
        return None
    cost = min(node.cost for node in found)
    # The meetings come out of a set: the text breaks ties, so that the order of a set never shows.
    return min(_print(node) for node in found if node.cost == cost)


def solve(numbers: Sequence[int], target: int = 24) -> str | None:
    """The canonical formula that makes `target` of `numbers`, or None if there is none.

    Args:
        numbers: whole numbers >= 0 in any order; every one is used exactly once.
        target: any whole number.

    Returns:
        Tokens separated by single spaces, with no more brackets than precedence asks for, e.g.
        `8 / ( 3 - 8 / 3 )`. It depends on the multiset and the target only.

    Raises:
        ValueError: no numbers, or a negative one.
    """
    if not numbers or min(numbers) < 0:
        raise ValueError(f"numbers {list(numbers)}: expected at least one, none negative")
    return _whole(tuple(sorted(numbers)), target)


def solution_table(target: int = 24) -> dict[tuple[int, ...], str | None]:
    """Formula, or None, of each of the 1,820 sorted multisets of four numbers 1..13."""
    return {hand: solve(hand, target) for hand in combinations_with_replacement(range(1, 14), 4)}
