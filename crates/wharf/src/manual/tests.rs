use clap::CommandFactory as _;
use clap::ValueEnum as _;

use super::*;
use crate::cli::CommandLine;

fn commands() -> Vec<Command> {
    let mut whole = CommandLine::command();
    whole.build();
    whole.get_subcommands().filter(|it| it.get_name() != "help").cloned().collect()
}

#[test]
fn every_shell_completes_every_command_and_its_long_options() {
    for shell in Shell::value_variants() {
        let script = completions(CommandLine::command(), *shell);
        for command in commands() {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(script.contains(option), "{shell}: {} --{option}", command.get_name());
            }
        }
    }
}

#[test]
fn the_man_page_names_every_command_and_exit_code() {
    let page = man_page(CommandLine::command(), None).unwrap();
    for command in commands() {
        assert!(page.contains(&format!("wharf\\-{}(1)", command.get_name())), "{page}");
    }
    let reference = include_str!("../../../../docs/reference/command-line.md");
    for (code, _) in EXIT_CODES {
        assert!(page.contains(&format!("\\fB{code}\\fR")), "{page}");
        assert!(reference.contains(&format!("\n| {code} | ")), "{code}");
    }
}

#[test]
fn each_command_has_a_man_page_with_its_options() {
    for command in commands() {
        let page = man_page(CommandLine::command(), Some(command.get_name())).unwrap();
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&option.replace('-', "\\-")), "{}: {option}", command.get_name());
        }
    }
    assert!(man_page(CommandLine::command(), Some("lst")).unwrap_err().contains("\"lst\""));
}

#[test]
fn the_reference_page_names_every_command_with_its_long_options() {
    let reference = include_str!("../../../../docs/reference/command-line.md");
    for command in commands() {
        let name = command.get_name();
        let is_row = |line: &&str| line.starts_with("| `") && line.contains(&format!("`{name}"));
        let rows: Vec<&str> = reference.lines().filter(is_row).collect();
        assert!(!rows.is_empty(), "docs/reference/command-line.md has no row for `{name}`");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            let is_global = ["config", "set", "help"].contains(&option);
            let is_named = rows.iter().any(|row| row.contains(&format!("--{option}")));
            assert!(is_global || is_named, "`{name}` in docs/reference/command-line.md lacks --{option}");
        }
    }
}
