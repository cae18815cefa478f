"""The seed of models: what it says comes out typed, and each mistake is refused with file, line, key and a way out."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest

from gateway.domain.inference import Kind
from gateway.domain.prices import Price, Tier
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.providers.catalogue import PROVIDERS
from gateway.registry.seed import load_seed
from gateway.settings import CONFIG, SettingsError

MODEL = 'name = "a", provider = "compatible", base_url = "http://host/v1"'


@pytest.fixture
def seed(tmp_path, checks):
    """Write a seed file, and load it."""

    def seed(text):
        path = tmp_path / "models.conf"
        path.write_text(text, "utf-8")
        return load_seed(path, checks)

    return seed


# ---- what comes out ----------------------------------------------------------------------------------------------
def test_our_own_seed_loads(checks):
    registry = load_seed(CONFIG / "seed" / "models.conf", checks)
    assert "smollm2-135m-instruct" in registry.models
    assert registry.aliases["assistant"] == ("smollm2-135m-instruct",)


def test_the_commented_examples_of_our_seed_load_too(tmp_path, checks):
    text = (CONFIG / "seed" / "models.conf").read_text("utf-8")
    shown = re.sub(r"^(\s*)# (\{ name|  [a-z_]+ (=|\{))", r"\1\2", text, flags=re.MULTILINE)
    path = tmp_path / "models.conf"
    path.write_text(shown, "utf-8")
    models = load_seed(path, checks).models
    assert len(models) >= 5
    assert all(model.price is not None for model in models.values())


def test_everything_that_can_be_said_of_a_model_comes_out(seed):
    entries = seed("""
        models = [{
          name = "org/model:1", provider = "openai", base_url = "https://host/v1/", upstream_model = "up"
          kind = embedding, credential = "env:HOST_API_KEY", tags { location = on-prem, count = 3, gpu = "" }
          capabilities = [tools, vision], size = small, quality = 0.75
          price { input_usd_per_mtok = "0.40", output_usd_per_mtok = "1.60", cached_input_usd_per_mtok = "0.10"
                  request_usd = "0.001" }
          context_window = 8192, max_output = 2048, timeouts { connect = 1s, total = 2m }
          limits { concurrency = 4, requests_per_minute = 60, tokens_per_minute = 100000 }
          headers { x-team = search }, options { a = 1 }, state = draining, notes = "Ask Ann."
          aliases = [assistant, embedder]
        }]
    """)
    assert entries.models["org/model:1"] == Model(
        name="org/model:1",
        provider="openai",
        base_url="https://host/v1",
        upstream_model="up",
        kind=Kind.EMBEDDING,
        credential="env:HOST_API_KEY",
        credential_for="https://host:443",
        tags={"location": "on-prem", "count": "3", "gpu": ""},
        price=Price(Decimal("0.40"), Decimal("1.60"), Decimal("0.10"), request_usd=Decimal("0.001")),
        context_window=8192,
        max_output=2048,
        timeouts=Timeouts(connect=timedelta(seconds=1), total=timedelta(minutes=2)),
        headers={"x-team": "search"},
        options={"a": 1},
        capabilities=frozenset({Capability.TOOLS, Capability.VISION}),
        size="small",
        quality=0.75,
        limits=ModelLimits(4, 60, 100_000),
        state=ModelState.DRAINING,
        notes="Ask Ann.",
    )
    assert entries.aliases == {"assistant": ("org/model:1",), "embedder": ("org/model:1",)}


def test_an_alias_lists_its_models_in_the_order_of_the_file_and_then_those_that_name_it(seed):
    entries = seed("""
        models = [
          { name = "a", provider = scripted, aliases = [x, y] }
          { name = "b", provider = scripted, aliases = [x] }
          { name = "c", provider = scripted }
        ]
        aliases { x = [c, b], z = [a] }
    """)
    assert entries.aliases == {"x": ("c", "b", "a"), "y": ("a",), "z": ("a",)}


def test_enabled_is_short_for_a_state(seed):
    states = [
        seed(one(more)).models["a"].state
        for more in ("enabled = true", "enabled = false", "state = disabled", "")
    ]
    assert states == [ModelState.ENABLED, ModelState.DISABLED, ModelState.DISABLED, ModelState.ENABLED]


def test_what_no_model_says_it_can_do_is_unknown_and_none_is_none(seed):
    assert seed(one("")).models["a"].capabilities is None
    assert seed(one("capabilities = []")).models["a"].capabilities == frozenset()


def test_what_is_not_said_has_its_default(seed):
    model = seed("models = [{ %s }]" % MODEL).models["a"]  # noqa: UP031  braces are HOCON's
    assert (model.upstream_model, model.price, model.credential, model.enabled) == ("a", None, None, True)


def test_an_empty_seed_has_no_models(seed):
    assert dict(seed("").models) == {}


def test_a_scripted_model_needs_no_address(seed):
    assert seed('models = [{ name = "s", provider = "scripted" }]').models["s"].base_url == ""


# ---- what is refused ---------------------------------------------------------------------------------------------
def one(more):
    return f"models = [\n{{ {MODEL}\n{more} }}\n]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "modles = []",
            "models.conf:1: modles: expected one of aliases, models, got 'modles'. Did you mean models?",
        ),
        ("models = 5", "models.conf:1: models: expected a list"),
        ("models = [5]", "models.conf:1: models.0: expected an object"),
        (one("upstream_modle = x"), "models.conf:3: models.0.upstream_modle: expected one of"),
        (one("upstream_modle = x"), "Did you mean upstream_model?"),
        (one("provider = opnai"), "got 'opnai'. Did you mean openai?"),
        (
            one("provider = odd"),
            f"models.conf:3: models.0.provider: expected one of {', '.join(sorted(PROVIDERS))}",
        ),
        (one('name = "a b"'), "models.conf:3: models.0.name: expected a name"),
        (one('base_url = "ftp://host"'), "models.conf:3: models.0.base_url: expected a plain http"),
        (
            one('credential = "sk-12345"'),
            "models.conf:3: models.0.credential: expected env:NAME or file:/path",
        ),
        (one('credential = "env:PATH"'), "credentials.variables allows *_API_KEY"),
        (one('base_url = "http://169.254.169.254/v1"'), "169.254.169.254 is a link-local address"),
        (one('base_url = "http://0x7f.1/v1"'), "models.conf:3: models.0.base_url: expected a plain http"),
        (one('base_url = "http://host/v1?key=1"'), "a base URL has no query"),
        (one("capabilities = [tols]"), "models.conf:3: models.0.capabilities: expected one of tools"),
        (one("capabilities = [tols]"), "Did you mean tools?"),
        (one("capabilities = tools"), "models.0.capabilities: expected a list"),
        (one("size = [small]"), "models.conf:3: models.0.size: expected text"),
        (one('size = "very small"'), "models.conf:3: models.0.size: expected a word such as small"),
        (one("quality = 75"), "models.conf:3: models.0.quality: expected a score from 0 to 1, got 75.0"),
        (one("quality = high"), "models.conf:3: models.0.quality: expected a number such as 0.7"),
        (one("limits { concurency = 4 }"), "models.0.limits.concurency: expected one of"),
        (one("limits { concurency = 4 }"), "Did you mean concurrency?"),
        (one("limits { concurrency = 0 }"), "models.0.limits.concurrency: expected a whole number above 0"),
        (one("state = off"), "models.conf:3: models.0.state: expected one of enabled, draining, disabled"),
        (one("state = enabled, enabled = true"), "models.0.enabled: expected either state or enabled"),
        (one("notes = [a]"), "models.conf:3: models.0.notes: expected text"),
        (one("aliases = [a]"), "models.0.aliases: expected names other than the model's own"),
        (one("aliases = [auto]"), "models.0.aliases: expected another name than `auto`"),
        (one('name = "tags:x"'), "models.0.name: expected another name than `auto`"),
        (one("headers { authorization = x }"), "models.0.headers.authorization: expected no credential"),
        (one('tags { a = "b,c" }'), "models.conf:3: models.0.tags.a: expected a tag such as"),
        (
            one("timeouts { total = 2d }"),
            "models.0.timeouts.total: expected a duration such as 30s, up to a day",
        ),
        (one("kind = chatt"), "models.conf:3: models.0.kind: expected one of chat"),
        (
            one("context_window = 0"),
            "models.conf:3: models.0.context_window: expected a whole number above 0",
        ),
        (one("max_output = many"), "models.conf:3: models.0.max_output: expected a whole number above 0"),
        (one("enabled = maybe"), "models.conf:3: models.0.enabled: expected true or false"),
        (one("tags = 5"), "models.conf:3: models.0.tags: expected an object"),
        (one("timeouts { conect = 1s }"), "models.0.timeouts.conect: expected one of"),
        (one("timeouts { conect = 1s }"), "Did you mean connect?"),
        (one("timeouts { connect = soon }"), "models.conf:3: models.0.timeouts.connect: expected a duration"),
        (one('price { input_usd_per_mtok = "1" }'), "models.0.price.output_usd_per_mtok: expected USD"),
        (
            one('price { input_usd_per_mtok = 1.5, output_usd_per_mtok = "1" }'),
            "models.conf:3: models.0.price.input_usd_per_mtok: expected USD per million tokens as a decimal in quotes",
        ),
        (one('price { input_usd_per_mtok = "-1", output_usd_per_mtok = "1" }'), "got '-1'"),
        (
            one('price { input_usd_per_mtok = "20000", output_usd_per_mtok = "1" }'),
            "more than anything costs (at most 10000)",
        ),
        (one('price { input_usd_per_mtok = "0.000002", output_usd_per_mtok = "1" }'), "did you mean 2?"),
        (
            one('price { gpu_second_usd = "2.49" }'),
            "models.0.price.gpu_second_usd: expected a price that can be meant",
        ),
        (one("price { }"), "models.0.price: expected at least one of"),
        (
            one('price { image_usd = "0.04", tiers = [{ input_usd_per_mtok = "1" }] }'),
            "models.0.price.tiers.0.over",
        ),
        (one('price { request_usd = "0.01", tiers = [{ over = 9, image_usd = "1" }] }'), "image_usd"),
        (
            one(
                'price { input_usd_per_mtok = "1", output_usd_per_mtok = "2", '
                'tiers = [{ over = 9, output_usd_per_mtok = "2000" }] }'
            ),
            "models.0.price.tiers.0.output_usd_per_mtok: expected a price that can be meant",
        ),
        (one('price { input_usd_per_mtok = "NaN", output_usd_per_mtok = "1" }'), "got 'NaN'"),
        (one('price { input_usd_per_mtk = "1" }'), "Did you mean input_usd_per_mtok?"),
        (
            f"models = [\n{{ {MODEL} }}\n{{ {MODEL} }}\n]",
            "models.conf:3: models.1.name: expected a name of its own, got 'a'",
        ),
        (
            one("") + '\naliases { b = ["aa"] }',
            "aliases.b: expected names of models in this file, got 'aa'. Did you mean a?",
        ),
        (one("") + "\naliases { b = [] }", "aliases.b: expected at least one model"),
        (one("") + '\naliases { b = "a" }', "aliases.b: expected a list"),
        (one("") + '\naliases { a = ["a"] }', "aliases.a: expected a name that no model has"),
    ],
)
def test_a_mistake_is_refused_with_its_place_and_a_way_out(seed, text, said):
    with pytest.raises(SettingsError) as refused:
        seed(text)
    assert said in str(refused.value)


def test_a_secret_in_the_wrong_place_is_not_repeated(seed):
    with pytest.raises(SettingsError) as refused:
        seed(one('credential = "sk-very-secret"'))
    assert "sk-very-secret" not in str(refused.value)


def test_all_mistakes_are_told_at_once(seed):
    with pytest.raises(SettingsError) as refused:
        seed("""models = [
            { name = "a", provider = odd, base_url = "ftp://x", quality = 2 }
            { name = "b", provider = scripted, kind = chatt }
            { name = "c", provider = scripted, tags = 5 }
        ]
        aliases { d = [e], auto = [c] }""")
    keys = [problem.key for problem in refused.value.problems]
    assert keys == [
        "models.0.provider",
        "models.0.base_url",
        "models.0.quality",
        "models.1.kind",
        "models.2.tags",
        "aliases.d",
        "aliases.auto",
    ]


def test_a_password_in_an_address_is_not_repeated(seed):
    with pytest.raises(SettingsError) as refused:
        seed(one('base_url = "https://user:very-secret@host/v1"'))
    assert "very-secret" not in str(refused.value)


def test_a_price_has_all_its_parts_and_tiers(seed):
    price = (
        seed(
            one(
                'price { input_usd_per_mtok = "1.25", output_usd_per_mtok = "10", cache_write_usd_per_mtok = "1.5", '
                'image_usd = "0.04", request_usd = "0.001", audio_hour_usd = "0.36", '
                'tiers = [{ over = 200000, input_usd_per_mtok = "2.50" }] }'
            )
        )
        .models["a"]
        .price
    )
    assert price == Price(
        Decimal("1.25"),
        Decimal(10),
        cache_write_usd=Decimal("1.5"),
        image_usd=Decimal("0.04"),
        request_usd=Decimal("0.001"),
        audio_hour_usd=Decimal("0.36"),
        tiers=(Tier(200_000, Decimal("2.50")),),
    )


def test_a_model_without_answers_needs_no_price_for_them(seed):
    price = seed(one('kind = embedding, price { input_usd_per_mtok = "0.02" }')).models["a"].price
    assert price == Price(Decimal("0.02"))


def test_a_model_by_time_needs_no_price_for_tokens(seed):
    assert seed(one('price { gpu_second_usd = "0.0011" }')).models["a"].price == Price(
        gpu_second_usd=Decimal("0.0011")
    )
