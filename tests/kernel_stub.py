"""The types of the compiled module, by nanobind: ``python -P tests/kernel_stub.py`` writes them.

They are a protocol, as there is a module for each instruction set and a program picks one. Where
nanobind lists a function once for each type of an array, there is one with all of these types.
"""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

STUB = Path(__file__).parents[1] / "hdseg_gpu" / "backends" / "cpu" / "_kernels.pyi"
HEAD = '''"""What a compiled module offers: written by tests/kernel_stub.py, do not edit."""

'''


def by_nanobind(name):
    """Return what nanobind says of the module of an instruction set."""
    from nanobind.stubgen import StubGen

    generator = StubGen(importlib.import_module(f"hdseg_gpu.backends.cpu._cpu_{name}"))
    generator.put(generator.module)
    return generator.get()


def stub(name):
    """Return the protocol of a module's functions as source text."""
    tree = ast.parse(by_nanobind(name))
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    imports = [n for n in imports if getattr(n, "module", None) != "typing"]
    imports.append(ast.parse("from typing import Protocol").body[0])
    functions, values = {}, []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.AnnAssign):
            node.value = None
            values.append(node)
    body = values + [united(overloads) for overloads in functions.values()]
    protocol = ast.parse("class Kernels(Protocol):\n    pass").body[0]
    protocol.body = body
    module = ast.Module([*imports, protocol], [])
    return HEAD + ast.unparse(ast.fix_missing_locations(module))


def united(overloads):
    """Return one method for functions that differ in the types of arrays."""
    first = overloads[0]
    names = [[each.arg for each in f.args.args] for f in overloads]
    assert all(each == names[0] for each in names), f"{first.name}: other arguments"
    for i, argument in enumerate(first.args.args):
        argument.annotation = union([f.args.args[i].annotation for f in overloads])
    first.returns = union([f.returns for f in overloads])
    first.args.args.insert(0, ast.arg("self"))
    first.decorator_list = []
    return first


def union(types):
    """Return the type of an argument that may be any of some; one array with any of the dtypes."""
    types = {ast.dump(plain): plain for plain in map(plain_type, types)}
    kinds = list(types.values())
    arrays = [t for t in kinds if isinstance(t, ast.Subscript) and t.value.id == "NDArray"]
    if len(arrays) == len(kinds) > 1:
        return ast.Subscript(ast.Name("NDArray"), joined([t.slice for t in arrays]))
    tuples = [t for t in kinds if isinstance(t, ast.Subscript) and t.value.id == "tuple"]
    if len(tuples) == len(kinds) > 1:
        parts = zip(*(t.slice.elts for t in tuples), strict=True)
        return ast.Subscript(ast.Name("tuple"), ast.Tuple([union(part) for part in parts]))
    return joined(kinds)


def joined(kinds):
    found = kinds[0]
    for kind in kinds[1:]:
        found = ast.BinOp(found, ast.BitOr(), kind)
    return found


def plain_type(annotation):
    """Return a type without what only nanobind checks: Annotated[T, ...] is T."""

    class Plain(ast.NodeTransformer):
        def visit_Subscript(self, node):
            self.generic_visit(node)
            annotated = isinstance(node.value, ast.Name) and node.value.id == "Annotated"
            return node.slice.elts[0] if annotated else node

    return Plain().visit(annotation)


if __name__ == "__main__":
    STUB.write_text(stub("baseline"))
    for step in (["check", "--select", "I", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *step, str(STUB)], check=True)
