use super::*;
use crate::{
    schema::{Kind, OutcomeKind},
    table::Column,
};

/// A table of 40 rows: an amount, a colour and a target, which the amount hints at.
fn table() -> Table {
    let numbers = |f: fn(usize) -> f64| Column::Numbers((0..40).map(f).collect());
    let words =
        |f: fn(usize) -> &'static str| Column::Words((0..40).map(|row| Some(f(row).to_owned())).collect());
    Table {
        names: ["amount", "colour", "y"].map(str::to_owned).to_vec(),
        columns: vec![
            numbers(|row| ((row * 7) % 40) as f64 + 0.5),
            words(|row| ["red", "green", "blue"][row % 3]),
            numbers(|row| f64::from(u8::from((row * 7) % 40 > 25 || row.is_multiple_of(5)))),
        ],
        rows: 40,
    }
}

fn with(name: &str, column: Column) -> Table {
    let mut table = table();
    table.names.insert(0, name.to_owned());
    table.columns.insert(0, column);
    table
}

fn with_words(name: &str, word: impl Fn(usize) -> Option<String>) -> Table {
    with(name, Column::Words((0..40).map(word).collect()))
}

fn with_numbers(name: &str, number: impl Fn(usize) -> f64) -> Table {
    with(name, Column::Numbers((0..40).map(number).collect()))
}

fn cleaned(table: &Table) -> Cleaned {
    clean(table, "y", &CleanOptions::default()).unwrap()
}

/// What was said of a column.
fn said(cleaned: &Cleaned, column: &str) -> Vec<(Action, String)> {
    let of = cleaned.findings.iter().filter(|finding| finding.column.as_deref() == Some(column));
    of.map(|finding| (finding.action, finding.what.clone())).collect()
}

fn dropped(table: &Table, column: &str) -> String {
    let cleaned = cleaned(table);
    assert!(cleaned.schema.feature(column).is_none() && cleaned.table.column(column).is_none());
    match &said(&cleaned, column)[..] {
        [(Action::Dropped, what)] => what.clone(),
        other => panic!("{other:?}"),
    }
}

fn refused(target: Column, options: &CleanOptions) -> String {
    let mut table = table();
    table.columns[2] = target;
    clean(&table, "y", options).unwrap_err().to_string()
}

#[test]
fn a_clean_table_stays_as_it_is() {
    let cleaned = cleaned(&table());
    assert_eq!(cleaned.findings, []);
    assert_eq!(cleaned.table.names, ["amount", "colour"]);
    assert_eq!(cleaned.schema.features[0].kind, Kind::Real);
    let levels = ["blue", "green", "red"].map(str::to_owned).to_vec();
    assert_eq!(cleaned.schema.features[1].kind, Kind::Category { levels });
    let classes = OutcomeKind::Classes { negative: "0".into(), positive: "1".into() };
    assert_eq!(cleaned.schema.outcome.kind, classes);
    assert_eq!(cleaned.rows, (0..40).collect::<Vec<_>>());
    assert_eq!(cleaned.outcome[..5], [1.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn an_unknown_target_comes_with_the_nearest_name() {
    let message = clean(&table(), "amuont", &CleanOptions::default()).unwrap_err().to_string();
    assert_eq!(message, "there is no column `amuont`; did you mean `amount`?");
    let options = CleanOptions { drop: vec!["color".into()], ..CleanOptions::default() };
    assert!(clean(&table(), "y", &options).unwrap_err().to_string().contains("did you mean `colour`?"));
}

#[test]
fn a_target_of_one_value_is_refused() {
    let message = refused(Column::Numbers(vec![1.0; 40]), &CleanOptions::default());
    assert_eq!(message, "column `y`: is always `1`; there is nothing to predict");
    let message = refused(Column::Numbers(vec![f64::NAN; 40]), &CleanOptions::default());
    assert_eq!(message, "column `y`: the target has no value in any row");
}

#[test]
fn a_target_of_more_than_two_classes_is_refused() {
    let three = Column::Words((0..40).map(|row| Some(["a", "b", "c"][row % 3].into())).collect());
    let message = refused(three, &CleanOptions::default());
    assert!(
        message.contains("3 different values (`a`, `b`, `c`); two classes can be predicted"),
        "{message}"
    );
    let four = || Column::Numbers((0..40).map(|row| (row % 4) as f64).collect());
    let message = refused(four(), &CleanOptions::default());
    assert!(message.contains("if these are amounts and not classes"), "{message}");
    let mut table = table();
    table.columns[2] = four();
    let options = CleanOptions { work: Some(Work::Numbers), ..CleanOptions::default() };
    assert_eq!(clean(&table, "y", &options).unwrap().schema.outcome.kind, OutcomeKind::Number);
}

#[test]
fn a_target_of_many_numbers_is_a_number() {
    let mut table = table();
    table.columns[2] = Column::Numbers((0..40).map(|row| (row * row) as f64).collect());
    let cleaned = cleaned(&table);
    assert_eq!(cleaned.schema.outcome.kind, OutcomeKind::Number);
    assert_eq!(cleaned.outcome[3], 9.0);
    let words = Column::Words(vec![Some("x".into()); 40]);
    let options = CleanOptions { work: Some(Work::Numbers), ..CleanOptions::default() };
    assert_eq!(refused(words, &options), "column `y`: is to be a number, but has the value `x`");
}

#[test]
fn the_positive_class_is_as_asked_or_usual_or_rarer() {
    let positive = |a: &str, b: &str, wanted: Option<&str>| {
        let mut table = table();
        // `b` in 15 of 40 rows.
        let word = |row: usize| Some(if row % 8 < 3 { b } else { a }.to_owned());
        table.columns[2] = Column::Words((0..40).map(word).collect());
        let options = CleanOptions { positive: wanted.map(str::to_owned), ..CleanOptions::default() };
        let cleaned = clean(&table, "y", &options).map_err(|error| error.to_string())?;
        let ones = cleaned.outcome.iter().sum::<f64>();
        let warned = !said(&cleaned, "y").is_empty();
        match cleaned.schema.outcome.kind {
            OutcomeKind::Classes { positive, .. } => Ok((positive, ones, warned)),
            OutcomeKind::Number => Err("a number".to_owned()),
        }
    };
    assert_eq!(positive("no", "yes", None), Ok(("yes".into(), 15.0, false)));
    assert_eq!(positive("Yes", "No", None), Ok(("Yes".into(), 25.0, false)));
    assert_eq!(positive("paid", "late", None), Ok(("late".into(), 15.0, true)));
    assert_eq!(positive("paid", "late", Some("paid")), Ok(("paid".into(), 25.0, false)));
    let message = positive("paid", "late", Some("x")).unwrap_err();
    assert_eq!(message, "column `y`: never is `x`; its values are `late` and `paid`");
}

#[test]
fn rows_without_an_outcome_go() {
    let mut table = table();
    let Column::Numbers(values) = &mut table.columns[2] else { panic!() };
    values[1] = f64::NAN;
    let cleaned = cleaned(&table);
    assert_eq!(cleaned.rows[..2], [0, 2]);
    assert_eq!((cleaned.table.rows, cleaned.outcome.len()), (39, 39));
    assert_eq!(said(&cleaned, "y"), [(Action::Dropped, "1 rows without an outcome".to_owned())]);
}

#[test]
fn columns_that_say_nothing_go() {
    assert_eq!(dropped(&with_numbers("x", |_| f64::NAN), "x"), "has no value in any row");
    assert_eq!(dropped(&with_words("x", |_| None), "x"), "has no value in any row");
    assert_eq!(dropped(&with_words("x", |_| Some("same".into())), "x"), "is constant: always `same`");
    assert!(dropped(&with_numbers("x", |row| row as f64), "x").starts_with("looks like an identifier"));
    assert!(
        dropped(&with_numbers("customerNo", |row| (row * row) as f64), "customerNo").contains("identifier")
    );
    assert!(dropped(&with_words("x", |row| Some(format!("k{row}"))), "x").contains("40 different values"));
}

#[test]
fn dates_and_free_text_go() {
    assert!(
        dropped(&with_words("x", |row| Some(format!("2024-01-{:02}", row % 28 + 1))), "x").contains("dates")
    );
    assert!(dropped(&with_words("x", |row| Some(format!("{}.3.1999", row % 28 + 1))), "x").contains("dates"));
    assert!(
        dropped(&with_words("x", |row| Some(format!("2024-01-{:02}T10:00", row % 28 + 1))), "x")
            .contains("dates")
    );
    assert!(dropped(&with_numbers("x", |row| 20_240_101.0 + (row % 28) as f64), "x").contains("dates"));
    let text = |row| Some(format!("the customer called {row} times about it"));
    assert!(dropped(&with_words("x", text), "x").contains("free text"));
}

#[test]
fn amounts_and_repeated_words_stay() {
    let amounts = with_numbers("amount_due", |row| (row * row * 31) as f64);
    assert!(cleaned(&amounts).schema.feature("amount_due").is_some());
    let words = with_words("x", |row| Some(format!("k{}", row % 15)));
    assert!(cleaned(&words).schema.feature("x").is_some());
}

#[test]
fn a_column_that_is_to_stay_stays_and_one_that_is_to_go_goes() {
    let table = with_numbers("x", |row| row as f64);
    let options =
        CleanOptions { keep: vec!["x".into()], drop: vec!["colour".into()], ..CleanOptions::default() };
    let cleaned = clean(&table, "y", &options).unwrap();
    assert_eq!(cleaned.table.names, ["x", "amount"]);
    assert_eq!(said(&cleaned, "colour"), [(Action::Dropped, "left out as asked".to_owned())]);
}

#[test]
fn a_table_without_inputs_is_refused_and_says_why() {
    let mut table = table();
    table.columns[0] = Column::Numbers(vec![f64::NAN; 40]);
    table.columns[1] = Column::Words(vec![Some("a".into()); 40]);
    let message = clean(&table, "y", &CleanOptions::default()).unwrap_err().to_string();
    assert_eq!(
        message,
        "no column is left to predict `y` from: `amount` has no value in any row; `colour` is constant: always `a`"
    );
}

#[test]
fn a_column_that_repeats_another_goes() {
    let table = table();
    let mut twice = table.clone();
    twice.names.push("again".into());
    twice.columns.push(table.columns[0].clone());
    assert_eq!(dropped(&twice, "again"), "has the same values as `amount`");
}

#[test]
fn a_few_repeated_rows_go_and_many_stay() {
    let table = table();
    let rows: Vec<usize> = (0..40).chain([3, 5]).collect();
    let cleaned_few = cleaned(&table.select(&rows));
    assert_eq!(cleaned_few.rows, (0..40).collect::<Vec<_>>());
    assert_eq!(cleaned_few.findings[0].action, Action::Dropped);
    let keep = CleanOptions { keep_duplicates: true, ..CleanOptions::default() };
    assert_eq!(clean(&table.select(&rows), "y", &keep).unwrap().rows.len(), 42);
    let twice: Vec<usize> = (0..40).chain(0..40).collect();
    let cleaned_many = cleaned(&table.select(&twice));
    assert_eq!(cleaned_many.rows.len(), 80);
    assert_eq!(cleaned_many.findings[0].action, Action::Warned);
}

#[test]
fn missing_values_and_rare_levels_are_reported() {
    let cleaned =
        cleaned(&with_numbers("x", |row| if row.is_multiple_of(4) { f64::NAN } else { (row % 3) as f64 }));
    assert!(cleaned.schema.feature("x").unwrap().nullable);
    assert!(!cleaned.schema.feature("amount").unwrap().nullable);
    let [(Action::Filled, what)] = &said(&cleaned, "x")[..] else { panic!("{:?}", cleaned.findings) };
    assert!(what.starts_with("10 values are missing (25.0 %); the median"), "{what}");
    let rare = with_words("x", |row| Some(if row < 3 { format!("r{row}") } else { "usual".into() }));
    let cleaned = clean(&rare, "y", &CleanOptions::default()).unwrap();
    assert!(
        matches!(&said(&cleaned, "x")[..], [(Action::Merged, what)] if what.starts_with("3 of 4 levels are rare"))
    );
}

#[test]
fn an_input_that_alone_tells_the_outcome_is_suspected() {
    let told = |row: usize| (row * 7) % 40 > 25 || row.is_multiple_of(5);
    let number =
        with_numbers("x", |row| if told(row) { 9.0 + row as f64 / 100.0 } else { row as f64 / 100.0 });
    let word = with_words("x", |row| Some(if told(row) { "closed" } else { "open" }.into()));
    let absence = with_numbers("x", |row| if told(row) { f64::NAN } else { (row % 3) as f64 });
    for table in [number, word, absence] {
        let cleaned = cleaned(&table);
        assert!(said(&cleaned, "x").iter().any(|(_, what)| what.contains("alone tells the outcome")));
    }
}

#[test]
fn imbalance_and_sensitive_names_are_warned_of() {
    let mut table = with_words("customerGender", |row| Some(["f", "m"][row % 2].into()));
    table.columns[3] = Column::Numbers((0..40).map(|row| f64::from(u8::from(row == 7))).collect());
    let cleaned = cleaned(&table);
    assert!(said(&cleaned, "y")[0].1.contains("2.5 % of the rows"));
    assert!(said(&cleaned, "customerGender")[0].1.contains("sex or gender"));
    let names =
        ["age", "foreign_worker", "personal_status", "package", "message", "usage"].map(str::to_owned);
    assert_eq!(sensitive(&names).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), &names[..3]);
}

#[test]
fn groups_are_levels_or_ranges() {
    let table = with_numbers("age", |row| (row + 20) as f64);
    let groups = groups(&table, &["age".into(), "colour".into(), "none".into()]);
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].1[0], "20 to 29");
    assert_eq!(groups[0].1[39], "50 to 59");
    assert_eq!(groups[1].1[..2], ["red", "green"]);
}

#[test]
fn a_hold_out_file_is_read_by_the_schema() {
    let schema = cleaned(&table()).schema;
    assert_eq!(
        outcome(&schema, &Column::Words(vec![Some("1".into()), Some("0".into())])).unwrap(),
        [1.0, 0.0]
    );
    let message = outcome(&schema, &Column::Numbers(vec![0.0, 2.0])).unwrap_err().to_string();
    assert_eq!(message, "row 2, column `y`: `2` is neither `1` nor `0`");
    let message = outcome(&schema, &Column::Numbers(vec![f64::NAN])).unwrap_err().to_string();
    assert_eq!(message, "row 1, column `y`: the outcome is missing");
}

/// Rows with a missing number, a missing word and a rare word.
fn gaps() -> Cleaned {
    let mut table = with_numbers("x", |row| if row == 0 { f64::NAN } else { (row % 3) as f64 });
    let Column::Words(words) = &mut table.columns[2] else { panic!() };
    words[1] = None;
    words[2] = Some("violet".into());
    cleaned(&table)
}

#[test]
fn the_encoder_fills_scales_and_spreads() {
    let cleaned = gaps();
    let encoder = Encoder::fit(&cleaned.schema, &cleaned.table, false);
    assert_eq!(encoder.features(), [0, 0, 1, 2, 2, 2, 2, 2]);
    let matrix = encoder.encode(&cleaned.schema, &cleaned.table).unwrap();
    // x and whether it is missing, amount, blue, green, red, other, missing
    assert_eq!(matrix.row(0), [1.0, 1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(matrix.row(1), [1.0, 0.0, 7.5, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(matrix.row(2), [2.0, 0.0, 14.5, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let scaled = Encoder::fit(&cleaned.schema, &cleaned.table, true);
    let matrix = scaled.encode(&cleaned.schema, &cleaned.table).unwrap();
    for column in [0, 2] {
        let values: Vec<f64> = matrix.iter().map(|row| row[column]).collect();
        let mean = values.iter().sum::<f64>() / 40.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 40.0;
        assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-12, "{mean} {variance}");
    }
}

#[test]
fn the_encoder_finds_columns_by_name_and_takes_words_for_numbers_and_back() {
    let cleaned = gaps();
    let encoder = Encoder::fit(&cleaned.schema, &cleaned.table, false);
    let row = Table {
        names: ["unasked", "colour", "amount", "x"].map(str::to_owned).to_vec(),
        columns: vec![
            Column::Numbers(vec![9.0]),
            Column::Numbers(vec![7.0]),
            Column::Words(vec![Some("2.5".into())]),
            Column::Words(vec![None]),
        ],
        rows: 1,
    };
    let matrix = encoder.encode(&cleaned.schema, &row).unwrap();
    // `7` is a level that was never seen: it goes to the rare ones.
    assert_eq!(matrix.row(0), [1.0, 1.0, 2.5, 0.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn the_encoder_refuses_what_it_cannot_know() {
    let cleaned = gaps();
    let encoder = Encoder::fit(&cleaned.schema, &cleaned.table, false);
    let refused = |amount: Column| {
        let mut table = cleaned.table.select(&[3]);
        table.columns[1] = amount;
        encoder.encode(&cleaned.schema, &table).unwrap_err().to_string()
    };
    assert_eq!(
        refused(Column::Numbers(vec![f64::NAN])),
        "row 1, column `amount`: the value is missing, which it never was in the training data"
    );
    assert_eq!(
        refused(Column::Words(vec![Some("lots".into())])),
        "row 1, column `amount`: `lots` is not a number"
    );
    assert!(refused(Column::Numbers(vec![f64::INFINITY])).contains("is beyond 1e100"));
    let without = cleaned.table.without("amount");
    assert!(
        encoder.encode(&cleaned.schema, &without).unwrap_err().to_string().contains("no column `amount`")
    );
}

#[test]
fn medians_are_those_of_present_values() {
    let cleaned =
        cleaned(&with_numbers("x", |row| if row < 36 { f64::NAN } else { [1.0, 2.0, 4.0, 9.0][row - 36] }));
    let encoder = Encoder::fit(&cleaned.schema, &cleaned.table, false);
    assert!(matches!(encoder.blocks[0], Block::Number { fill: 3.0, indicator: true, .. }));
}
