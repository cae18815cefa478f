"""What the house tests look at: the project's own files."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# HOUSE.md's folders. A new one needs a page in docs/decisions/.
FOLDERS = frozenset(
    {"activities", "api", "bench", "config", "docs", "gateway", "infra", "proto", "tests", "ui", "workflows"}
)
# Those that Python imports, and those that hold data only and so must not be packages.
PACKAGES = frozenset({"activities", "api", "bench", "gateway", "infra", "tests", "ui", "workflows"})
DATA = frozenset({"config", "docs", "proto"})


def python_files(*folders: str) -> Iterator[Path]:
    """Yield our own Python files, of the whole house or of some folders; what is generated or installed is not ours."""
    for folder in folders or sorted(FOLDERS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            if parts[:2] != ("gateway", "v1") and not any(part.startswith(".") for part in parts):
                yield path


def shown(path: Path) -> str:
    """Return a file's name from the root, as tests print it."""
    return str(path.relative_to(ROOT))
