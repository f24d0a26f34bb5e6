"""Rates an item, asks for recommendations that know of it, and says what else can come back.

It needs a broker and a worker, see docs/getting-started.md. RECOMMENDER_BROKER names the broker.
"""

from __future__ import annotations

import os

from recommender import Client, ConnectionBroken, RecommendTimeout, RequestFailed

broker = os.environ.get("RECOMMENDER_BROKER", "localhost:9092")
prefix = os.environ.get("RECOMMENDER_TOPIC_PREFIX", "")


def main() -> None:
    """Rate, ask, ask for similar items, and ask for what cannot be."""
    with Client(broker, topic_prefix=prefix) as client:
        for user, item in (("ann", "tea"), ("ann", "milk"), ("bob", "tea"), ("bob", "milk"), ("cat", "tea")):
            written = client.rate(user, item, 5)
        print(f"the last rating is at offset {written.offset} of partition {written.partition}")

        try:
            # `after` waits until the worker has learned that rating.
            response = client.recommend("cat", n=3, after=written, explain=True, timeout=20)
        except (RecommendTimeout, ConnectionBroken) as error:
            print(f"no answer: {error}")  # asking again may succeed
            return
        for place in response.items:
            because = ", ".join(reason.item for reason in place.because or [])
            print(f"for cat: {place.item} ({place.score:.2f}), because of {because or 'what others like'}")

        # An answer that knows at least what the last one knew, whichever worker gives it.
        again = client.recommend("cat", after={"journal": response.journal}, timeout=20)
        print(f"again, as of block {again.journal} of the journal: {[place.item for place in again.items]}")

        similar = client.recommend(similar_to="tea", n=3, timeout=20)
        print(f"like tea: {[place.item for place in similar.items]}")

        try:
            client.recommend("cat", arm="no-such-arm", timeout=20)
        except RequestFailed as failed:
            print(f"refused ({failed.code}): {failed.message}")


if __name__ == "__main__":
    main()
