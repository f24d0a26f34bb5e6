"""The same over HTTP, with nothing but Python's own library; docs/http.md has all calls.

It needs a broker and a worker, see docs/getting-started.md.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

WORKER = f"http://127.0.0.1:{os.environ.get('RECOMMENDER_WEB_PORT', '6066')}"
WAIT_SECONDS = 20.0


def call(path: str, body: Any = None) -> Any:
    """The answer of a worker, as JSON: the whole client."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token := os.environ.get("RECOMMENDER_WEB_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    content = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(WORKER + path, content, headers)) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as failed:
        with failed:
            return json.load(failed)


def patiently(path: str, body: Any = None) -> Any:
    """The answer, asked for again as long as the worker says that it may come later."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        answer = call(path, body)
        if answer["ok"] or not answer["error"]["retriable"] or time.monotonic() > until:
            return answer
        time.sleep(0.1)


def main() -> None:
    """Rate, ask, ask for what is like an item, and for a guest."""
    pairs = [("ann", "tea"), ("ann", "milk"), ("bob", "tea"), ("bob", "milk"), ("cat", "tea")]
    ratings = [{"user": user, "item": item, "rating": 5} for user, item in pairs]
    written = patiently("/ratings", ratings)["written"]
    print(f"the last rating is at offset {written[-1]['offset']} of partition {written[-1]['partition']}")

    # An answer that knows of that rating, whichever worker gives it.
    answer = patiently("/recommend", {"user": "cat", "n": 3, "after": written[-1]})
    print(f"for cat: {[place['item'] for place in answer['items']]}")

    similar = patiently(f"/items/{urllib.parse.quote('tea', safe='')}/similar?n=3")
    print(f"like tea: {[place['item'] for place in similar['items']]}")

    guest = patiently("/recommend", {"history": ["tea"], "n": 3})
    print(f"for a guest who likes tea: {[place['item'] for place in guest['items']]}")

    refused = call("/recommend?user=cat&n=0")
    print(f"refused ({refused['error']['code']}): {refused['error']['message']}")


if __name__ == "__main__":
    main()
