"""KNNBaseline as a library: learned at once, changed at once, without Kafka."""

from __future__ import annotations

from recommender import KNNBaseline

RATINGS = [
    ("ann", "tea", 1),
    ("ann", "milk", 1),
    ("ann", "rum", -1),
    ("bob", "tea", 1),
    ("bob", "milk", 1),
    ("cat", "rum", 1),
    ("cat", "cola", 1),
    ("dan", "tea", 1),
]
EVERYTHING = ["tea", "milk", "rum", "cola"]


def main() -> None:
    """Train, ask, change a rating, ask again."""
    knn = KNNBaseline(low=-1, high=1)
    knn.train(RATINGS)
    show("dan likes tea", knn)

    knn.set_rating("dan", "milk", -1)
    show("dan dislikes milk now", knn)

    knn.set_rating("dan", "tea", None)
    knn.set_rating("dan", "milk", None)
    show("dan takes both back", knn)


def show(what: str, knn: KNNBaseline) -> None:
    """The estimates for dan, best first; `neighbours` is how many ratings each rests on."""
    print(what)
    for answer in knn.top("dan", EVERYTHING, n=3):
        known = "nothing known" if answer.cold_start else f"{answer.neighbours} neighbours"
        print(f"  {answer.item:5} {answer.estimate:+.2f}  {known}")


if __name__ == "__main__":
    main()
