//! Evaluations for people: one self-contained HTML file, or a table for a terminal.
//!
//! The HTML file asks nothing of a network and runs no script; its charts are inline SVG. Every text that comes from
//! outside is escaped: by the template in HTML, and by [`text`] where it would steer a terminal.

mod bars;
mod decisions;
mod figures;
mod groups;
mod page;
mod plot;
mod reliability;
mod text;
mod words;

use crate::evaluate::Evaluation;

/// What a report is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The headline.
    pub title: String,
    /// What is predicted, e.g. `default = 1`.
    pub outcome: String,
    /// What holds for all systems, as names and values: which data, of when, which program measured.
    pub facts: Vec<(String, String)>,
    /// Who was asked, side by side.
    pub systems: Vec<System>,
    /// What a reader must know, a paragraph each.
    pub notes: Vec<String>,
}

/// One of those who were asked.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Its name.
    pub name: String,
    /// What holds for it alone: its version, provider, date.
    pub facts: Vec<(String, String)>,
    /// How well it did.
    pub evaluation: Evaluation,
    /// Its features by importance, the greatest first; empty where they are not known.
    pub importance: Vec<(String, f64)>,
}

/// The report as an HTML file.
pub fn html(subject: &Subject) -> String {
    page::page(subject).into_string()
}

/// The report as plain text for a terminal, without colours. Control characters in names are shown as escapes.
pub fn text(subject: &Subject) -> String {
    text::text(subject)
}

#[cfg(test)]
mod tests;
