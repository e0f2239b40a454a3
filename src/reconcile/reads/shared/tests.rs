use super::*;
use crate::aws::error::{Call, ErrorClass};
use crate::aws::spans::tests::listen;

/// What a server answers to whom: a call takes 10 ms, or a second; names that begin
/// with `denied` fail.
#[derive(Default)]
struct Server {
    calls: Mutex<Vec<Vec<String>>>,
    spans: Mutex<Vec<Option<&'static str>>>,
    version: AtomicU64,
}

impl Kind for Arc<Server> {
    type Group = &'static str;
    type Name = String;
    type Answer = u64;
    const BATCH: usize = 10;

    async fn read(
        &self,
        group: &&'static str,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, u64>, AwsError> {
        let asked = names.iter().cloned().collect();
        self.calls.lock().unwrap().push(asked);
        let span = Span::current().metadata().map(|span| span.name());
        self.spans.lock().unwrap().push(span);
        let version = self.version.load(Ordering::SeqCst);
        let millis = if *group == "far" { 1000 } else { 10 };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let call = Call::read("ecs", "DescribeServices", *group);
        match names.iter().find(|name| name.starts_with("denied")) {
            Some(denied) => Err(call.unexpected(ErrorClass::Denied, denied.clone())),
            None if *group == "slow" => Err(call.unexpected(ErrorClass::Throttled, "slow down")),
            None => Ok(names.iter().map(|name| (name.clone(), version)).collect()),
        }
    }

    fn may_be_about_one(&self, error: &AwsError) -> bool {
        error.class == ErrorClass::Denied
    }
}

struct Stage {
    server: Arc<Server>,
    shared: Shared<Arc<Server>>,
    order: Order,
}

impl Stage {
    fn new() -> Self {
        let (server, order) = (Arc::<Server>::default(), Order::default());
        Self {
            shared: Shared::new(server.clone(), &order),
            server,
            order,
        }
    }

    /// Asks as somebody who looks afresh.
    async fn afresh(&self, names: &[&str]) -> BTreeMap<String, Result<u64, String>> {
        self.ask("rails", names, Fresh::After(self.order.now()))
            .await
    }

    async fn ask(
        &self,
        group: &'static str,
        names: &[&str],
        fresh: Fresh,
    ) -> BTreeMap<String, Result<u64, String>> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let found = self.shared.ask(&group, names, fresh).await;
        let told = |read: Answered<Arc<Server>>| read.map_err(|error| error.message.clone());
        found
            .into_iter()
            .map(|(name, read)| (name, told(read)))
            .collect()
    }

    fn calls(&self) -> usize {
        self.server.calls.lock().unwrap().len()
    }

    fn changes(&self) -> u64 {
        self.server.version.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_about_the_same_time_share_full_calls() {
    let stage = Stage::new();
    let names: Vec<String> = (0..100).map(|number| format!("app-{number:03}")).collect();
    let asked: Vec<_> = names
        .chunks(4)
        .map(|names| names.iter().cloned().collect())
        .collect();
    let since = Fresh::Since(Instant::now());
    stage.shared.ahead(&"rails", asked, since).await;
    let sizes: Vec<usize> = stage
        .server
        .calls
        .lock()
        .unwrap()
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(sizes, [10; 10]);

    // What was read is there for those who are content with it.
    let found = stage.ask("rails", &["app-007"], since).await;
    assert_eq!(found["app-007"], Ok(0));
    assert_eq!(stage.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn four_who_look_afresh_at_once_make_one_call() {
    let stage = Stage::new();
    let found = tokio::join!(
        stage.afresh(&["a", "b"]),
        stage.afresh(&["b", "c"]),
        stage.afresh(&["d"]),
        stage.afresh(&["a"]),
    );
    assert_eq!(found.1["b"], Ok(0));
    assert_eq!(*stage.server.calls.lock().unwrap(), [["a", "b", "c", "d"]]);
}

#[tokio::test(start_paused = true)]
async fn while_calls_wait_names_gather_so_that_the_next_are_full() {
    let stage = Arc::new(Stage::new());
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..24_u64 {
        let stage = stage.clone();
        asked.spawn(async move {
            tokio::time::sleep(Duration::from_millis(number * 10)).await;
            let fresh = Fresh::After(stage.order.now());
            stage.ask("far", &[&format!("app-{number}")], fresh).await
        });
    }
    assert_eq!(asked.join_all().await.len(), 24);
    // Each of the first four finds a call free; twenty names gather meanwhile.
    let sizes: Vec<usize> = stage
        .server
        .calls
        .lock()
        .unwrap()
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(sizes, [1, 1, 1, 1, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn who_looks_afresh_sees_nothing_that_was_read_before() {
    let stage = Stage::new();
    assert_eq!(stage.afresh(&["a"]).await["a"], Ok(0));
    let newest = stage.changes();
    assert_eq!(stage.afresh(&["a"]).await["a"], Ok(newest));

    // Nor what a call under way is going to answer.
    let before = stage.changes();
    let late = async {
        tokio::time::sleep(Duration::from_millis(8)).await;
        let changed = stage.changes();
        (stage.afresh(&["a"]).await["a"].clone(), changed)
    };
    let (early, (late, changed)) = tokio::join!(stage.afresh(&["a"]), late);
    assert_eq!(early["a"], Ok(before));
    assert_eq!(late, Ok(changed));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_is_content_with_what_was_read_since_it_began_and_with_no_more() {
    let stage = Stage::new();
    stage.afresh(&["a"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let newest = stage.changes();
    let since = Fresh::Since(Instant::now());
    assert_eq!(stage.ask("rails", &["a"], since).await["a"], Ok(newest));
    stage.changes();
    assert_eq!(stage.ask("rails", &["a"], since).await["a"], Ok(newest));
    assert_eq!(stage.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_write_of_ours_is_not_used() {
    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    stage.ask("rails", &["a", "b"], since).await;
    let written = stage.changes();
    stage.shared.forget(&"rails", |name| name == "a");
    let found = stage.ask("rails", &["a", "b"], since).await;
    assert_eq!((&found["a"], &found["b"]), (&Ok(written), &Ok(0)));

    // A call that was under way during the write is made again for that name.
    stage.shared.forget(&"rails", |name| name == "a");
    let write = async {
        tokio::time::sleep(Duration::from_millis(8)).await;
        let written = stage.changes();
        stage.shared.forget(&"rails", |name| name == "a");
        written
    };
    let (found, written) = tokio::join!(stage.ask("rails", &["a"], since), write);
    assert_eq!(found["a"], Ok(written));
}

#[tokio::test(start_paused = true)]
async fn one_who_is_refused_takes_nobody_along() {
    let stage = Stage::new();
    let (denied, other) =
        tokio::join!(stage.afresh(&["a", "denied-b"]), stage.afresh(&["c", "d"]),);
    let refused = Err("denied-b".to_owned());
    assert_eq!((&denied["a"], &denied["denied-b"]), (&refused, &refused));
    assert_eq!((&other["c"], &other["d"]), (&Ok(0), &Ok(0)));
    // Together, then each their own.
    assert_eq!(stage.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_several_ask_for_is_not_refused_for_what_one_of_them_asks_besides() {
    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    let late = async {
        // While the call for the other is under way, and while it is taken apart.
        tokio::time::sleep(Duration::from_millis(8)).await;
        let joins = stage.ask("rails", &["app"], since);
        let later = async {
            tokio::time::sleep(Duration::from_millis(8)).await;
            stage.ask("rails", &["app", "d"], since).await
        };
        tokio::join!(joins, later)
    };
    let (denied, other, (joins, later)) = tokio::join!(
        stage.ask("rails", &["app", "denied-x"], since),
        stage.ask("rails", &["app", "c"], since),
        late,
    );
    assert_eq!(denied["denied-x"], Err("denied-x".to_owned()));
    for found in [&other, &joins, &later] {
        assert_eq!(found["app"], Ok(0), "{found:?}");
    }
    assert_eq!(later["d"], Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_several_names_is_told_to_those_alone_who_ask_for_all_of_them() {
    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    let refused = Err("denied-x".to_owned());
    let late = async {
        // While it is asked for apart from the third's.
        tokio::time::sleep(Duration::from_millis(18)).await;
        stage.ask("rails", &["app"], since).await
    };
    let (denied, late, _) = tokio::join!(
        stage.ask("rails", &["app", "denied-x"], since),
        late,
        stage.ask("rails", &["c"], since),
    );
    assert_eq!((&denied["app"], &denied["denied-x"]), (&refused, &refused));
    assert_eq!(late["app"], Ok(0));

    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    stage.ask("rails", &["app", "denied-x"], since).await;
    let again = stage.ask("rails", &["app", "denied-x"], since).await;
    assert_eq!(again["app"], refused);
    assert_eq!(stage.calls(), 1);
    let found = stage.ask("rails", &["app"], since).await;
    assert_eq!(found["app"], Ok(0));
}

#[tokio::test(start_paused = true)]
async fn who_looks_afresh_does_not_wait_for_a_sweep() {
    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    let looks = (0..200).map(|number| [format!("app-{number:03}")].into());
    let sweep = stage.shared.ahead(&"far", looks.collect(), since);
    let looks = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let first = stage.ask("far", &["web-2"], Fresh::After(stage.order.now()));
        let next = stage.ask("far", &["web-1"], Fresh::After(stage.order.now()));
        assert_eq!(tokio::join!(first, next).1["web-1"], Ok(0));
        began.elapsed()
    };
    // As long as a call takes by itself.
    assert_eq!(tokio::join!(sweep, looks).1, Duration::from_secs(1));
    let calls = stage.server.calls.lock().unwrap();
    // A call that has room takes some of what the sweep asks for along.
    let looked = |name: &str| {
        calls
            .iter()
            .position(|call| call.contains(&name.to_owned()))
    };
    assert_eq!(looked("web-2"), Some(SWEEPING));
    assert_eq!(looked("web-1"), Some(SWEEPING + 1));
    assert_eq!(
        calls.iter().map(Vec::len).collect::<Vec<_>>()[..20],
        [10; 20]
    );
}

#[tokio::test(start_paused = true)]
async fn where_everybody_is_refused_refusals_of_before_stand_for_a_while() {
    let stage = Stage::new();
    let looks = || {
        let names = (0..200).map(|number| format!("denied-{number:03}"));
        names.map(|name| [name].into()).collect()
    };
    let sweep = async || {
        let before = stage.calls();
        let since = Fresh::Since(Instant::now());
        stage.shared.ahead(&"rails", looks(), since).await;
        let found = stage.ask("rails", &["denied-150"], since).await;
        assert_eq!(found["denied-150"], Err("denied-150".to_owned()));
        stage.calls() - before
    };
    assert_eq!(sweep().await, 20 + 200);
    tokio::time::sleep(Duration::from_secs(300)).await;
    // The calls that begin at once, and what they are taken apart into.
    assert_eq!(sweep().await, SWEEPING * 11);
    // One that is allowed again among them is seen by the sweep after that.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(sweep().await, 20 + 200);

    // Whoever looks afresh asks.
    let before = stage.calls();
    stage.afresh(&["denied-001"]).await;
    assert_eq!(stage.calls() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_stand_for_longer_and_a_refusal_may_not() {
    let stage = Stage::new();
    let lasting = || Fresh::Lasting(Instant::now(), Duration::from_secs(3600));
    let ask = async |names: &[&str]| {
        let before = stage.calls();
        stage.ask("rails", names, lasting()).await;
        stage.calls() - before
    };
    assert_eq!((ask(&["a"]).await, ask(&["denied-b"]).await), (1, 1));
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!((ask(&["a"]).await, ask(&["denied-b"]).await), (0, 1));
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(ask(&["a"]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_go_better_next_time_is_asked_for_again() {
    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    for calls in 1..=2 {
        let found = stage.ask("slow", &["a"], since).await;
        assert_eq!(found["a"], Err("slow down".to_owned()));
        assert_eq!(stage.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_nobody_waiting() {
    let stage = Stage::new();
    let order = stage.order.clone();
    let shared = stage.shared.clone();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        // It ends while the call is under way.
        runtime.block_on(async {
            let names: BTreeSet<String> = (0..50).map(|number| number.to_string()).collect();
            let fresh = Fresh::After(order.now());
            let asked = shared.join(&"rails", vec![names], fresh);
            tokio::task::yield_now().await;
            asked.1
        })
    });
    for (_, answered) in elsewhere.join().unwrap() {
        assert!(answered.await.is_err());
    }
    assert_eq!(stage.afresh(&["7"]).await["7"], Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_call_belongs_to_the_pass_of_one_who_waits_for_it() {
    let _traced = listen(tracing_subscriber::registry());
    let stage = Stage::new();
    let since = Fresh::Since(Instant::now());
    let sweep = (0..100).map(|number| [format!("app-{number:03}")].into());
    let sweep = stage.shared.ahead(&"rails", sweep.collect(), since);
    let look = stage.ask("rails", &["web"], since);
    let look = look.instrument(tracing::info_span!("reconcile"));
    tokio::join!(sweep, look);
    // Whatever call made room for it.
    let calls = stage.server.calls.lock().unwrap().clone();
    let spans = stage.server.spans.lock().unwrap().clone();
    for (call, span) in calls.iter().zip(spans) {
        let expected = (call[0] == "web").then_some("reconcile");
        assert_eq!(span, expected, "{call:?}");
    }
    assert_eq!(calls.len(), 11);
}

#[tokio::test(start_paused = true)]
async fn old_readings_are_dropped() {
    let stage = Stage::new();
    stage.afresh(&["a"]).await;
    tokio::time::sleep(KEPT).await;
    stage.afresh(&["b"]).await;
    stage.shared.forget_older(KEPT - Duration::from_secs(1));
    let kept: Vec<String> = stage.shared.groups()["rails"]
        .readings
        .keys()
        .cloned()
        .collect();
    assert_eq!(kept, ["b"]);
    stage.shared.forget_older(Duration::ZERO);
    assert!(stage.shared.groups().is_empty());
}

fn named(name: &str) -> [String; 1] {
    [name.to_owned()]
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_as_before_is_the_same_and_what_came_in_between_is_not() {
    let stage = Stage::new();
    let same = |moment, since| {
        let same = Same::AsBefore(Fresh::Since(since), moment);
        stage.shared.are_same(&"rails", &named("a"), same)
    };
    let since = Instant::now();
    stage.afresh(&["a"]).await;
    let moment = stage.order.now();
    assert!(same(moment, since), "what was read just now is that");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!same(moment, Instant::now()), "it has to be read again");
    let since = Instant::now();
    stage.afresh(&["a"]).await;
    assert!(same(moment, since));
    stage.changes();
    stage.afresh(&["a"]).await;
    assert!(!same(moment, since));

    // A call that was under way then is answered only after it.
    stage.changes();
    let (_, (moment, since)) = tokio::join!(stage.afresh(&["a"]), async {
        tokio::time::sleep(Duration::from_millis(8)).await;
        (stage.order.now(), Instant::now())
    });
    stage.afresh(&["a"]).await;
    assert!(!same(moment, since));
}

#[tokio::test(start_paused = true)]
async fn one_answer_since_a_moment_is_known_only_where_no_call_was_answered_otherwise() {
    let stage = Stage::new();
    let same = |moment| {
        let same = Same::SinceThen(moment);
        stage.shared.are_same(&"rails", &named("a"), same)
    };
    stage.afresh(&["a"]).await;
    let begin = stage.order.now();
    assert!(!same(begin), "nothing was read since");
    let changed = stage.changes();
    assert_eq!(stage.afresh(&["a"]).await["a"], Ok(changed));
    assert!(same(begin), "what was before matters to nobody");
    stage.changes();
    stage.afresh(&["a"]).await;
    assert!(!same(begin), "one of the two was told");

    // Nor where a write of ours drops what was told.
    let begin = stage.order.now();
    stage.afresh(&["a"]).await;
    assert!(same(begin));
    stage.changes();
    stage.shared.forget(&"rails", |name| name == "a");
    assert!(!same(begin));
    stage.afresh(&["a"]).await;
    assert!(!same(begin));
    let begin = stage.order.now();
    stage.afresh(&["a"]).await;
    assert!(same(begin));
    // One to another name says nothing of this one.
    stage.afresh(&["b"]).await;
    stage.shared.forget(&"rails", |name| name == "b");
    assert!(same(begin));
}

/// Who is content may wait for a call that another one outruns.
#[tokio::test(start_paused = true)]
async fn what_an_outrun_call_told_is_not_what_is_known() {
    let stage = Stage::new();
    let set = |version| stage.server.version.store(version, Ordering::SeqCst);
    let millis = |count| tokio::time::sleep(Duration::from_millis(count));
    set(2);
    stage.afresh(&["a"]).await;
    millis(1000).await;
    // A pass of a sweep begins.
    let (began, since) = (stage.order.now(), Instant::now());
    let (told, _, _, _) = tokio::join!(
        stage.ask("rails", &["a"], Fresh::Since(since)),
        stage.ask("rails", &["denied"], Fresh::Since(since)),
        async {
            millis(5).await;
            stage.afresh(&["a"]).await
        },
        async {
            millis(11).await;
            set(1);
            millis(9).await;
            set(2);
        },
    );
    assert_eq!(told["a"], Ok(1), "the pass found nothing to do by this");
    let same = |same| stage.shared.are_same(&"rails", &named("a"), same);
    assert!(!same(Same::Only(since)));
    // What came later cannot tell.
    millis(1000).await;
    let later = Instant::now();
    assert_eq!(stage.afresh(&["a"]).await["a"], Ok(2));
    assert!(same(Same::AsBefore(Fresh::Since(later), began)));
    assert!(same(Same::Only(later)));
}
