//! Models over tables: read a CSV file, clean it, train, evaluate, explain, and keep the result in one readable file.
//!
//! The way of the data: [`table`] (a CSV file becomes columns) > [`prepare`] (columns are cleaned, then encoded into a
//! [`Matrix`]) > [`algorithm`] (a matrix becomes a [`model::Model`]) > [`artefact`] (schema, encoder and model in one
//! file). [`evaluate`] measures scores, whoever gave them; [`explain`] says what a score is made of.
//!
//! Two kinds of outcome: one of two classes, and a number. Nothing here knows the gateway or a network.

pub mod algorithm;
pub mod artefact;
pub mod evaluate;
pub mod explain;
pub mod matrix;
pub mod metrics;
pub mod model;
pub mod prepare;
pub mod progress;
pub mod report;
pub mod schema;
pub mod table;
pub mod train;

pub use matrix::Matrix;
