"""`python -m recommender` is the `recommender` command."""

from recommender.cli.main import main

if __name__ == "__main__":
    main()
