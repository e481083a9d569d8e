use std::ffi::OsString;

use clap::Command;

/// Lets a command line name its flags with one dash, as the Go programs do: `-reverse-type=T` for `--reverse-type=T`.
///
/// Only names that `command` knows are changed, and nothing behind a `--`; so short flags and values stay what they are.
#[must_use]
pub fn go_style(command: &Command, args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flags_ended = false;
    args.into_iter()
        .map(|arg| {
            flags_ended |= arg == "--";
            if !flags_ended && names_a_flag(command, &arg) {
                let mut long = OsString::from("-");
                long.push(arg);
                long
            } else {
                arg
            }
        })
        .collect()
}

fn names_a_flag(command: &Command, arg: &OsString) -> bool {
    let Some(arg) = arg.to_str().and_then(|arg| arg.strip_prefix('-')) else {
        return false;
    };
    let name = arg.split('=').next().unwrap_or(arg);
    // One letter is a short flag; and "-" alone is a value.
    name.len() > 1
        && (matches!(name, "help" | "version")
            || command
                .get_arguments()
                .any(|known| known.get_long() == Some(name)))
}

/// Reads a boolean as Go's `flag` package does.
///
/// # Errors
///
/// Says what is accepted.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn changed(args: &[&str]) -> Vec<String> {
        let command = Command::new("test")
            .arg(Arg::new("workdir").long("workdir"))
            .arg(Arg::new("verbose").short('v').long("verbose"));
        go_style(&command, args.iter().map(OsString::from))
            .into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect()
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        assert_eq!(
            changed(&["test", "-workdir=/w", "-workdir", "/x", "--workdir=/y"]),
            ["test", "--workdir=/w", "--workdir", "/x", "--workdir=/y"]
        );
    }

    #[test]
    fn what_is_no_flag_of_the_program_stays() {
        for args in [
            ["test", "-v"],
            ["test", "-vv"],
            ["test", "-"],
            ["test", "-nope"],
        ] {
            assert_eq!(changed(&args), args);
        }
        let after_the_end = ["test", "--", "-workdir"];
        assert_eq!(changed(&after_the_end), after_the_end);
    }

    #[test]
    fn booleans_are_those_of_go() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("0"), Ok(false));
        assert!(parse_bool("yes").is_err());
    }
}
