"""`python -m tests.chaos`: kill workers at random and prove that nothing is lost and nothing counts twice."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tests.chaos.run import run


@click.command()
@click.option("--kills", default=100, show_default=True, help="How many times a worker is killed.")
@click.option("--seed", type=int, help="Of all that is random; by default drawn, and printed.")
@click.option("--ratings", default=300.0, show_default=True, help="Ratings a second.")
@click.option("--requests", default=20.0, show_default=True, help="Requests a second.")
@click.option(
    "--journal-partitions", default=1, show_default=True, help="Partitions of the journal: 1, 2 or 4."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep logs and checkpoints there.")
@click.option(
    "--soak", type=float, help="Instead: so many minutes at 5,000 ratings and 50 requests a second."
)
@click.option("--rolling", type=int, help="Instead: restart each of two workers so many times under load.")
@click.option("--image", help="With --rolling: the containers of deploy/compose.yml, with this image.")
@click.option("--next-image", help="With --image: what runs after a restart; by default the same.")
@click.option(
    "--sold-out",
    type=int,
    help="Instead: so many requests over Kafka and HTTP, while a third of 10,000 items is sold out in turns.",
)
@click.option("--fuzz", type=int, help="Instead: so many records of all kinds, and requests meanwhile.")
@click.option(
    "--decode",
    type=int,
    help="Instead: so many mutated ratings and a tenth as many requests, without a broker.",
)
@click.option(
    "--kafka",
    envvar="KAFKA_BOOTSTRAP_SERVERS",
    help="Bootstrap servers for --fuzz and --sold-out; by default a broker is started.",
)
@click.option(
    "--full-disk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Instead: fill the file system of this directory, such as a tmpfs of 2 MB, beside a worker.",
)
def main(
    kills: int,
    seed: int | None,
    ratings: float,
    requests: float,
    journal_partitions: int,
    keep: Path | None,
    soak: float | None,
    rolling: int | None,
    image: str | None,
    next_image: str | None,
    sold_out: int | None,
    fuzz: int | None,
    decode: int | None,
    kafka: str | None,
    full_disk: Path | None,
) -> None:
    """Chaos for the workers; exit code 1 if anything was lost, double or hung."""
    seed = time.time_ns() % 1_000_000 if seed is None else seed
    if decode is not None:
        from tests.chaos.fuzz import fuzz_ratings, fuzz_requests

        click.echo(f"seed {seed}")
        click.echo(fuzz_ratings(decode, seed))
        click.echo(fuzz_requests(decode // 10, seed))
        return
    if full_disk is not None:
        from tests.chaos.disk import full_disk as run_full_disk

        run_full_disk(full_disk, seed, click.echo)
        return
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as directory:
        if fuzz is not None:
            from tests.chaos.fuzz_run import fuzz_anywhere

            violations = fuzz_anywhere(kafka, keep or Path(directory), fuzz, seed, click.echo)
        elif rolling is not None:
            from tests.chaos.containers import roll_containers
            from tests.chaos.rolling import roll_processes

            where, load = keep or Path(directory), (rolling, seed, ratings, requests, click.echo)
            if image:
                violations = roll_containers(where, image, next_image or image, *load)
            else:
                violations = roll_processes(where, *load)
        elif sold_out is not None:
            from tests.chaos.sold_out import sold_out as run_sold_out

            violations = run_sold_out(keep or Path(directory), sold_out, seed, click.echo, kafka=kafka)
        elif soak is not None:
            from tests.chaos.soak import soak as run_soak

            violations = run_soak(keep or Path(directory), soak, seed, click.echo)
        else:
            where = keep or Path(directory)
            violations = run(where, kills, seed, ratings, requests, click.echo, journal_partitions)
    for each in violations:
        click.secho(f"VIOLATION: {each}", fg="red")
    what = f"{len(violations)} violations" if violations else "nothing lost, nothing double, nobody hung"
    click.echo(f"seed {seed}: {what}")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
