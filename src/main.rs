//! The `evenkeel` command. Everything is in the library; see `evenkeel::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    evenkeel::cli::main()
}
