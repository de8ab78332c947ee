use super::*;
use crate::row::Confidence;

fn place<'a>(kind: &'a str, task: &'a str, model: &'a str) -> Place<'a> {
    Place { kind, task, model, region: None, class: None }
}

fn shipped() -> Catalogue {
    Catalogue::shipped().unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// A row with `rest` as its prices.
fn row(models: &str, rest: &str) -> String {
    format!(
        "[[price]]\nkinds = [\"openai\"]\ntasks = [\"chat\"]\nmodels = {models}\nas_of = \"2026-11-01\"\nsource = \"us\"\n\
         confidence = \"high\"\n{rest}\n"
    )
}

fn faults(text: &str) -> Vec<String> {
    let faults = Catalogue::parse(text).unwrap_err();
    faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
}

#[test]
fn every_shipped_row_is_found_by_each_of_its_names_and_says_where_it_is_from() {
    let catalogue = shipped();
    let layer = &catalogue.layers[0];
    assert!(layer.rows.len() > 90, "{}", layer.rows.len());
    for row in &layer.rows {
        for (kind, task) in pairs(row) {
            for model in &row.scope.models {
                let place = Place { region: row.region.as_deref(), ..place(kind, task, model) };
                let price = catalogue.find(&place).unwrap();
                assert_eq!(price.about.as_of.as_deref(), Some("2026-08-21"), "{model}");
                assert!(price.describe().contains(model) && !price.about.source.is_empty(), "{model}");
            }
        }
    }
    for factor in &layer.factors {
        for model in &factor.scope.models {
            assert!(layer.by_model.contains_key(model), "a factor is for `{model}`, which has no row");
        }
    }
}

#[test]
fn a_model_is_never_taken_for_another_whose_name_begins_alike() {
    let catalogue = shipped();
    let described = |kind, model| catalogue.find(&place(kind, "chat", model)).unwrap().describe();
    assert!(described("openai", "gpt-4.1").starts_with("openai gpt-4.1: $2 input"));
    assert!(described("azure", "gpt-4.1-mini-2025-04-14").starts_with("azure gpt-4.1-mini: $0.4 input"));
    assert!(described("openai", "gpt-4o-2024-05-13").contains("$5 input"), "a dated row of its own wins");
    assert!(described("openai", "gpt-4o-2024-08-06").contains("$2.5 input"));
    for stranger in ["gpt-4.1-", "gpt-4", "gpt-4.1-mini-turbo", "gpt-5.6-luna", ""] {
        assert!(catalogue.find(&place("openai", "chat", stranger)).is_err(), "{stranger}");
    }
    let titan = catalogue.find(&place("aws", "embed", "amazon.titan-embed-text-v1"));
    assert!(titan.is_err(), "v1 is not v2: {titan:?}");
}

#[test]
fn a_regional_profile_costs_a_tenth_more_where_the_provider_says_so_and_a_doubtful_factor_makes_the_price_doubtful()
 {
    fn found(kind: &str, model: &str, region: Option<&str>, class: Option<&str>) -> Arc<Price> {
        shipped().find(&Place { region, class, ..place(kind, "chat", model) }).unwrap()
    }
    let claude = "anthropic.claude-haiku-4-5-20251001-v1:0";
    for (model, region, dearer) in [
        (format!("global.{claude}"), Some("eu-central-1"), false),
        (format!("eu.{claude}"), None, true),
        (claude.to_owned(), Some("eu-central-1"), true),
        (claude.to_owned(), Some("global"), false),
        (format!("arn:aws:bedrock:us-east-1:1:inference-profile/us.{claude}"), None, true),
        ("eu.amazon.nova-lite-v1:0".to_owned(), None, false),
    ] {
        let text = found("aws", &model, region, None).describe();
        assert_eq!(text.contains("all times 1.1"), dearer, "{text}");
    }
    let global = found("azure", "gpt-4.1", Some("global"), None);
    let zone = found("azure", "gpt-4.1", Some("data_zone"), None);
    assert_eq!((global.about.confidence, zone.about.confidence), (Confidence::High, Confidence::Low));
    assert!(zone.about.source.contains("memory"), "{}", zone.about.source);
    assert!(
        found("google", "claude-haiku-4-5@20251001", Some("europe-west4"), None)
            .describe()
            .contains("times 1.1")
    );

    let both = found("aws", &format!("eu.{claude}"), None, Some("priority"));
    assert!(both.describe().contains("all times 1.925"), "{}", both.describe());
    let unknown = shipped().find(&Place { class: Some("flex"), ..place("google", "chat", "gemini-2.5-pro") });
    assert!(unknown.unwrap_err().contains("service class `flex`"));
}

#[test]
fn a_missing_price_says_what_to_write() {
    let catalogue = shipped();
    for (kind, task, model, words) in [
        ("azure", "chat", "our-assistant", "at Azure this is the deployment's name"),
        ("openai", "chat", "gpt-4.1-mimi", "`price = { model = \"gpt-4.1-mini\" }`"),
        ("openai", "chat", "qwen3-32b", "input_usd_per_mtok = 0.4"),
        ("aws", "chat", "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", "hides the model"),
        ("aws", "predict", "credit-risk", "calls_per_hour = 3600"),
        ("openai", "chat", "text-embedding-3-small", "the catalogue has it for embed only"),
    ] {
        let why = catalogue.find(&place(kind, task, model)).unwrap_err();
        assert!(why.contains(words), "{why}");
        assert!(why.contains("price = {"), "{why}");
    }
    let elsewhere = Place { region: Some("eu-central-1"), ..place("aws", "predict", "ml.m5.large") };
    let why = catalogue.find(&elsewhere).unwrap_err();
    assert!(why.contains("us-east-1 only, not for eu-central-1"), "{why}");
}

#[test]
fn an_operator_s_row_wins_over_the_shipped_one_even_under_a_shorter_name() {
    let mut catalogue = shipped();
    let own = row("[\"gpt-4o\", \"house\"]", "input_usd_per_mtok = 2\noutput_usd_per_mtok = 9");
    catalogue.extend(Catalogue::parse(&own).unwrap());
    let find = |model| catalogue.find(&place("openai", "chat", model)).unwrap();
    assert!(find("gpt-4o-2024-05-13").describe().contains("$2 input, $9 output"));
    assert_eq!(find("house").about.source, "us");
    assert!(find("gpt-4.1").describe().contains("$2 input, $0.5 cached"), "the shipped rows are still there");
    assert!(catalogue.find(&place("azure", "chat", "gpt-4o")).unwrap().describe().contains("$2.5"));
}

#[test]
fn an_operator_s_row_for_one_region_does_not_hide_the_shipped_row_of_another() {
    let row = |region: &str, price: u32| {
        row(
            "[\"ml.x\"]",
            &format!("input_usd_per_mtok = {price}\noutput_usd_per_mtok = {price}\nregion = \"{region}\""),
        )
    };
    let mut catalogue = Catalogue::parse(&(row("us-east-1", 1) + &row("eu-west-1", 2))).unwrap();
    catalogue.extend(Catalogue::parse(&(row("us-east-1", 3) + &row("eu-central-1", 4))).unwrap());
    let find = |region| catalogue.find(&Place { region: Some(region), ..place("openai", "chat", "ml.x") });
    for (region, price) in
        [("us-east-1", "$3 input"), ("eu-central-1", "$4 input"), ("eu-west-1", "$2 input")]
    {
        assert!(find(region).unwrap().describe().contains(price), "{region}");
    }
    let why = find("ap-south-1").unwrap_err();
    assert!(why.contains("for us-east-1, eu-central-1 only, not for ap-south-1"), "{why}");
}

#[test]
fn a_class_that_the_operator_s_row_has_no_factor_for_is_not_priced_by_the_row_beneath() {
    let prices = "input_usd_per_mtok = 2\noutput_usd_per_mtok = 9";
    let factor = "[[factor]]\nclass = \"flex\"\ntimes = 0.5\nas_of = \"2026-11-01\"\nsource = \"us\"\nconfidence = \"low\"\n";
    let mut catalogue = Catalogue::parse(&(row("[\"a\"]", prices) + factor)).unwrap();
    let flex = |catalogue: &Catalogue| {
        catalogue.find(&Place { class: Some("flex"), ..place("openai", "chat", "a") })
    };
    assert!(flex(&catalogue).unwrap().describe().contains("all times 0.5"));
    catalogue.extend(Catalogue::parse(&row("[\"a\"]", prices)).unwrap());
    assert!(flex(&catalogue).unwrap_err().contains("service class `flex`"));
}

#[test]
fn a_day_that_there_is_not_is_no_date() {
    let on = |date: &str| {
        row("[\"a\"]", "input_usd_per_mtok = 1\noutput_usd_per_mtok = 1").replace("2026-11-01", date)
    };
    assert!(Catalogue::parse(&on("2024-02-29")).is_ok());
    for date in ["2026-02-29", "2026-13-01", "2026-1-01", "20260101", "2026-W01-1", "+026-01-01", ""] {
        assert_eq!(faults(&on(date))[0].split(':').next(), Some("price[0].as_of"), "{date}");
    }
}

#[test]
fn all_faults_are_told_at_once_with_their_rows_and_keys() {
    let text = [
        row("[\"a\"]", "input_usd_per_mtok = 0.0000004\noutput_usd_per_mtok = \"x\"\nusd_per_pgae = 1"),
        row("[\"a\", \"b\"]", "input_usd_per_mtok = 1"),
        "[[price]]\nkinds = [\"awz\"]\ntasks = [\"chat\"]\nmodels = [\"c\"]\nas_of = \"21.8.2026\"\nconfidence = \"sure\"\n\
         usd_per_page = 0.01\n"
            .to_owned(),
        "[[prise]]\n".to_owned(),
    ]
    .concat();
    let faults = faults(&text);
    for expected in [
        "price[0].usd_per_pgae: (a) unknown key; did you mean `usd_per_page`?",
        "price[0].output_usd_per_mtok: (a) `x` is not a decimal number such as 0.4",
        "price[1].output_usd_per_mtok: (a) missing: a chat has output",
        "price[2].kinds: (c) `awz` is none of aws, azure, google, openai",
        "price[2].source: (c) missing",
        "price[2].as_of: (c) must be a date",
        "price[2].confidence: (c) unknown variant `sure`",
        "prise: unknown key",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}\n{faults:#?}");
    }
}

#[test]
fn a_price_in_the_wrong_unit_or_without_effect_is_refused() {
    for (prices, expected) in [
        ("input_usd_per_mtok = 0.0000004\noutput_usd_per_mtok = 1", "if it is a price per token, write 0.4"),
        ("output_usd_per_mtok = 1", "missing beside other prices per token"),
        (
            "input_usd_per_mtok = 1\ncached_read_usd_per_mtok = 2\noutput_usd_per_mtok = 1",
            "are the two swapped?",
        ),
        ("usd_per_page = 0.01\nunit_characters = 100", "has no effect without `usd_per_1k_characters`"),
        ("usd_per_page = 0.01\ncalls_per_hour = 5", "has no effect without `usd_per_hour`"),
        ("usd_per_page = 0.01\nmodel = \"x\"", "unknown key"),
        ("usd_per_1k_characters = 0.01\nunit_characters = 0", "must be at least 1"),
        ("", "has no price"),
        (
            "input_usd_per_mtok = 1\noutput_usd_per_mtok = 2\ntiers = [{ above_input_tokens = 9, input_usd_per_mtok = 2 }]",
            "missing: the row has this price",
        ),
        (
            "input_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n\
             tiers = [{ above_input_tokens = 9, input_usd_per_mtok = 2, output_usd_per_mtok = 2, cached = 1 }]",
            "unknown",
        ),
    ] {
        let faults = faults(&row("[\"a\"]", prices));
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}\n{faults:#?}");
    }
}

#[test]
fn the_same_thing_twice_is_refused_and_different_regions_are_not_the_same() {
    let prices = "input_usd_per_mtok = 1\noutput_usd_per_mtok = 1";
    let twice = format!("{}{}", row("[\"a\"]", prices), row("[\"b\", \"A\"]", prices));
    assert_eq!(faults(&twice), ["price[1].models: `a` (openai, chat) has a price already, in price[0]"]);

    let dear = "input_usd_per_mtok = 3\noutput_usd_per_mtok = 3\nregion = \"EU\"";
    let catalogue = Catalogue::parse(&format!("{}{}", row("[\"a\"]", prices), row("[\"a\"]", dear))).unwrap();
    let here = |region| catalogue.find(&Place { region, ..place("openai", "chat", "a") }).unwrap().describe();
    assert!(here(Some("eu")).contains("$3 input"));
    assert!(here(Some("us")).contains("$1 input"));
    assert!(here(None).contains("$1 input"));
}

#[test]
fn a_factor_that_is_unclear_is_refused() {
    let factor = |rest: &str| {
        format!("[[factor]]\nas_of = \"2026-11-01\"\nsource = \"us\"\nconfidence = \"low\"\n{rest}\n")
    };
    for (rest, expected) in [
        ("times = 1.1", "needs either `regional = true` or a `class`"),
        ("regional = true\nclass = \"flex\"\ntimes = 1.1", "needs either"),
        ("regional = true", "factor[0].times"),
        ("regional = true\ntimes = 110", "at most 10"),
        ("regional = true\ntimes = 0", "above 0"),
        ("regional = true\ntimes = 1.1\nclas = \"flex\"", "did you mean `class`?"),
    ] {
        let faults = faults(&factor(rest));
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}\n{faults:#?}");
    }
}

#[test]
fn what_is_no_catalogue_is_refused_without_a_panic() {
    for text in ["price = 1", "[[price]", "price = [1]", "x = 1", &" ".repeat(MOST_BYTES + 1)] {
        assert!(Catalogue::parse(text).is_err());
    }
}
