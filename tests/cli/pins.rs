//! Going back to a revision, the history it is chosen from, and what is not applied again.

use serde_json::json;

use crate::stories::small;
use crate::support::{Sandbox, fixture, folder, path};

#[test]
fn people_go_back_and_ci_does_not_bring_it_again() {
    let sandbox = Sandbox::start("rails", &[]);
    let folder = folder("going-back");
    let (rails, second) = (folder.join("rails.yaml"), folder.join("second.yaml"));
    std::fs::write(&rails, small()).unwrap();
    let other = small().replace("name: rails\n  namespace", "name: second\n  namespace");
    std::fs::write(&second, other).unwrap();
    let environment = fixture("rails/environment.yaml");
    let (environment, rails, second) = (path(&environment), path(&rails), path(&second));
    let ci =
        |code: i32, verb: &[&str]| sandbox.expect(code, &[verb, &["--applier", "ci"]].concat());
    sandbox.expect(0, &["init"]);
    let nothing = sandbox.expect(2, &["history", "rails"]).stderr;
    assert!(
        nothing.contains("release rails does not exist"),
        "{nothing}"
    );
    ci(0, &["apply", "-f", environment, "-f", rails]);
    let none = sandbox.expect(0, &["history", "rails"]).stdout;
    assert_eq!(none, "No revision is recorded yet.\n");
    sandbox.expect(0, &["run", "--once"]);
    let set = ["set", "image", "rails", "app=1f0e8a7", "--source", "feed"];
    ci(0, &set);
    sandbox.expect(0, &["run", "--once"]);

    // Which revisions there are, and which of them there is no way back to.
    let shown = sandbox.expect(0, &["history", "rails"]).stdout;
    let first: Vec<&str> = shown
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(first, ["REVISION", "2", "1", "0"], "{shown}");
    assert!(
        shown.contains("2 (current)") && shown.contains("app=1f0e8a7"),
        "{shown}"
    );
    assert!(shown.contains("what ran before evenkeel"), "{shown}");
    for (to, why) in [
        ("7", "revision 7 is not kept; those that are: 0, 1, 2"),
        ("2", "revision 2 is what runs"),
        ("0", "nothing is known to have run before evenkeel"),
    ] {
        let told = ci(2, &["rollback", "rails", "--to", to]).stderr;
        assert!(
            told.contains(why) && told.contains("evenkeel history"),
            "{told}"
        );
    }

    let asked = ci(0, &["rollback", "rails", "--to", "1"]).stdout;
    let requested = "release/production/rails rollback to revision 1 requested\n";
    assert_eq!(asked, requested);
    sandbox.expect(0, &["run", "--once"]);
    let items = sandbox
        .expect(0, &["history", "rails", "-o", "json"])
        .json()["items"]
        .clone();
    let newest = &items[0];
    assert_eq!(
        (&newest["number"], &newest["pinned"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        (&newest["current"], &newest["outcome"]),
        (&json!(true), &json!("Ready"))
    );
    assert_eq!(
        (&newest["applier"], &newest["images"]),
        (&json!("ci"), &items[2]["images"])
    );
    assert_eq!(
        (&items[1]["leftFor"], &items[1]["source"]),
        (&json!(1), &json!("feed"))
    );

    // One that was gone back from keeps all the files from being applied.
    let refused = ci(2, &["apply", "-f", second, "-f", rails]).stderr;
    let words = [
        "rails.yaml:1",
        "revision 2 of generation 2",
        "ci went back from it to revision 1",
    ];
    for word in words {
        assert!(refused.contains(word), "{refused}");
    }
    sandbox.expect(2, &["get", "second"]);
    let foreseen = ci(2, &["plan", "-f", second, "-f", rails]).stderr;
    assert_eq!(foreseen, refused);
    let set = ci(2, &["set", "image", "rails", "app=1f0e8a7"]).stderr;
    assert!(set.contains("say --force to have it tried again"), "{set}");

    // With --force it is tried again.
    let set = ci(0, &["set", "image", "rails", "app=1f0e8a7", "--force"]).stdout;
    assert_eq!(
        set,
        "release/production/rails unchanged, to be tried again\n"
    );
    sandbox.expect(0, &["run", "--once"]);
    let status = sandbox.expect(0, &["get", "rails", "-o", "json"]).json()["status"].clone();
    assert_eq!(
        (&status["revision"], &status["rejections"]),
        (&json!(4), &json!(null))
    );
    ci(0, &["apply", "-f", second, "-f", rails]);
}

#[test]
fn ci_goes_back_without_the_right_to_read_revisions() {
    let sandbox = Sandbox::start("rails", &[]);
    let file = folder("ci-goes-back").join("rails.yaml");
    std::fs::write(&file, small()).unwrap();
    let environment = fixture("rails/environment.yaml");
    sandbox.expect(0, &["init"]);
    sandbox.expect(0, &["apply", "-f", path(&environment), "-f", path(&file)]);
    sandbox.expect(0, &["run", "--once"]);
    let others = r#"{"denyKeys": ["ledger#*"]}"#;
    sandbox.page("PUT", "/_sandbox/settings", others);
    let history = ["-n", "production", "history", "rails"];
    let denied = sandbox.expect(2, &history).stderr;
    assert!(
        denied.contains("may not be read") && denied.contains("ledger#production/rails"),
        "{denied}"
    );
    let asked = ["-n", "production", "rollback", "rails", "--to", "9"];
    let told = sandbox.expect(0, &asked).stdout;
    assert!(told.contains("the controller decides"), "{told}");
    sandbox.page("PUT", "/_sandbox/settings", r#"{"denyKeys": []}"#);
    // The controller says no, and nothing else changes.
    sandbox.expect(0, &["run", "--once"]);
    let items = sandbox
        .expect(0, &["history", "rails", "-o", "json"])
        .json()["items"]
        .clone();
    assert_eq!(items[0]["number"], 1);
}
