//! The measured figures as text, JSON and plots.

pub(crate) mod markdown;
pub(crate) mod plot;

use serde_json::{Value, json};

/// Named numbers of one row. The names carry the unit.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// The result of one workload.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// The unit of `Row::at`, such as `connections`.
    pub(crate) variable: &'static str,
    pub(crate) rows: Vec<Row>,
    /// A line for each server that could not do it.
    pub(crate) failures: Vec<String>,
}

/// One server at one value of the variable: medians over the repetitions.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: String,
    pub(crate) at: u64,
    pub(crate) figures: Figures,
}

impl Table {
    pub(crate) fn new(name: &'static str, title: impl Into<String>, variable: &'static str) -> Self {
        Self { name, title: title.into(), variable, rows: Vec::new(), failures: Vec::new() }
    }

    pub(crate) fn push(&mut self, peer: &str, at: u64, figures: Figures) {
        self.rows.push(Row { peer: peer.to_owned(), at, figures });
    }

    /// The servers in the order of their first rows.
    pub(crate) fn peers(&self) -> Vec<&str> {
        let mut peers = Vec::new();
        for row in &self.rows {
            if !peers.contains(&row.peer.as_str()) {
                peers.push(&row.peer);
            }
        }
        peers
    }

    /// The names of the figures in the order of their first use.
    pub(crate) fn figures(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|row| &row.figures) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let figures = row.figures.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure)));
            let figures: serde_json::Map<_, _> = figures.collect();
            json!({ "peer": row.peer, self.variable: row.at, "figures": figures })
        });
        let rows: Vec<_> = rows.collect();
        json!({ "name": self.name, "title": self.title, "rows": rows, "failures": self.failures })
    }
}

/// The median of each figure over several repetitions, which all have the same figures.
pub(crate) fn medians(repetitions: &[Figures]) -> Figures {
    let Some(first) = repetitions.first() else { return Vec::new() };
    let names = first.iter().map(|(name, _)| *name).enumerate();
    names
        .map(|(index, name)| {
            let mut values: Vec<f64> = repetitions.iter().map(|figures| figures[index].1).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            let median = if values.len().is_multiple_of(2) {
                f64::midpoint(values[middle - 1], values[middle])
            } else {
                values[middle]
            };
            (name, median)
        })
        .collect()
}

#[cfg(test)]
mod tests;
