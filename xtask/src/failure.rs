//! Which exit code an error means: 2 for input that the user can mend, 1 for everything else.

use std::fmt;
use std::process::ExitCode;

/// An error in what the user gave; its message says what, where and what to do.
#[derive(Debug)]
pub struct BadInput(String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// An error that ends the program with exit code 2.
pub fn bad_input(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

/// The exit code of an error: 2 where a file or an argument is at fault, 1 where the machine or the program is.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if is_bad_input(error) { 2 } else { 1 })
}

fn is_bad_input(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<scfm_io::Error>();
        let of_the_machine = matches!(io, Some(scfm_io::Error::Io { action, .. }) if *action != "read");
        (io.is_some() && !of_the_machine)
            || cause.is::<BadInput>()
            || cause.is::<scfm_attention::Error>()
            || cause.is::<scfm_grn::Error>()
            || cause.is::<scfm_perturb::Error>()
    })
}

/// The error in one line; with `verbose` also its causes as the libraries nest them.
pub fn describe(error: &anyhow::Error, verbose: bool) -> String {
    if verbose {
        return format!("{error:?}");
    }
    // A library's message often ends with that of its cause, which is then not said again.
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.ends_with(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    let too_large = error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(scfm_io::Error::TooLarge { .. })));
    if too_large {
        line.push_str(" (--memory)");
    }
    // Causes may quote the file, and what is in a file must not speak to the terminal.
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_cause_that_the_message_already_tells_is_not_said_twice() {
        let error = anyhow!("no such file")
            .context("x.h5ad: cannot read: no such file")
            .context("stage panel");
        assert_eq!(
            describe(&error, false),
            "stage panel: x.h5ad: cannot read: no such file"
        );
    }

    #[test]
    fn only_what_the_user_gave_is_bad_input() {
        assert!(is_bad_input(&bad_input("x").context("y")));
        assert!(!is_bad_input(&anyhow!("disk full")));
    }
}
