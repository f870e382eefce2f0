use super::*;

#[test]
fn the_median_stands_in_the_middle_whatever_the_order() {
    let runs = [vec![("a", 3.0), ("b", 1.0)], vec![("a", 1.0), ("b", 9.0)], vec![("a", 2.0), ("b", 5.0)]];
    assert_eq!(medians(&runs), [("a", 2.0), ("b", 5.0)]);
    assert_eq!(medians(&runs[..2]), [("a", 2.0), ("b", 5.0)]);
}

#[test]
fn a_table_lists_each_server_and_each_figure_once() {
    let mut table = Table::new("load", "Load", "connections");
    table.push("one", 1, vec![("rate", 1.0)]);
    table.push("two", 1, vec![("rate", 2.0), ("cpu", 3.0)]);
    table.push("one", 8, vec![("rate", 4.0)]);
    assert_eq!(table.peers(), ["one", "two"]);
    assert_eq!(table.figures(), ["rate", "cpu"]);
    let text = markdown::render(&table);
    assert!(text.contains("| two | 1 | 2.00 | 3.00 |"), "{text}");
    assert!(text.contains("| one | 8 | 4.00 | - |"), "{text}");
}

#[test]
fn a_server_that_fails_is_named_below_the_table() {
    let mut table = Table::new("herd", "Herd", "clients");
    table.push("one", 1, vec![("seconds", 1.0)]);
    table.failures.push("1000 clients: two: status 500".to_owned());
    let text = markdown::render(&table);
    assert!(text.ends_with("|\n\nNo figures: 1000 clients: two: status 500\n"), "{text}");
    assert_eq!(table.to_json()["failures"][0], "1000 clients: two: status 500");
}

#[test]
fn a_plot_is_drawn_of_every_server_that_has_the_figure() {
    let mut table = Table::new("load", "Load <1>", "connections");
    for at in [1, 10, 100] {
        table.push("one", at, vec![("rate", at as f64)]);
        table.push("two", at, vec![("rate", 2.0 * at as f64)]);
    }
    let svg = plot::render(&table, "rate").expect("two points at least");
    assert_eq!(svg.matches("<polyline").count(), 2);
    assert!(svg.contains("Load &lt;1&gt;"));
    assert!(plot::render(&table, "cpu").is_none());
}
