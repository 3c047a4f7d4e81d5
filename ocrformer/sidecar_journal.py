"""The journal in each folder with sidecars: which version of which image they are of."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOURNAL = ".ocrformer.jsonl"
"""Its name."""


@dataclass
class Past:
    """What a journal tells of earlier runs.

    Attributes:
        owner: The version of an image that each file is of, as JSON; None if a run ended before that was sure.
        done: Names of the files of each version of an image in each format, the settings they were made with, and how
            many of its pages failed.
        made: Names of the files that any version of an image has or had in each format.
    """

    owner: dict[str, str | None] = field(default_factory=dict)
    done: dict[tuple[str, str], tuple[list[str], dict[str, Any], int]] = field(default_factory=dict)
    made: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


def read_past(journal: Path) -> Past:
    """What a journal tells; half a line, as a kill leaves, is passed over."""
    past = Past()
    for line in journal.read_text("utf-8", "replace").splitlines() if journal.is_file() else ():
        try:
            version, names, settings, failed = json.loads(line)
            names = [str(name) for name in names]
            if any(Path(name).name != name for name in names):
                continue  # of a folder that somebody else made: none leads out of it
            past.owner.update(dict.fromkeys(names, version and json.dumps(version)))
            if version is not None:
                past.made[str(version[0]), str(settings["format"])].update(names)
                past.done[json.dumps(version), str(settings["format"])] = names, settings, int(failed)
        except (ValueError, TypeError, LookupError):
            continue
    return past
