//! The demo tells what really happened, and fails when it did not.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::run;

#[test]
fn the_demo_tells_the_whole_story() {
    let began = Instant::now();
    let ended = run(&["demo"]);
    assert_eq!(ended.code, Some(0), "{}", ended.shown());
    assert!(began.elapsed() < Duration::from_secs(60));
    for line in [
        "✓ the table says Ready",
        "✓ it ended before either service moved",
        "✓ someone-elses-rule, which nobody declared, is as it was",
        "✓ the next pass wrote nothing: 0 AWS write calls, 0 table writes",
        "✓ nothing differs any more",
        "✓ the table says Stalled",
        "✓ ECS's record of service app: ROLLBACK_SUCCESSFUL",
        "evenkeel sandbox --load",
    ] {
        assert!(
            ended.stdout.contains(line),
            "{line} is missing in\n{}",
            ended.stdout
        );
    }
    assert!(
        !ended.stdout.contains('\u{1b}'),
        "no colours where nobody looks"
    );
    assert_eq!(ended.stderr, "");
}
