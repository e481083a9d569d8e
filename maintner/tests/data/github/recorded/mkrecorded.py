#!/usr/bin/env python3
"""Takes recorded answers and webhooks of GitHub from npm packages, as they are.

Usage: mkrecorded.py FIXTURES EXAMPLES, the folders of @octokit/fixtures and @octokit/webhooks-examples (both MIT).
Writes issues.json (the pages of a list), labels.json, and objects.json (issues, comments, reviews, milestones and labels of webhooks).
"""

import json
import os
import sys


def load(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


def write(name, value):
    with open(os.path.join(os.path.dirname(__file__), name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=0, sort_keys=True)
        file.write("\n")


def main():
    fixtures, examples = sys.argv[1:]
    scenario = (fixtures, "scenarios", "api.github.com")
    pages = load(*scenario, "paginate-issues", "normalized-fixture.json")
    write("issues.json", [{"link": page["headers"].get("link", ""), "body": page["response"]} for page in pages])
    labels = load(*scenario, "labels", "normalized-fixture.json")
    write("labels.json", labels[0]["response"])
    objects = {"issue": [], "comment": [], "review": [], "milestone": [], "label": []}
    for kind in load(examples, "api.github.com", "index.json"):
        if kind["name"] not in ("issues", "issue_comment", "pull_request_review", "milestone", "label"):
            continue
        seen = set()
        for example in kind["examples"]:
            # One of each action.
            if example.get("action") in seen:
                continue
            seen.add(example.get("action"))
            for name, kept in objects.items():
                if name in example and example[name] not in kept and len(kept) < 6:
                    kept.append(example[name])
    write("objects.json", objects)


main()
