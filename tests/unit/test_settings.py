"""Settings: types, bounds, names, where values come from, and that their page is up to date."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from recommender import settings
from recommender.cli.settings import page
from recommender.errors import RecommenderError
from recommender.settings import Settings, SettingsError, load
from recommender.shard.arms import ArmError, Arms
from recommender.shard.options import ShardOptions, arms_of, learned_settings, logs_recommendations

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
NUMBERS = [each for each in settings.describe() if each.kind in ("integer", "number")]


def test_an_empty_environment_gives_the_defaults() -> None:
    loaded = load({})
    assert loaded.broker == "localhost:9092"
    assert loaded.model == "blend"
    assert loaded.feedback == "graded:4"
    assert loaded.partitions == 1
    assert loaded.rating_min != loaded.rating_min
    assert set(settings.sources({}).values()) == {"default"}


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("RECOMMENDER_BROKER", " a:1,b:2 ", "broker", "a:1,b:2"),
        ("RECOMMENDER_PARTITIONS", " 12 ", "partitions", 12),
        ("RECOMMENDER_CHECKPOINT_INTERVAL", "0.5", "checkpoint_interval", 0.5),
        ("RECOMMENDER_RATING_MIN", "-1", "rating_min", -1.0),
        ("RECOMMENDER_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("RECOMMENDER_SASL_MECHANISM", "scram-sha-256", "sasl_mechanism", "SCRAM-SHA-256"),
        ("RECOMMENDER_TOPIC_PREFIX", "", "topic_prefix", ""),
    ],
)
def test_each_type_is_read(variable: str, text: str, name: str, value: object) -> None:
    read = getattr(load({variable: text}), name)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: str(each.name))
@pytest.mark.parametrize("text", ["x", "", "0x10", "1,5", "nan", "inf", "-inf", "1e999"])
def test_what_is_not_a_finite_number_is_refused(each: settings.Described, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{each.variable} has value '{text}': not an? ") as caught:
        load({each.variable: text})
    assert isinstance(caught.value, RecommenderError)


def test_an_integer_has_no_fraction() -> None:
    with pytest.raises(SettingsError, match=r"RECOMMENDER_PARTITIONS has value '1\.5': not an integer$"):
        load({"RECOMMENDER_PARTITIONS": "1.5"})


@pytest.mark.parametrize("declared", fields(Settings), ids=lambda each: str(each.name))
def test_bounds_are_kept_and_named(declared: object) -> None:
    name, metadata = declared.name, declared.metadata  # type: ignore[attr-defined]
    variable, step = settings.variable(name), 1 if declared.type == "int" else 0.05  # type: ignore[attr-defined]
    for bound, word, outside in (("low", "least", -step), ("high", "most", step)):
        limit = metadata[bound]
        if limit is None:
            continue
        assert getattr(load({variable: str(limit)}), name) == limit
        text = str(limit + outside)
        with pytest.raises(SettingsError) as caught:
            load({variable: text})
        assert str(caught.value) == f"{variable} has value {text!r}: must be at {word} {limit}"


def test_bounds_are_shown_in_full() -> None:
    with pytest.raises(SettingsError, match=r"must be at most 2147483647$"):
        load({"RECOMMENDER_SEED": str(2**40)})


@pytest.mark.parametrize("each", [each for each in fields(Settings) if each.metadata["choices"]])
def test_only_the_choices_are_accepted(each: object) -> None:
    name, choices = each.name, each.metadata["choices"]  # type: ignore[attr-defined]
    for choice in choices:
        assert getattr(load({settings.variable(name): choice.swapcase()}), name) == choice
    with pytest.raises(SettingsError) as caught:
        load({settings.variable(name): "verbose"})
    expected = f"{settings.variable(name)} has value 'verbose': expected one of {', '.join(choices)}"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("RECOMMENDER_PARTITION", "RECOMMENDER_PARTITIONS"),
        ("RECOMMENDER_CHECKPOINT_DIR", "RECOMMENDER_CHECKPOINTS"),
        ("RECOMMENDER_MODELS", "RECOMMENDER_MODEL"),
        ("RECOMMENDER_RATINGMAX", "RECOMMENDER_RATING_MAX"),
    ],
)
def test_an_unknown_variable_suggests_the_nearest(unknown: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{unknown} is not a setting; the nearest is {nearest}$"):
        load({unknown: "1"})


def test_any_unknown_variable_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="the nearest is RECOMMENDER_"):
        load({"RECOMMENDER_": "1"})


def test_other_variables_are_none_of_our_business() -> None:
    assert load({"PATH": "/bin", "RECOMMEND": "x", "XRECOMMENDER_FOO": "1"}).partitions == 1


def test_overrides_win_and_none_is_not_given() -> None:
    environment = {"RECOMMENDER_PARTITIONS": "2", "RECOMMENDER_MODEL": "random"}
    loaded = load(environment, partitions=4, model=None, web_port="0")
    assert (loaded.partitions, loaded.model, loaded.web_port) == (4, "random", 0)


def test_a_bad_override_is_named_as_its_option() -> None:
    with pytest.raises(SettingsError, match=r"^--web-port has value '70000': must be at most 65535$"):
        load({}, web_port=70_000)


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER_GROUP", "other")
    assert load().group == "other"
    assert settings.sources()["group"] == "RECOMMENDER_GROUP"
    assert settings.sources()["broker"] == "default"


def test_secrets_are_hidden() -> None:
    loaded = load({"RECOMMENDER_SASL_PASSWORD": "hunter2", "RECOMMENDER_SASL_USERNAME": "ann"})
    assert loaded.sasl_password == "hunter2"
    assert settings.shown(loaded, "sasl_password") == "****"
    assert settings.shown(load({}), "sasl_password") == ""
    assert settings.shown(loaded, "sasl_username") == "ann"


def test_a_secret_does_not_leak_through_its_text_form() -> None:
    assert "hunter2" not in repr(load({"RECOMMENDER_SASL_PASSWORD": "hunter2"}))


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (0.1, "0.1"), (float("nan"), ""), (1234567.25, "1234567.25")]
)
def test_numbers_are_shown_as_they_are(value: float, text: str) -> None:
    assert settings.shown(Settings(rating_max=value), "rating_max") == text


def test_learned_holds_what_decides_what_is_learned() -> None:
    values = {
        "feedback": "positive:2",
        "rating_min": "1",
        "rating_max": "",
        "repeats": "highest",
        "model": "random",
        "max_users": "9",
        "max_items": "7",
        "max_ratings": "99",
        "max_ratings_per_user": "none",
        "user_ttl": "30",
        "item_ttl": "0.5",
        "seed": "7",
        "test_every": "3",
        "test_window": "50",
    }
    environment = {settings.variable(name): value for name, value in values.items() if value}
    assert learned_settings(load({**environment, "RECOMMENDER_GROUP": "other"})) == values


def test_of_arms_only_the_models_are_learned() -> None:
    def of(arms: str, **more: str) -> object:
        return learned_settings(load({}, arms=arms, **more))

    learned = learned_settings(load({}, arms="mf:1,cooc:1"))
    assert learned == learned_settings(load({})) | {"model": "cooc, mf"}
    assert learned == of("cooc:3,mf:0.5") == of("mf:1,cooc:0", experiment="two", explore="thompson")
    assert learned != of("mf:1,cooc/memory=5:1")
    assert of("mf:1") == learned_settings(load({}, model="mf"))


def test_arms_take_the_place_of_the_model() -> None:
    assert arms_of(load({}, model="mf", experiment="x")) == Arms.parse("mf:1", "x")
    assert arms_of(load({}, arms="mf:1,cooc:2")) == Arms.parse("mf:1,cooc:2")
    assert load({"RECOMMENDER_ARMS": "", "RECOMMENDER_MODEL": "mf"}).model == "mf"
    expected = (
        "RECOMMENDER_MODEL has value 'mf' and RECOMMENDER_ARMS has value 'mf:1': expected only one of them"
    )
    with pytest.raises(SettingsError) as caught:
        load({"RECOMMENDER_ARMS": "mf:1"}, model="mf")
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("arms", "mf:0,cooc:0", "the shares of cooc, mf are all 0: one must be above 0"),
        ("arms", "mf:1,mf:2", "arm 'mf' is given twice"),
        ("arms", "mf:1,cooc", "arm 'cooc' of 'mf:1,cooc' has no share: expected MODEL:SHARE"),
        ("arms", "mf:-1,cooc:1", "arm 'mf' has share -1: must be a finite number of at least 0"),
        ("explore", "epsilon:1.5", "epsilon has value 1.5: must be between 0 and 1"),
        ("explore", "chance", "exploration 'chance' does not exist: expected epsilon:E, softmax:T, "),
    ],
)
def test_arms_and_exploration_that_cannot_be_are_named(name: str, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ShardOptions.of(load({settings.variable(name): text}))
    assert str(caught.value).startswith(f"RECOMMENDER_{name.upper()} has value {text!r}: {told}")


def test_an_experiment_has_a_name() -> None:
    with pytest.raises(ArmError, match="name is empty"):
        arms_of(load({"RECOMMENDER_EXPERIMENT": ""}))


@pytest.mark.parametrize(
    ("log", "arms", "logs"),
    [("auto", "", False), ("auto", "mf:1", False), ("auto", "mf:1,cooc:0", True), ("on", "", True),
     ("off", "mf:1,cooc:1", False)],
)  # fmt: skip
def test_recommendations_are_logged_where_there_are_arms(log: str, arms: str, logs: bool) -> None:
    assert logs_recommendations(load({}, recommendations_log=log, arms=arms)) is logs


def test_recommendations_are_logged_where_they_are_not_to_be_shown_again() -> None:
    assert logs_recommendations(load({}, hide_seen=3))
    assert not logs_recommendations(load({}, hide_seen=0))
    with pytest.raises(SettingsError) as caught:
        logs_recommendations(load({}, hide_seen=3, recommendations_log="off"))
    assert "RECOMMENDER_HIDE_SEEN has value 3" in str(caught.value)
    assert "RECOMMENDER_RECOMMENDATIONS_LOG has value 'off': expected auto or on" in str(caught.value)


def test_learned_tells_nearly_equal_numbers_apart() -> None:
    one, other = Settings(rating_max=1234567.0), Settings(rating_max=1234568.0)
    assert learned_settings(one) != learned_settings(other)


def test_every_option_of_a_shard_is_learned() -> None:
    names = {each.name for each in fields(ShardOptions)} | {"rating_min", "rating_max"}
    names |= {
        "max_users",
        "max_items",
        "max_ratings",
        "max_ratings_per_user",
        "user_ttl",
        "item_ttl",
    }  # bounds
    assert set(learned_settings(load({}))) == names - {"experiment", "exploration", "bounds"}


def test_every_setting_is_described() -> None:
    described = settings.describe()
    assert [each.name for each in described] == [each.name for each in fields(Settings)]
    assert all(each.about and each.variable == "RECOMMENDER_" + each.name.upper() for each in described)
    by_name = {each.name: each for each in described}
    assert by_name["partitions"].kind == "integer"
    assert by_name["checkpoint_interval"].unit == "seconds"
    assert by_name["checkpoint_interval"].default == "60"
    assert by_name["model"].learned
    assert not by_name["broker"].learned


def test_the_page_of_the_settings_is_up_to_date() -> None:
    written = PAGE.read_text("utf-8")
    assert written == page(), "`recommender settings --markdown > docs/settings.md` writes it"
    rows = re.findall(r"^\| `(RECOMMENDER_\w+)`", written, re.MULTILINE)
    assert rows == [each.variable for each in settings.describe()]
