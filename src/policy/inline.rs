//! Code in other languages on the command line, as far as its names tell; and what looks like
//! covering tracks. Doubts only: the container is the wall.

use super::facts::Command;

/// Names of modules and functions that run programs or reach the network.
const NAMES: &[&str] = &[
    "socket",
    "socketserver",
    "subprocess",
    "system",
    "popen",
    "pty",
    "exec",
    "eval",
    "compile",
    "__import__",
    "importlib",
    "child_process",
    "execSync",
    "spawn",
    "spawnSync",
    "fork",
    "ctypes",
    "urllib",
    "requests",
    "http",
    "https",
    "net",
    "dgram",
    "smtplib",
    "ftplib",
    "telnetlib",
    "fsockopen",
    "TCPSocket",
    "Socket",
    "shell_exec",
    "passthru",
    "proc_open",
    "os_execute",
    "io_popen",
    "fetch",
];

/// What cannot be told about the command, when it is one of the basics and no list names it.
pub(crate) fn doubt(command: &Command) -> Option<String> {
    let name = command.installed_name()?;
    let any = |fits: &dyn Fn(&str) -> bool| command.arguments().iter().any(|word| fits(&word.fixed));
    match name {
        "python" | "python3" | "node" | "perl" | "ruby" | "php" | "lua" => inline(name, command),
        "find" => {
            let setuid = |text: &str| {
                let mode = text.trim_start_matches(['-', '/', '+']);
                matches!(mode, "4000" | "2000" | "6000" | "u=s" | "u+s" | "g=s" | "g+s")
            };
            any(&setuid).then(|| "why it looks for setuid programs".to_owned())
        }
        "history" if any(&|text| text.starts_with('-')) => Some("why it changes the shell's history".to_owned()),
        "set" if any(&|text| text == "history") => Some("why it changes the shell's history".to_owned()),
        "touch" if command.has_option('t', "date") || command.has_option('r', "reference") => {
            Some("why it makes a file look older or newer".to_owned())
        }
        _ => None,
    }
}

fn inline(name: &str, command: &Command) -> Option<String> {
    let option =
        |text: &str| ["-c", "-e", "-p", "-r", "--eval", "--print"].iter().any(|option| text.starts_with(option));
    let given = command.input.is_some() || command.arguments().iter().any(|word| option(&word.fixed));
    let texts = command.arguments().iter().map(|word| word.raw.as_str()).chain(command.input.as_deref());
    let mut names = texts.flat_map(|text| text.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    let found = names.find(|name| NAMES.contains(name)).filter(|_| given)?;
    Some(format!("what `{found}` does in the {name} code"))
}
