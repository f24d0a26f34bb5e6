"""`recommender ask`: recommendations for a user, from a running worker."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender.client import BadReply, Client, RecommendTimeout, RequestFailed
from recommender.client.messages import decode_reply, encode_request
from recommender.kafka.admin import security_options
from recommender.messages.requests import MAX_HOURS, MAX_N, MAX_TIMES
from recommender.messages.responses import Recommended, Response
from recommender.settings import load as load_settings

COLUMNS = ("rank", "item", "score", "source", "neighbours")


def _text(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An argument that can be sent: one that is not UTF-8 reaches Python as surrogates."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter(f"{value!r} is not UTF-8") from None
    if value == "":
        raise click.BadParameter("it is empty")
    return value


def _items(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """Item ids from comma-separated lists; None if the option is not given."""
    if not value:
        return None
    items = [each.strip() for part in value for each in part.split(",") if each.strip()]
    for each in items or [""]:
        _text(context, parameter, each)
    return items


def _seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g} is not a positive number of seconds")
    return value


@click.command()
@click.option("--user", callback=_text, help="Whom to recommend to.")
@click.option("--similar-to", metavar="ITEM", callback=_text, help="Items like this one, instead of --user.")
@click.option("--explain", is_flag=True, help="Also show which of the user's own items led to each.")
@click.option("-n", "n", type=click.IntRange(1, MAX_N), default=10, show_default=True, help="How many items.")
@click.option("--items", multiple=True, callback=_items, help="Only these candidates, as A,B,C.")
@click.option("--exclude", multiple=True, callback=_items, help="Never these, as A,B,C.")
@click.option("--categories", multiple=True, callback=_items, help="Only items of one of these, as A,B,C.")
@click.option("--not-categories", multiple=True, callback=_items, help="No items of any of these, as A,B,C.")
@click.option("--include-rated", is_flag=True, help="Also what the user has rated.")
@click.option(
    "--after", type=click.IntRange(0), help="Wait until the rating at this offset of the user's is learned."
)
@click.option("--arm", callback=_text, help="Answer with this arm, whatever the user's own is.")
@click.option(
    "--explore",
    type=click.FloatRange(0, 1),
    help="Give each place to chance with this probability; 0 for none. Default: as the worker is set.",
)
@click.option(
    "--hide-seen",
    type=click.IntRange(0, MAX_TIMES),
    metavar="TIMES",
    help="Leave out what the user was shown so often and has not rated. Default: as the worker is set.",
)
@click.option(
    "--hide-seen-for",
    type=click.FloatRange(0, MAX_HOURS, min_open=True),
    metavar="HOURS",
    help="Only what was shown in this many hours up to now counts.",
)
@click.option(
    "--timeout", type=float, default=5.0, show_default=True, callback=_seconds, help="Seconds to wait."
)
@click.option("--broker", callback=_text, help="HOST:PORT of Kafka. Default: RECOMMENDER_BROKER.")
@click.option(
    "--titles",
    "source",
    metavar="FILE|ml-100k",
    help="Show the titles of this data set, instead of those that the items topic has.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the reply as received, on one line.")
def ask(
    user: str | None,
    similar_to: str | None,
    explain: bool,
    n: int,
    items: list[str] | None,
    exclude: list[str] | None,
    categories: list[str] | None,
    not_categories: list[str] | None,
    include_rated: bool,
    after: int | None,
    arm: str | None,
    explore: float | None,
    hide_seen: int | None,
    hide_seen_for: float | None,
    timeout: float,
    broker: str | None,
    source: str | None,
    as_json: bool,
) -> None:
    """Ask a running worker for recommendations.

    Prints a table on a terminal, and tab-separated columns in a pipe.

    The exit code is 0 with an answer; 1 when no answer came in time or the worker answered with a failure;
    2 when something has to be fixed first: the usage, a setting, a topic that does not exist or a broker
    that cannot be reached.
    """
    key = user if user is not None else similar_to
    if key is None or (user is not None and similar_to is not None):
        raise click.UsageError("expected either --user or --similar-to")
    if explain and user is None:
        raise click.UsageError("--explain goes with --user")
    if explore is not None and math.isnan(explore):
        raise click.UsageError("--explore must be between 0 and 1, got nan")
    if explore and user is None:
        raise click.UsageError("--explore goes with --user")
    if user is None and (hide_seen or hide_seen_for is not None):
        raise click.UsageError("--hide-seen and --hide-seen-for go with --user")
    # What the client has to say comes as one sentence; its log is for programs that run for long.
    logging.getLogger("recommender").addHandler(logging.NullHandler())
    settings = load_settings(broker=broker)
    titles = _titles(source)
    try:
        request = encode_request(
            user,
            n,
            items=items,
            exclude=exclude or (),
            include_rated=include_rated,
            after=after,
            arm=arm,
            similar_to=similar_to,
            explain=explain,
            explore=explore,
            categories=categories,
            not_categories=not_categories,
            titles=not titles and not as_json,
            hide_seen=hide_seen,
            hide_seen_for=hide_seen_for,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        with Client(
            settings.broker, settings.topic_prefix, security=security_options(settings), connect_timeout=0
        ) as client:
            reply = client.request(key, request, timeout)
        if as_json:
            click.echo(reply or b"null")
        response = decode_reply(reply)
    except (RecommendTimeout, RequestFailed, BadReply) as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)
    if not as_json:
        told = {each.item: each.title for each in response.items if each.title is not None}
        _show(response, titles or told, Console())


def _titles(source: str | None) -> Mapping[str, str]:
    if source is None:
        return {}
    from recommender.evaluation.datasets import movielens

    found = movielens.titles(source, lambda line: click.echo(line, err=True))
    if not found:
        click.echo(f"There are no titles next to {source}", err=True)
    return found


def _because(place: Recommended, titles: Mapping[str, str]) -> str:
    reasons = (f"{titles.get(each.item, each.item)} {each.share:.0%}" for each in place.because or ())
    return "; ".join(reasons)


def _show(response: Response, titles: Mapping[str, str], console: Console) -> None:
    explained = any(each.because is not None for each in response.items)
    columns = [*COLUMNS, *(["title"] if titles else []), *(["because of"] if explained else [])]
    rows = [
        [
            str(rank),
            each.item,
            f"{each.score:.4g}",
            each.source,
            "" if each.neighbours is None else str(each.neighbours),
            *([titles.get(each.item, "")] if titles else []),
            *([_because(each, titles)] if explained else []),
        ]
        for rank, each in enumerate(response.items, start=1)
    ]
    if console.is_terminal:
        _show_table(response, columns, rows, console)
    else:
        for row in [columns, *rows]:
            click.echo("\t".join(row))
    for note in _notes(response):
        click.secho(note, fg="yellow", err=not console.is_terminal)


def _show_table(response: Response, columns: list[str], rows: list[list[str]], console: Console) -> None:
    seen = f"as of offset {response.journal} of the journal"
    # As Text: an id or a title may look like rich's markup.
    table = Table(
        title=Text(f"For user {response.user}"),
        caption=Text(f"model {response.model}, arm {response.arm}, {seen}"),
    )
    for name in columns:
        table.add_column(name, justify="right" if name in ("rank", "score", "neighbours") else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _notes(response: Response) -> list[str]:
    notes = []
    if response.cold_start:
        whose = "the user" if response.user is not None else "the item"
        what = "the popular items" if response.model == "popular" else f"what {response.model} expects"
        notes.append(f"Cold start: no rating of {whose} is known, so these are {what}.")
    elif response.user is None and response.model == "popular":
        notes.append(f"Arm {response.arm} does not know what is alike, so these are the popular items.")
    if not response.explained:
        notes.append(f"Arm {response.arm} has no reasons to give, so the list comes without.")
    if response.fewer is not None:
        notes.append(f"Fewer than asked for: {response.fewer}.")
    if not response.items:
        notes.append("There is nothing to recommend.")
    return notes
