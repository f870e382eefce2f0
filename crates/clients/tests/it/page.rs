//! The blocks of `docs/how-to/clients.md` are what the crate writes. A line
//! `<!-- client: TOOL PATH -->` stands before the block with that file of that client, or
//! `<!-- client: TOOL commands -->` before its commands. `WHARF_WRITE_PAGES=1 cargo test -p clients` writes
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clients::{TOOLS, find};

use crate::golden::plain;

const MARK: &str = "<!-- client: ";

#[test]
fn the_blocks_of_the_page_are_the_settings_of_the_clients() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/how-to/clients.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let mut named = BTreeSet::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        written.push_str(line);
        written.push('\n');
        let Some(mark) = line.trim_start().strip_prefix(MARK) else { continue };
        let (name, what) = mark.trim_end_matches(" -->").split_once(' ').expect("a client and a file");
        let tool = find(name).unwrap_or_else(|| panic!("the page names {name}, which is no client"));
        named.insert(tool.name);
        let fence = lines.next().filter(|fence| fence.starts_with("```")).expect("a block follows the mark");
        written.push_str(fence);
        written.push('\n');
        written.push_str(&block(tool, what));
        assert!(lines.by_ref().any(|line| line == "```"), "the block after {mark} has an end");
        written.push_str("```\n");
    }
    if std::env::var_os("WHARF_WRITE_PAGES").is_some() {
        fs::write(&path, &written).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    let differs = found.lines().zip(written.lines()).find(|(found, expected)| found != expected);
    let told = "run `WHARF_WRITE_PAGES=1 cargo test -p clients` and look at what it changes";
    assert!(found == written, "clients.md is not what the crate writes: {differs:#?}; {told}");
    let missing: Vec<_> = TOOLS.iter().map(|tool| tool.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "the page has no block of {missing:?}");
}

fn block(tool: &clients::Tool, what: &str) -> String {
    let settings = tool.settings(&plain());
    if what == "commands" {
        return settings.commands.iter().map(|line| format!("{line}\n")).collect();
    }
    let file = settings.files.iter().find(|file| file.path == what);
    file.unwrap_or_else(|| panic!("{} has no file {what}", tool.name)).contents.clone()
}
