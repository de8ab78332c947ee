//! What the metrics say.

use std::net::SocketAddr;

/// The metrics as an operator gets them.
pub(crate) async fn fetch(client: &reqwest::Client, operations: SocketAddr) -> String {
    let response = client.get(format!("http://{operations}/metrics")).send().await.unwrap();
    response.text().await.unwrap()
}

/// The value of the metric whose name with its labels this is.
pub(crate) fn value(text: &str, metric: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
}

/// The sum of a metric's lines that have all of these labels, in any order; 0 if there are none.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let rows = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let fits = |found: &str| {
        (found.is_empty() || found.starts_with('{')) && labels.iter().all(|label| found.contains(label))
    };
    rows.filter(|(found, _)| fits(found)).map(|(_, value)| value.parse::<f64>().unwrap()).sum::<f64>() + 0.0
}

/// The lines that begin so.
pub(crate) fn lines(text: &str, beginning: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}
