"""Packs every YAML file of the catalog for the wheel: python tools/pack_catalog.py OUT_FOLDER

Each provider is compiled whole (operations, variants, model patches), so that every expression it uses has been parsed
once; then each file's tree goes into OUT_FOLDER/<kind>/<id>.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def pack_all(target: Path) -> int:
    """Write all packed files; returns their number."""
    from engine.catalog import Catalog
    from engine.check import combinations
    from engine.spec.packed import pack, pack_facts
    from engine.spec.problem import Problems

    catalog = Catalog()
    for id in catalog.provider_ids():
        problems = Problems()
        for operation in catalog.plan(id).operations:
            for model, variant, _ in combinations(catalog.tree(id)):
                catalog.compile(id, operation, model, variant, problems)
        if problems.errors:
            sys.exit("\n".join(map(str, problems.errors)))
    count = 0
    for kind, ids in (("providers", catalog.provider_ids()), ("dialects", catalog.dialect_ids())):
        folder = target / kind
        folder.mkdir(parents=True, exist_ok=True)
        for id in ids:
            path = catalog.path(kind, id)
            node = catalog.provider(id) if kind == "providers" else catalog.dialect(id)
            assert path is not None and node is not None
            (folder / f"{id}.json").write_bytes(pack(node, path.read_bytes()))
            count += 1
    folder = target / "models"
    folder.mkdir(parents=True, exist_ok=True)
    for id in sorted(catalog.files.entries["models"]):
        path = catalog.path("models", id)
        assert path is not None
        (folder / f"{id}.json").write_bytes(pack_facts(catalog.files.facts(id), path.read_bytes()))
        count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{pack_all(Path(sys.argv[1]))} files packed")
