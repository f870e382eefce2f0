//! Tables for people.

use serde_json::Value;

/// The rows below their heads, in columns of equal width.
pub(super) fn columns<const N: usize>(
    heads: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut all = vec![heads.map(str::to_owned)];
    all.extend(rows);
    let widths: Vec<usize> =
        (0..N).map(|column| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    all.iter().map(line).collect()
}

/// The text of a value; `-`: it is none.
pub(super) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// The texts of a list, between commas.
pub(super) fn joined(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// A number of bytes with a unit: `512 B`, `1.5 GiB`. `-`: no number.
pub(super) fn amount(bytes: &Value) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let Some(bytes) = bytes.as_u64() else { return "-".to_owned() };
    let (mut unit, mut size) = (0, bytes as f64);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// A number of things, which have this name: `1 image`, `2 images`.
pub(super) fn counted(count: u64, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// The line for those of `count` parts that the report does not name; none if it names all.
pub(super) fn and_more(label: &str, count: u64, named_count: usize) -> String {
    match count.saturating_sub(named_count as u64) {
        0 => String::new(),
        rest => format!("{label} {rest} more\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let rows = [["a", "bb"], ["cccc", ""]].map(|row| row.map(str::to_owned));
        assert_eq!([0, 1, 2].map(|count| counted(count, "image")), ["0 images", "1 image", "2 images"]);
        assert_eq!(columns(["X", "Y"], rows), "X     Y\na     bb\ncccc\n");
    }

    #[test]
    fn amounts_have_units() {
        for (bytes, text) in [(0_u64, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(amount(&Value::from(bytes)), text);
        }
        assert_eq!(amount(&Value::Null), "-");
    }

    #[test]
    fn parts_without_a_name_in_the_report_are_counted() {
        assert_eq!(and_more("refused", 12, 10), "refused 2 more\n");
        assert_eq!(and_more("refused", 10, 10), "");
    }
}
