//! Shell completions and man pages, made from the declarations of the command line.

use std::io;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The exit codes. `docs/reference/command-line.md` says more of each.
const EXIT_CODES: [(&str, &str); 3] = [
    ("0", "Success. For serve: a signal stopped it, and no request was cut off."),
    ("1", "Failure. The reason is on standard error."),
    ("2", "The command line is wrong, or a removal needs --yes."),
];

const VARIABLES: [(&str, &str); 2] = [
    ("WHARF_CONFIG", "The configuration file, without --config."),
    (
        "WHARF_<SECTION>_<KEY>, WHARF_REGISTRIES, WHARF_REGISTRY_<NAME>_<KEY>",
        "Any key of the configuration; overrides the file. `wharf check --explain` prints the variable of each \
         key.",
    ),
];

const FILES: [(&str, &str); 1] =
    [("./wharf.toml, /etc/wharf/wharf.toml", "The configuration: the first of them that exists.")];

/// The script that completes the arguments of `command` in `shell`.
pub(crate) fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).expect("clap writes text")
}

/// The man page of `command`, or of its subcommand `name`, in roff.
///
/// # Errors
/// A line for the operator if there is no such subcommand.
pub(crate) fn man_page(mut command: Command, name: Option<&str>) -> Result<String, String> {
    command.build();
    let page = match name {
        None => main_page(command),
        Some(name) => match command.find_subcommand(name) {
            Some(of_command) => write(|out| Man::new(of_command.clone()).render(out)),
            None => return Err(format!("there is no command {name:?}; `wharf help` lists them")),
        },
    };
    Ok(page.expect("a vector takes all that is written"))
}

fn main_page(command: Command) -> io::Result<String> {
    let man = Man::new(command);
    write(|out| {
        man.render_title(out)?;
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_options_section(out)?;
        man.render_subcommands_section(out)?;
        let mut further = Roff::new();
        section(&mut further, "EXIT STATUS", &EXIT_CODES);
        section(&mut further, "ENVIRONMENT", &VARIABLES);
        section(&mut further, "FILES", &FILES);
        further.to_writer(out)?;
        man.render_version_section(out)
    })
}

fn section(roff: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, text) in entries {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
}

fn write(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<String> {
    let mut page = Vec::new();
    render(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
