#!/usr/bin/env python3
"""Takes from GitHub's OpenAPI description what the answers of the fake GitHub are held against.

Usage: mkschema.py api.github.com.json > schema.json

The input is generated/api.github.com.json of the npm package @octokit/openapi (MIT). Kept are the schemas of the
answers below and all that they refer to, without what a validator does not look at.
"""

import json
import sys

PATHS = {
    "issues": ("/repos/{owner}/{repo}/issues", "get", "200"),
    "issue": ("/repos/{owner}/{repo}/issues/{issue_number}", "get", "200"),
    "comments": ("/repos/{owner}/{repo}/issues/{issue_number}/comments", "get", "200"),
    "events": ("/repos/{owner}/{repo}/issues/{issue_number}/events", "get", "200"),
    "reviews": ("/repos/{owner}/{repo}/pulls/{pull_number}/reviews", "get", "200"),
    "labels": ("/repos/{owner}/{repo}/labels", "get", "200"),
    "milestones": ("/repos/{owner}/{repo}/milestones", "get", "200"),
    "token": ("/app/installations/{installation_id}/access_tokens", "post", "201"),
}
DROPPED = {"description", "example", "examples", "title", "default", "deprecated", "readOnly"}


def plain(node, names=False):
    if isinstance(node, dict):
        return {
            key: plain(value, key == "properties")
            for key, value in node.items()
            if names or (key not in DROPPED and not key.startswith("x-"))
        }
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        api = json.load(file)
    answers = {}
    for name, (path, method, status) in PATHS.items():
        answer = api["paths"][path][method]["responses"][status]
        answers[name] = plain(answer["content"]["application/json"]["schema"])
    schemas = {}
    todo = list(references(answers))
    while todo:
        name = todo.pop().removeprefix("#/components/schemas/")
        if name not in schemas:
            schemas[name] = plain(api["components"]["schemas"][name])
            todo += references(schemas[name])
    json.dump({"answers": answers, "schemas": schemas}, sys.stdout, sort_keys=True, indent=0)
    print()


main()
