//! What is refused, and what is not.

use super::*;

fn refused(algorithm: Algorithm, data: &Data<'_>) -> FitError {
    fit(algorithm, data, &settings(), &Unwatched).expect_err("data that cannot be learned from")
}

#[test]
fn every_algorithm_refuses_what_it_cannot_learn_from() {
    let made = Made::circle(20, 1);
    let good = made.data();
    let (empty, narrow) = (Matrix::new(vec![], 4), Matrix::new(vec![], 0));
    let mut holed = made.x.iter().flatten().copied().collect::<Vec<_>>();
    holed[6] = f64::NAN;
    let holed = Matrix::new(holed, 4);
    let three = [vec![2.0], made.y[1..].to_vec()].concat();
    let infinite = [vec![f64::INFINITY], made.y[1..].to_vec()].concat();
    let negative = [vec![-1.0], vec![1.0; 19]].concat();
    let ones: Vec<f64> = made.y.clone();
    let nothing = vec![0.0; 20];
    let cases = [
        (Data { x: &empty, y: &[], ..good }, FitError::NoRows),
        (Data { weights: Some(&nothing), ..good }, FitError::NoRows),
        (Data { x: &narrow, y: &[], ..good }, FitError::NoColumns),
        (Data { y: &made.y[1..], ..good }, FitError::Lengths { what: "outcomes", found: 19, rows: 20 }),
        (
            Data { weights: Some(&nothing[1..]), ..good },
            FitError::Lengths { what: "weights", found: 19, rows: 20 },
        ),
        (Data { x: &holed, ..good }, FitError::NotFinite { row: 1, column: 2 }),
        (Data { y: &three, ..good }, FitError::Outcome { row: 0, value: 2.0, wanted: "0 or 1" }),
        (
            Data { y: &infinite, work: Work::Numbers, ..good },
            FitError::Outcome { row: 0, value: f64::INFINITY, wanted: "a finite number" },
        ),
        (Data { weights: Some(&negative), ..good }, FitError::Weight { row: 0, value: -1.0 }),
        (Data { y: &nothing, ..good }, FitError::OneClass),
        // Rows of the other class that weigh nothing are none.
        (Data { weights: Some(&ones), ..good }, FitError::OneClass),
    ];
    for (data, wanted) in &cases {
        for algorithm in Algorithm::ALL {
            assert_eq!(refused(algorithm, data), *wanted, "{algorithm:?}");
        }
    }
}

#[test]
fn each_algorithm_says_where_its_own_bounds_are() {
    let wide = Made { x: Matrix::new(vec![0.0; 4002], 2001), y: vec![0.0, 1.0], work: Work::Classes };
    let error = refused(Algorithm::Linear, &wide.data());
    assert_eq!(error, FitError::TooManyColumns { columns: 2001, most: 2000 });
    assert!(error.to_string().contains("at most 2000"));
    let long = Made { x: Matrix::new(vec![0.0; 50_001], 1), y: vec![0.0; 50_001], work: Work::Numbers };
    let error = refused(Algorithm::Svm, &long.data());
    assert_eq!(error, FitError::TooManyRows { rows: 50_001, most: 50_000 });
    let lone = Made { x: Matrix::new(vec![1.0, 2.0, 3.0], 1), y: vec![1.0, 0.0, 0.0], work: Work::Classes };
    assert_eq!(refused(Algorithm::Svm, &lone.data()), FitError::TooFewOfAClass { found: 1, least: 2 });
}

#[test]
fn settings_out_of_range_are_named() {
    let made = Made::circle(20, 1);
    let named = |algorithm, change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        fit(algorithm, &made.data(), &settings, &Unwatched).expect_err("a wrong setting").to_string()
    };
    let cases: [(_, fn(&mut Settings), _); 6] = [
        (Algorithm::Tree, |settings| settings.threads = 0, "threads is 0: it must be at least 1"),
        (Algorithm::Forest, |settings| settings.trees = 0, "trees is 0: it must be at least 1"),
        (
            Algorithm::Linear,
            |settings| settings.linear.cost = f64::NAN,
            "linear.cost is NaN: it must be a finite number above 0",
        ),
        (
            Algorithm::Svm,
            |settings| settings.svm.gamma = Some(-1.0),
            "svm.gamma is -1: it must be a finite number above 0",
        ),
        (
            Algorithm::Boosting,
            |settings| settings.boosting.subsample = 1.5,
            "boosting.subsample is 1.5: it must be more than 0 and at most 1",
        ),
        (
            Algorithm::Tree,
            |settings| settings.tree.leaf = -0.5,
            "tree.leaf is -0.5: it must be a finite number, 0 or more",
        ),
    ];
    for (algorithm, change, wanted) in cases {
        assert_eq!(named(algorithm, change), wanted);
    }
}

#[test]
fn settings_read_from_a_file_refuse_unknown_names_and_keep_the_rest() {
    let read: Settings = serde_json::from_str(r#"{"trees": 10, "svm": {"cost": 2.5}}"#).expect("settings");
    assert_eq!((read.trees, read.svm.cost, read.svm.epsilon), (10, 2.5, 0.1));
    assert!(serde_json::from_str::<Settings>(r#"{"tress": 10}"#).is_err());
    assert!(serde_json::from_str::<Settings>(r#"{"tree": {"deepth": 10}}"#).is_err());
}

#[test]
fn numbers_too_large_to_compute_with_are_refused_or_learned_but_never_wrong() {
    for size in [1e100, 1e160, 1e300, f64::MAX / 2.0] {
        let x = Matrix::new((0..40).map(|at| size * (f64::from(at) / 20.0 - 1.0)).collect(), 1);
        let classes: Vec<f64> = (0..40).map(|at| f64::from(u8::from(at >= 20))).collect();
        let numbers: Vec<f64> = classes.iter().map(|y| y * size).collect();
        for (y, work) in [(&classes, Work::Classes), (&numbers, Work::Numbers)] {
            for algorithm in Algorithm::ALL {
                let data = Data { x: &x, y, weights: None, work };
                match fit(algorithm, &data, &settings(), &Unwatched) {
                    Ok(model) => assert!(model.is_finite(), "{algorithm:?}, {size}"),
                    Err(error) => assert!(
                        matches!(error, FitError::Numerical(_)),
                        "{algorithm:?}, {work:?}, {size}: {error}"
                    ),
                }
            }
        }
    }
}

#[test]
fn tables_with_nothing_to_learn_give_the_mean() {
    let equal = Matrix::new(vec![3.0; 60], 2);
    let classes: Vec<f64> = (0..30).map(|at| f64::from(u8::from(at % 3 == 0))).collect();
    for algorithm in Algorithm::ALL {
        let made = Made { x: equal.clone(), y: classes.clone(), work: Work::Classes };
        let score = made.fit(algorithm, &settings()).score(&[3.0, 3.0]);
        close(score, 1.0 / 3.0, if algorithm == Algorithm::Linear { 1e-9 } else { 0.05 });
        for y in [vec![4.5; 30], vec![-2.0; 30]] {
            let made = Made { x: equal.clone(), y, work: Work::Numbers };
            close(made.fit(algorithm, &settings()).score(&[3.0, 3.0]), made.y[0], 1e-9);
        }
    }
    let one_row = Made { x: Matrix::new(vec![1.0, 2.0], 2), y: vec![7.0], work: Work::Numbers };
    for algorithm in Algorithm::ALL {
        close(one_row.fit(algorithm, &settings()).score(&[1.0, 2.0]), 7.0, 1e-9);
    }
}
