#!/usr/bin/env python3
"""Answers the gate's questions about the workspace from `cargo metadata`.

    workspace.py target-dir            the directory that cargo builds into
    workspace.py published             the published packages, one a line
    workspace.py features PACKAGE      the features of a package that users choose from, one a line
    workspace.py not-whole             the published packages of which the workspace as a whole does not build every feature, one a line
    workspace.py oldest-rust           checks that every package's dependencies can be built by the Rust it names
"""

import json
import subprocess
import sys

# A graph has one version of each of these, and the tests of a member that promises a newer Rust need a newer one than the others would
# take: who depends on one of those alone, with the Rust that it promises, is given an older one.
NEWER_FOR_TESTS = {
    "crc-fast": "object_store (buckets) takes 1.6, which Rust 1.81 compiles; s3s (interop/s3) asks for 1.10",
}


def metadata(*args):
    command = ["cargo", "metadata", "--format-version", "1", *args]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed; its message is above")
    return json.loads(done.stdout)


def published():
    return [p for p in metadata("--no-deps")["packages"] if p["publish"] is None]


def features(name):
    (package,) = [p for p in published() if p["name"] == name]
    # Those that begin with "_" are parts of others.
    return sorted(f for f in package["features"] if f != "default" and not f.startswith("_"))


def not_whole():
    graph = metadata("--locked")
    built = {n["id"]: set(n["features"]) for n in graph["resolve"]["nodes"]}
    ids = set(graph["workspace_members"])
    members = [p for p in graph["packages"] if p["id"] in ids and p["publish"] is None]
    return [p["name"] for p in members if set(p["features"]) - built[p["id"]] - {"default"}]


def version(text):
    numbers = [int(n) for n in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def oldest_rust():
    """What a package is built from and tested with, optional parts too, must not ask for a newer Rust than it does."""
    graph = metadata("--all-features", "--locked")
    packages = {p["id"]: p for p in graph["packages"]}
    nodes = {n["id"]: n for n in graph["resolve"]["nodes"]}
    wrong, met = [], set()
    for root in (packages[member] for member in graph["workspace_members"]):
        if root["rust_version"] is None:
            sys.exit(f"{root['name']} names no rust-version: add `rust-version.workspace = true` to its Cargo.toml")
        todo, seen = [root["id"]], set()
        while todo:
            this = todo.pop()
            if this in seen:
                continue
            seen.add(this)
            theirs = packages[this]["rust_version"]
            held_up = packages[this]["name"] in NEWER_FOR_TESTS
            if theirs and version(theirs) > version(root["rust_version"]) and not held_up:
                wrong.append(
                    f"{packages[this]['name']} {packages[this]['version']} needs Rust {theirs}, "
                    f"but {root['name']} promises {root['rust_version']}"
                )
            # The tests of another package are not what this one is built from.
            for dep in nodes[this]["deps"]:
                if this == root["id"] or any(kind["kind"] != "dev" for kind in dep["dep_kinds"]):
                    todo.append(dep["pkg"])
        met |= seen
    if wrong:
        sys.exit("\n".join(wrong + ["take an older version of it, or raise rust-version and say so in the CHANGELOG"]))
    print(f"none of the {len(met)} packages in the graph asks for a newer Rust than those that use it promise")


def main():
    match sys.argv[1:]:
        case ["target-dir"]:
            print(metadata("--no-deps")["target_directory"])
        case ["published"]:
            print("\n".join(p["name"] for p in published()))
        case ["not-whole"]:
            print("\n".join(not_whole()))
        case ["features", name]:
            print("\n".join(features(name)))
        case ["oldest-rust"]:
            oldest_rust()
        case _:
            sys.exit(__doc__)


main()
