//! evenkeel's own sandbox, spoken to by boto3 and the AWS CLI, neither of which knows that it is
//! not AWS.
//!
//! It is held to botocore's models of the services: every operation that it offers is called, and
//! no answer may have a member, a type or an error that the model does not have.

use std::process::Command;

use crate::python;
use crate::servers::Server;

#[test]
fn boto3_and_the_aws_cli_find_nothing_amiss() {
    let server = Server::sandbox("rails");
    let mut client = Command::new(python::program("python"));
    client
        .args(["-B", "-m", "unittest", "-v", "sandbox_client"])
        .current_dir(python::SCRIPTS);
    python::output_of(client, &server.environment(), "");
}

/// The same replay that the other servers take.
#[test]
fn boto3_replays_the_example_accounts() {
    let server = Server::sandbox("rails");
    server.replay("chuoi", &[]);
    let account = server.snapshot("chuoi");
    assert_eq!(account["services"]["chuoi"]["taskDefinition"], "chuoi:1");
}
