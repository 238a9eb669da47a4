"""Faults drawn at random from the driver: a measure that those who wrote its tests did not choose.

A fault is one change of the syntax tree: a comparison with or without equality, the opposite
condition, `and` for `or`, minus for plus, one more, the other of two values, or a call left out.
"""

import ast
import random
from collections.abc import Iterator
from pathlib import Path

from faults import Fault

ROOMS = ("engine", "pipeline")
TESTS = (
    *("engine/calls", "engine/truths", "engine/two_roads", "engine/options", "engine/halos"),
    *("engine/resume", "engine/fallback", "engine/output", "engine/parts", "engine/steps"),
    *("engine/lazy", "pipeline/ignore_index", "pipeline/samples", "pipeline/many_classes"),
    *("files/refine_file", "io/coarse_source"),
    *("files/forged", "files/workspace", "files/refusals", "files/identity", "engine/memory"),
)
_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip


def drawn(package: Path, count: int, seed: int) -> list[Fault]:
    """Return some of all possible faults, each as the text of a file and what it becomes."""
    found = [
        (path, line, before, after)
        for room in ROOMS
        for path in sorted((package / room).glob("*.py"))
        for line, before, after in _changes(path.read_text())
    ]
    faults = []
    for path, line, before, after in random.Random(seed).sample(found, min(count, len(found))):
        text = path.read_text()
        start, end = line
        changed = text[:start] + after + text[end:]
        name = f"{path.relative_to(package)}:{text[:start].count(chr(10)) + 1} {before} -> {after}"
        file = path.relative_to(package).as_posix()
        faults.append(Fault(" ".join(name.split()), file, text, changed, TESTS))
    return faults


def _changes(text: str) -> Iterator[tuple[tuple[int, int], str, str]]:
    """Yield the span of each change, what is there and what it becomes."""
    tree, starts = ast.parse(text), [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _alive(tree):
        after = _changed(node)
        if after is not None:
            start = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
            end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
            yield (start, end), text[start:end], after


def _alive(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run: no annotations, texts or assertions."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr | ast.Assert):
                yield child
                yield from _alive(child)


def _changed(node: ast.AST) -> str | None:  # noqa: PLR0911 - one for each kind
    """Return what a node becomes, None if it cannot be changed."""
    match node:
        case ast.Compare(left, [op], [right]) if type(op) in _OTHER:
            return f"({ast.unparse(ast.Compare(left, [_OTHER[type(op)]()], [right]))})"
        case ast.BoolOp(op, values):
            return f"({ast.unparse(ast.BoolOp(_OTHER[type(op)](), values))})"
        case ast.BinOp(left, op, right) if type(op) in _OTHER:
            return f"({ast.unparse(ast.BinOp(left, _OTHER[type(op)](), right))})"
        case ast.UnaryOp(ast.Not(), operand):
            return f"({ast.unparse(operand)})"
        case ast.IfExp(test, body, orelse):
            return f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.Constant(int(value)) if not isinstance(value, bool):
            return str(value + 1)
        case ast.Call(ast.Name("min" | "max" as name), args, keywords):
            other = ast.Name({"min": "max", "max": "min"}[name])
            return ast.unparse(ast.Call(other, args, keywords))
        case ast.Expr(ast.Call()):
            return "pass"
    return None
