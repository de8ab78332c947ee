//! What holds whatever is learned.

use super::*;

/// Neither draws nor shares of rows: what is left is what weights mean.
fn plain() -> Settings {
    let mut settings = settings();
    settings.boosting.subsample = 1.0;
    settings.svm.tolerance = 1e-6;
    settings
}

fn tables() -> [Made; 2] {
    [Made::circle(280, 3), Made::surface(280, 3)]
}

#[test]
fn any_number_of_threads_gives_the_same_model() {
    for made in tables() {
        for algorithm in Algorithm::ALL {
            let with = |threads| made.fit(algorithm, &Settings { threads, ..settings() });
            assert!(with(1) == with(2) && with(2) == with(5), "{algorithm:?}, {:?}", made.work);
        }
    }
}

#[test]
fn threads_that_share_a_histogram_or_a_product_give_the_same_model() {
    // Enough rows that sums are computed, and blocks of rows multiplied, on several threads.
    let made = Made::new(9000, 5, 4, Work::Numbers, |row, chance| row[0] * row[1] + chance);
    let mut settings = settings();
    settings.boosting.rounds = 5;
    for algorithm in [Algorithm::Linear, Algorithm::Tree, Algorithm::Boosting] {
        let with = |threads| made.fit(algorithm, &Settings { threads, ..settings.clone() });
        assert!(with(1) == with(3), "{algorithm:?}");
    }
}

#[test]
fn another_seed_draws_another_forest() {
    let made = Made::circle(200, 5);
    let with = |seed| made.fit(Algorithm::Forest, &Settings { seed, ..settings() });
    assert!(with(1) != with(2));
}

#[test]
fn a_weight_counts_like_so_many_equal_rows() {
    for made in tables() {
        equal_by_weight(&made, &[Algorithm::Linear, Algorithm::Tree, Algorithm::Boosting]);
    }
    for made in [Made::circle(70, 3), Made::surface(70, 3)] {
        equal_by_weight(&made, &[Algorithm::Svm]);
    }
}

fn equal_by_weight(made: &Made, algorithms: &[Algorithm]) {
    let times: Vec<usize> = (0..made.y.len()).map(|row| 1 + row % 3).collect();
    let weights: Vec<f64> = times.iter().map(|times| *times as f64).collect();
    let rows: Vec<usize> = (0..times.len()).flat_map(|row| std::iter::repeat_n(row, times[row])).collect();
    let repeated =
        Made { x: made.x.select(&rows), y: rows.iter().map(|row| made.y[*row]).collect(), work: made.work };
    for algorithm in algorithms {
        let one = fitted(*algorithm, &made.weighted(&weights), &plain());
        let other = repeated.fit(*algorithm, &plain());
        for row in made.x.iter() {
            match algorithm {
                // Which rows are held out for Platt's scaling is drawn.
                Algorithm::Svm if made.work == Work::Classes => {
                    close(decision(&one, row), decision(&other, row), 1e-4);
                }
                Algorithm::Svm => close(one.raw(row), other.raw(row), 1e-4),
                _ => close(one.raw(row), other.raw(row), 1e-6),
            }
        }
    }
}

#[test]
fn rows_that_weigh_nothing_are_as_if_they_were_not_there() {
    for made in tables() {
        let weights: Vec<f64> = (0..made.y.len()).map(|row| f64::from(u8::from(row % 4 != 0))).collect();
        let rows: Vec<usize> = (0..made.y.len()).filter(|row| row % 4 != 0).collect();
        let y = rows.iter().map(|row| made.y[*row]).collect();
        let rest = Made { x: made.x.select(&rows), y, work: made.work };
        for algorithm in Algorithm::ALL {
            let one = fitted(algorithm, &made.weighted(&weights), &settings());
            assert!(one == rest.fit(algorithm, &settings()), "{algorithm:?}");
        }
    }
}

#[test]
fn a_heavier_class_raises_every_algorithms_scores() {
    let made = Made::circle(400, 6);
    let weights: Vec<f64> = made.y.iter().map(|y| 1.0 + 9.0 * y).collect();
    for algorithm in Algorithm::ALL {
        let mean = |model: &Model| model.scores(&made.x).iter().sum::<f64>() / 400.0;
        let plain = mean(&made.fit(algorithm, &settings()));
        let heavy = mean(&fitted(algorithm, &made.weighted(&weights), &settings()));
        assert!(heavy > plain + 0.02, "{algorithm:?}: {plain} to {heavy}");
    }
}

#[test]
fn trees_see_the_order_of_values_alone() {
    for made in tables() {
        let data = made.x.iter().flatten().map(|value| (2.0 * value).exp() - 7.0).collect();
        let bent = Made { x: Matrix::new(data, made.x.width()), ..made.clone() };
        // On the rows that trees were grown on: elsewhere the middle between two values matters, and it is bent.
        for algorithm in [Algorithm::Tree, Algorithm::Boosting] {
            let (one, other) = (made.fit(algorithm, &plain()), bent.fit(algorithm, &plain()));
            for (row, bent) in made.x.iter().zip(bent.x.iter()) {
                close(one.raw(row), other.raw(bent), 1e-9);
            }
        }
    }
}

#[test]
fn a_nodes_cover_and_value_follow_from_those_below() {
    for made in tables() {
        for algorithm in [Algorithm::Tree, Algorithm::Forest, Algorithm::Boosting] {
            let model = made.fit(algorithm, &settings());
            for tree in &trees(&model).trees {
                for at in (0..tree.feature.len()).filter(|at| tree.feature[*at] >= 0) {
                    let left = tree.left[at] as usize;
                    assert!(left > at && left + 1 < tree.feature.len());
                    let cover = tree.cover[left] + tree.cover[left + 1];
                    let sum =
                        tree.value[left] * tree.cover[left] + tree.value[left + 1] * tree.cover[left + 1];
                    close(tree.cover[at], cover, 1e-9 * cover);
                    close(tree.value[at], sum / cover, 1e-9);
                }
            }
        }
    }
}

#[test]
fn trees_keep_to_their_limits() {
    fn depth(tree: &crate::model::Tree, at: usize) -> usize {
        let left = tree.left[at] as usize;
        if tree.feature[at] < 0 { 0 } else { 1 + depth(tree, left).max(depth(tree, left + 1)) }
    }
    let made = Made::circle(600, 8);
    let mut settings = settings();
    (settings.tree.depth, settings.tree.leaf) = (3, 40.0);
    (settings.forest.depth, settings.forest.leaf) = (Some(3), Some(40.0));
    (settings.boosting.depth, settings.boosting.leaves) = (3, Some(5));
    for algorithm in [Algorithm::Tree, Algorithm::Forest, Algorithm::Boosting] {
        for tree in &trees(&made.fit(algorithm, &settings)).trees {
            let leaves: Vec<usize> = (0..tree.feature.len()).filter(|at| tree.feature[*at] < 0).collect();
            assert!(depth(tree, 0) <= 3);
            match algorithm {
                Algorithm::Boosting => assert!(leaves.len() <= 5),
                _ => assert!(leaves.iter().all(|leaf| tree.cover[*leaf] >= 40.0)),
            }
        }
    }
}

#[test]
fn scores_of_many_rows_are_those_of_each_row() {
    for made in tables() {
        for algorithm in Algorithm::ALL {
            let model = made.fit(algorithm, &settings());
            let each: Vec<f64> = made.x.iter().map(|row| model.score(row)).collect();
            assert_eq!(model.scores(&made.x), each, "{algorithm:?}");
        }
    }
}

#[test]
fn a_model_is_the_same_after_a_file_to_the_last_digit() {
    for made in tables() {
        for algorithm in Algorithm::ALL {
            let model = made.fit(algorithm, &settings());
            let text = serde_json::to_string(&model).expect("a model that can be written");
            let read: Model = serde_json::from_str(&text).expect("a model that can be read");
            assert!(read == model, "{algorithm:?}");
        }
    }
}

#[test]
fn damaged_trees_and_short_rows_end_in_an_answer() {
    let made = Made::circle(200, 9);
    for algorithm in Algorithm::ALL {
        let model = made.fit(algorithm, &settings());
        model.score(&[]);
        model.score(&[f64::NAN, f64::INFINITY]);
    }
    let mut model = made.fit(Algorithm::Tree, &settings());
    let Form::Trees(trees) = &mut model.form else { panic!("no trees") };
    trees.trees[0].left.fill(0);
    model.score(&[0.0; 4]);
    let Form::Trees(trees) = &mut model.form else { panic!("no trees") };
    trees.trees[0] = crate::model::Tree::default();
    assert!(model.score(&[0.0; 4]).is_nan());
}
