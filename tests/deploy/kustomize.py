"""A small renderer of the part of Kustomize that deploy/ uses: manifests are checked where there is no binary too.

It knows resources, components, namespace, images, and patches by strategic merge, and refuses every other word. A test
holds it against the real tool, which npm carries.
"""

from pathlib import Path
from typing import cast

import yaml

Document = dict[str, object]
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
KNOWN = {"apiVersion", "kind", "namespace", "resources", "components", "images", "patches"}
MERGED_BY_NAME = {"containers", "env", "ports", "volumes", "volumeMounts"}


def documents_in(path: Path) -> list[Document]:
    """The documents of one file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def render(folder: Path, below: list[Document] | None = None) -> list[Document]:
    """What `kustomize build` gives for this folder; `below` are the resources a component works on."""
    config = cast(Document, yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8")))
    unknown = set(config) - KNOWN
    assert not unknown, f"{folder}: this renderer does not know {unknown}"
    found = list(below or [])
    for name in cast(list[str], config.get("resources", [])):
        place = folder / name
        found += render(place) if place.is_dir() else documents_in(place)
    for name in cast(list[str], config.get("components", [])):
        found = render(folder / name, found)
    for patch in cast(list[Document], config.get("patches", [])):
        found = [_patched(document, patch) for document in found]
    for document in found:
        namespace = config.get("namespace")
        if namespace is not None and document["kind"] not in CLUSTER_WIDE:
            cast(Document, document["metadata"])["namespace"] = namespace
        for image in cast(list[Document], config.get("images", [])):
            _set_image(document, str(image["name"]), f"{image['newName']}:{image['newTag']}")
    names = [name_of(document) for document in found]
    assert len(set(names)) == len(names), f"twice: {sorted(name for name in names if names.count(name) > 1)}"
    return found


def name_of(document: Document) -> tuple[str, str]:
    """Kind and name."""
    return str(document["kind"]), str(cast(Document, document["metadata"])["name"])


def _patched(document: Document, patch: Document) -> Document:
    target = cast(Document, patch["target"])
    if name_of(document) != (target["kind"], target["name"]):
        return document
    return cast(Document, _merge(document, yaml.safe_load(str(patch["patch"])), ""))


def _merge(old: object, new: object, key: str) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{k: _merge(old.get(k), v, k) for k, v in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and key in MERGED_BY_NAME:
        by_name = {item["name"]: item for item in new}
        kept = [_merge(item, by_name.pop(item["name"], {}), "") for item in old]
        return kept + list(by_name.values())
    return new


def _set_image(node: object, name: str, image: str) -> None:
    if isinstance(node, dict):
        if node.get("image") == name:
            node["image"] = image
        for value in node.values():
            _set_image(value, name, image)
    elif isinstance(node, list):
        for value in node:
            _set_image(value, name, image)
