//! What scores are made of: features by importance.

use maud::{Markup, html};

use super::{Subject, plot::colour, words};

/// How many features are shown.
const SHOWN: usize = 15;

/// The features of each system that has told them.
pub(super) fn importance(subject: &Subject) -> Markup {
    let systems = subject.systems.iter().enumerate().filter(|(_, system)| !system.importance.is_empty());
    let systems: Vec<_> = systems.collect();
    html! {
        @if !systems.is_empty() {
            section {
                h2 { "Importance of features" }
                p.lead { "How much each input moves scores up or down, on average. It says nothing of causes." }
                div.cards.wide {
                    @for (place, system) in systems {
                        div class={"card " (colour(place))} {
                            @if subject.systems.len() > 1 { h3.system { (system.name) } }
                            (bars(&system.importance))
                        }
                    }
                }
            }
        }
    }
}

fn bars(importance: &[(String, f64)]) -> Markup {
    let most = importance.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
    let width = |value: f64| {
        let width = 100.0 * value.abs() / most;
        format!("{:.1}%", if width.is_finite() { width } else { 0.0 })
    };
    html! {
        div.bars {
            @for (feature, value) in importance.iter().take(SHOWN) {
                span.name { (feature) }
                svg.track height="14" aria-hidden="true" { rect.bar x="0" y="1" height="12" rx="2" width=(width(*value)) {} }
                span.value { (words::number(*value)) }
            }
        }
        @if importance.len() > SHOWN {
            p.remark { (importance.len() - SHOWN) " features of less importance are not shown." }
        }
    }
}
