//! Tables for people.

use std::fmt::Write as _;

use super::Table;

/// A table in Markdown under its title.
pub(crate) fn render(table: &Table) -> String {
    let figures = table.figures();
    let mut text = format!("## {}\n\n| server | {} |", table.title, table.variable);
    for name in &figures {
        push(&mut text, format_args!(" {name} |"));
    }
    push(&mut text, format_args!("\n| --- | ---: |{}\n", " ---: |".repeat(figures.len())));
    for row in &table.rows {
        push(&mut text, format_args!("| {} | {} |", row.peer, row.at));
        for name in &figures {
            match row.figures.iter().find(|(known, _)| known == name) {
                Some((_, figure)) if figure.is_finite() => {
                    push(&mut text, format_args!(" {} |", number(*figure)))
                }
                _ => text.push_str(" - |"),
            }
        }
        text.push('\n');
    }
    for failure in &table.failures {
        push(&mut text, format_args!("\nNo figures: {failure}\n"));
    }
    text
}

/// Three significant digits or the whole number.
pub(crate) fn number(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String cannot fail");
}
