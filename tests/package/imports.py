"""What import-linter does not check by itself: who imports what is private, and circles."""

from __future__ import annotations

from collections.abc import Iterator

import grimp
from importlinter import Contract, ContractCheck, output


class PrivateImports(Contract):
    """A contract: `a.b._c` and all below it are imported only by `a.b` and what stands below."""

    type_name = "private_imports"

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        """Look for imports that reach into another package's private modules."""
        found = sorted(reaching_in(graph))
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print them, a line each."""
        for line in check.metadata["found"]:
            output.print_error(line)


def reaching_in(graph: grimp.ImportGraph) -> Iterator[str]:
    """Yield every such import as `importer -> imported`."""
    for imported in graph.modules:
        owner = owner_of(imported)
        for importer in graph.find_modules_that_directly_import(imported) if owner else ():
            if not f"{importer}.".startswith(f"{owner}."):
                yield f"{importer} -> {imported}"


def owner_of(module: str) -> str:
    """Return the package to which a module is private; empty where it is public."""
    parts = module.split(".")
    private = [i for i, part in enumerate(parts) if part.startswith("_") and part != "__main__"]
    return ".".join(parts[: private[-1]]) if private else ""


def circles(graph: grimp.ImportGraph) -> list[set[str]]:
    """Return the groups of modules in which each imports all the others, directly or not."""
    upstream = {module: graph.find_upstream_modules(module) for module in graph.modules}
    found: list[set[str]] = []
    for module in sorted(graph.modules):
        around = {other for other in upstream[module] if module in upstream[other]}
        if around and not any(module in circle for circle in found):
            found.append({module, *around})
    return found
