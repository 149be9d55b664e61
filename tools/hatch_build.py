"""Build hook: the wheel carries the catalog packed beside its YAML."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PackedCatalog(BuildHookInterface):  # type: ignore[misc]
    """Packs the catalog into a folder of its own and includes it in a wheel; an editable install needs none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        sys.path.insert(0, str(Path(self.root)))
        from tools.pack_catalog import pack_all

        self.folder = Path(tempfile.mkdtemp(prefix="packed-"))
        pack_all(self.folder)
        build_data["force_include"][str(self.folder)] = "engine/_data/packed"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)
