"""Which pages there are: what the site links, from the first page of each role on. A new page is covered by itself."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urljoin, urlsplit

from visitor import Reader

PAGES_MAX = 400
# Files and streams are no pages, and whoever follows "log out" is out.
NO_PAGES = re.compile(r"^/(v1|static|assets)/|/(file|certificate|rows|changes|template)$|^/logout|^/system/logout|\.(css|js|svg)$")
ID = re.compile(r"^(?=.*\d)[0-9a-zA-Z_-]{12,}$|^\d+$")


@dataclass(frozen=True)
class Page:
    """A kind of page, and one address of it."""

    kind: str
    path: str


def kind_of(path):
    """`/operators/0191…` is one of `/operators/{id}`; which filter is set makes no other kind of page."""
    parts = urlsplit(path)
    segments = ["{id}" if ID.match(segment) else segment for segment in parts.path.split("/")]
    return "/".join(segments)


def links(text, here):
    """Addresses of this site in a page, as paths."""
    for href in Reader(text).links:
        found = urlsplit(urljoin(f"https://here{here}", href))
        if found.netloc == "here" and not NO_PAGES.search(found.path):
            yield found.path + (f"?{found.query}" if found.query else "")


def crawl(visitor, start, per_kind=1):
    """Every kind of page that `visitor` reaches from `start`. A list with a filter is seen once, as itself."""
    found, waiting, seen, counts = [], [start], {start}, {}
    while waiting and len(seen) < PAGES_MAX:
        path = waiting.pop(0)
        kind = kind_of(path)
        if per_kind <= counts.get(kind, 0):
            continue
        answer = visitor.get(path)
        if "text/html" not in answer.headers.get("content-type", "") or visitor.path != urlsplit(path).path:
            continue
        assert answer.status_code == 200, f"a link leads to {path}, which answers {answer.status_code}"
        counts[kind] = counts.get(kind, 0) + 1
        found.append(Page(kind, path))
        for link in links(answer.text, path):
            # Sorting and turning pages are the same page.
            turning = {"sort", "size", "before", "after"} & {name for name, _ in parse_qsl(urlsplit(link).query)}
            if link not in seen and not turning:
                seen.add(link)
                waiting.append(link)
    return found
