"""Replays a rating data set to the ratings topic: ``python -m producers.replay SOURCE``.

The program of the article that this project starts from. It is `recommender replay`, which is installed.
"""

from __future__ import annotations

import sys

from recommender.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "replay")
    main()
