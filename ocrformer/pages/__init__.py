"""Self-contained HTML pages; no outside assets, no scripts from elsewhere."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def fill(page: str, data: Any) -> str:
    """A page with its data inside.

    Args:
        page: File name of the template.
        data: Plain values that the page's script finds in the element `data`.
    """
    template = (files(__name__) / page).read_text("utf-8")
    embedded = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # cannot end the script element
    return template.replace("{{data}}", embedded)


def data_of(page: str) -> Any:
    """The data of a page that `fill` made.

    Raises:
        ValueError: If there are none.
    """
    _, mark, rest = page.partition('id="data">')
    if not mark:
        raise ValueError("no page of this program")
    return json.loads(rest.partition("</script>")[0])
