//! The README's five minutes on the sandbox: its commands, taken from it, one after the other.

use crate::support::{Ended, Sandbox, path};
use serde_json::{Value, json};

/// The shell commands of the README's section with this title, in words.
fn commands(title: &str) -> Vec<Vec<String>> {
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path(&readme)).expect("the README is there");
    let (_, rest) = readme
        .split_once(&format!("\n## {title}\n"))
        .expect("it has the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .flat_map(words)
        .collect()
}

/// Splits as a shell does, as far as the README needs one: quotes, comments, ends of lines.
fn words(block: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut begun) = (String::new(), false);
    let mut letters = block.chars();
    while let Some(letter) = letters.next() {
        match letter {
            quote @ ('\'' | '"') => {
                word.extend(letters.by_ref().take_while(|letter| *letter != quote));
                begun = true;
            }
            ' ' | '\n' | '#' if letter != '#' || !begun => {
                let command = commands.last_mut().expect("there is one");
                if std::mem::take(&mut begun) {
                    command.push(std::mem::take(&mut word));
                }
                let ends = letter == '\n'
                    || letter == '#' && letters.by_ref().any(|letter| letter == '\n');
                if ends && !command.is_empty() {
                    commands.push(Vec::new());
                }
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// The word behind an option.
fn option<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == name)?;
    words.get(at + 1).map(String::as_str)
}

/// Somebody who types what the README says.
struct Reader {
    sandbox: Sandbox,
    commands: std::vec::IntoIter<Vec<String>>,
}

impl Reader {
    /// The next command, which must be this one, perhaps with more behind it.
    #[track_caller]
    fn next(&mut self, command: &str) -> Vec<String> {
        let words = self.commands.next().expect("the README has more commands");
        assert!(words.join(" ").starts_with(command), "{words:?}");
        words
    }

    /// Runs a command of ours.
    #[track_caller]
    fn evenkeel(&mut self, command: &str, code: i32) -> Ended {
        let words = self.next(&format!("evenkeel {command}"));
        let args: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        self.sandbox.expect(code, &args)
    }

    /// Asks a page of the sandbox.
    #[track_caller]
    fn curl(&mut self, method: &str, page: &str) -> String {
        let words = self.next("curl -s ");
        assert_eq!(option(&words, "-X").unwrap_or("GET"), method, "{words:?}");
        let url = format!("$AWS_ENDPOINT_URL{page}");
        assert!(words.contains(&url), "{words:?}");
        let body = option(&words, "-d").unwrap_or_default();
        self.sandbox.page(method, page, body)
    }
}

#[test]
fn five_minutes_on_the_sandbox() {
    let mut reader = Reader {
        // In a free port and faster, so that it takes a few seconds.
        sandbox: Sandbox::start("rails", &[]),
        commands: commands("Five minutes on the sandbox").into_iter(),
    };
    reader.next("cargo build");
    reader.next("export PATH=$PWD/target/debug:$PATH");
    reader.next("evenkeel sandbox --load tests/fixtures/examples/rails/account.json");

    reader.evenkeel("init", 0);
    let valid = reader.evenkeel("validate -f ", 0).stdout;
    assert!(
        valid.contains("Release production/rails is valid"),
        "{valid}"
    );
    let applied = reader.evenkeel("apply -f ", 0).stdout;
    assert!(
        applied.contains("release/production/rails created"),
        "{applied}"
    );
    let plan = reader.evenkeel("plan rails", 1).stdout;
    assert!(plan.contains("waits for its task definition"), "{plan}");
    reader.evenkeel("run --once", 0);
    let get = reader.evenkeel("get rails", 0).stdout;
    for part in [
        "migration/db-migrate",
        "service/app",
        "schedule/sweep-carts",
    ] {
        assert!(get.contains(part), "{get}");
    }

    reader.curl("DELETE", "/_sandbox/calls");
    reader.evenkeel("run --once", 0);
    let calls: Value = serde_json::from_str(&reader.curl("GET", "/_sandbox/calls")).unwrap();
    let calls: Vec<&String> = calls.as_object().unwrap().keys().collect();
    assert!(calls.len() > 5, "{calls:?}");
    let log: Value =
        serde_json::from_str(&reader.sandbox.page("GET", "/_sandbox/log", "")).unwrap();
    for call in log.as_array().unwrap() {
        let operation = call["operation"].as_str().unwrap();
        let reads = ["Describe", "Get", "List", "Query", "Scan"];
        let is_read = reads.iter().any(|read| operation.starts_with(read));
        assert!(is_read || is_of_lease(&call["input"]), "{call}");
    }

    let put_rule = reader.next("aws events put-rule");
    let rule = option(&put_rule, "--name").unwrap().to_owned();
    let by_hand = json!({
        "Name": rule, "ScheduleExpression": option(&put_rule, "--schedule-expression")});
    reader
        .sandbox
        .aws("events", "AWSEvents.PutRule", &by_hand.to_string());
    let drift = reader.evenkeel("drift", 1).stdout;
    assert!(drift.contains("rate(1 minute)"), "{drift}");
    reader.evenkeel("run --once", 0);
    let asked = json!({"Name": rule}).to_string();
    let rule = reader
        .sandbox
        .aws("events", "AWSEvents.DescribeRule", &asked);
    assert!(rule.contains("cron(0/15 * * * ? *)"), "{rule}");
    reader.sandbox.expect(0, &["drift"]);

    reader.curl("PUT", "/_sandbox/rules");
    reader.evenkeel("set image rails app=1f0e8a7", 0);
    let once = reader.evenkeel("run --once", 1).stdout;
    assert!(once.contains("Stalled RolledBack"), "{once}");
    let get = reader.evenkeel("get rails", 0).stdout;
    assert!(get.contains("RolledBack"), "{get}");
    assert!(get.contains("FAILED TASK OF app"), "{get}");
    let log = reader.evenkeel("logs rails/app --failed", 0).stdout;
    assert!(log.contains("KeyError: PAYMENTS_URL"), "{log}");
    let list = reader.evenkeel("migration list rails", 0).stdout;
    assert_eq!(list.matches("Succeeded").count(), 2, "{list}");

    reader.curl("PUT", "/_sandbox/rules");
    reader.evenkeel("retry rails", 0);
    let once = reader.evenkeel("run --once", 0).stdout;
    assert!(once.contains("Ready"), "{once}");
    assert_eq!(reader.commands.next(), None, "nobody looks at this command");
}

/// Whether a write of the table is about who works on it, and nothing else.
fn is_of_lease(input: &Value) -> bool {
    let actions = input["TransactItems"].as_array();
    let actions = actions.map_or_else(
        || vec![input],
        |all| {
            all.iter()
                .filter_map(|one| one.as_object()?.values().next())
                .collect()
        },
    );
    !actions.is_empty()
        && actions.iter().all(|action| {
            let item = action.get("Item").or_else(|| action.get("Key"));
            let pk = item.and_then(|item| item["pk"]["S"].as_str());
            pk.is_some_and(|pk| ["lease", "epoch"].contains(&pk))
        })
}
