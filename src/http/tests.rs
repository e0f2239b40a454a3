use super::*;
use crate::controller::{Happening, What};
use crate::resource::meta::ReleaseKey;

fn happening(what: What) -> Happening {
    Happening {
        at: "2026-03-01T10:00:00Z".parse().unwrap(),
        release: ReleaseKey::new("production", "rails"),
        what,
    }
}

fn page(metrics: &Metrics) -> String {
    let mut page = Vec::new();
    TextEncoder::new()
        .encode(&metrics.registry().gather(), &mut page)
        .unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn passes_are_counted_by_result() {
    let metrics = Metrics::new().unwrap();
    let passed = |failed| What::Passed {
        plan: Box::default(),
        failed,
        applied_at: None,
    };
    metrics.observe(&happening(passed(false)));
    metrics.observe(&happening(What::NotDone("the table is away".to_owned())));
    metrics.observe(&happening(passed(true)));
    metrics.observe(&happening(What::Failed("the table is away".to_owned())));
    let page = page(&metrics);
    for line in [
        r#"controller_runtime_reconcile_total{controller="release",result="success"} 1"#,
        r#"controller_runtime_reconcile_total{controller="release",result="error"} 2"#,
        r#"controller_runtime_reconcile_errors_total{controller="release"} 2"#,
        r#"evenkeel_drift_differences{namespace="production",release="rails",resource_kind="service"} 0"#,
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    assert!(
        !page.contains("the table is away"),
        "messages are no labels: {page}"
    );
}
