//! The Python side of these tests has tests of its own.

use std::process::Command;

use crate::python;

#[test]
fn the_stand_in_docker_engine_behaves() {
    let mut unittest = Command::new(python::program("python"));
    unittest
        .args(["-B", "-m", "unittest", "-v"])
        .current_dir(python::SCRIPTS);
    python::output_of(unittest, &[], "");
}
