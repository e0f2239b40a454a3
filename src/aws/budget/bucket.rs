//! One token bucket: arithmetic alone, with the moment passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// What AWS allows of some operations to one account in one Region.
#[derive(Debug)]
pub(super) struct Limit {
    /// The service, as metrics name it.
    pub service: &'static str,
    /// What it is for, as metrics name it.
    pub name: &'static str,
    /// Requests at once.
    pub burst: f64,
    /// Requests a second.
    pub rate: f64,
}

/// What a throttled answer leaves of the rate.
const LOWERED: f64 = 0.7;
/// The least that throttled answers leave of it.
const LEAST: f64 = 0.1;
/// What comes back of it each time.
const RECOVERED: f64 = 0.1;
/// How long nothing must be throttled for that.
const QUIET: Duration = Duration::from_secs(10);
/// How often throttled answers lower it: those of one burst say one thing.
const OFTEN: Duration = Duration::from_secs(1);
/// A turn that is no farther off than this is waited for, whatever the rate does meanwhile.
const FAR: Duration = Duration::from_secs(300);
/// The same while the rate is lowered, and comes back by and by.
const NEAR: Duration = QUIET;
/// One less this much is one: what is added up in fractions is never exact.
const ENOUGH: f64 = 1.0 - 1e-6;
/// Whoever waits comes this much later: AWS adds up fractions too, by a clock of its own, and what it
/// throttles because it came a moment too early costs far more than that moment.
const MARGIN: Duration = Duration::from_millis(20);

/// Our part of a [`Limit`].
#[derive(Debug)]
pub(super) struct Bucket {
    limit: &'static Limit,
    /// Which part of the limit is ours, above 0 and at most 1.
    share: f64,
    /// What throttled answers have left of the rate.
    left: f64,
    tokens: f64,
    /// When `tokens` was right.
    at: Instant,
    lowered_at: Option<Instant>,
    /// When some of the rate comes back.
    better_at: Instant,
    /// Callers in the queue.
    waiting: usize,
    /// The turns that were booked and have not come yet.
    booked: BTreeMap<String, Instant>,
    /// Turns of those who got through before: nobody's any more.
    free: Vec<Instant>,
    /// The last of them.
    tail: Option<Instant>,
}

impl Bucket {
    /// A full one.
    pub fn new(limit: &'static Limit, share: f64, now: Instant) -> Self {
        let mut bucket = Self {
            limit,
            share,
            left: 1.0,
            tokens: 0.0,
            at: now,
            lowered_at: None,
            better_at: now,
            waiting: 0,
            booked: BTreeMap::new(),
            free: Vec::new(),
            tail: None,
        };
        bucket.tokens = bucket.burst();
        bucket
    }

    /// Most that is taken at once. Less than one would let nothing through.
    fn burst(&self) -> f64 {
        (self.limit.burst * self.share).max(1.0)
    }

    fn refill(&self) -> f64 {
        self.limit.rate * self.share * self.left
    }

    /// Tokens a second.
    pub fn rate(&mut self, now: Instant) -> f64 {
        self.fill(now);
        self.refill()
    }

    pub fn set_share(&mut self, share: f64, now: Instant) {
        self.fill(now);
        let before = self.refill();
        self.share = share;
        self.move_turns(before, now);
        self.tokens = self.tokens.min(self.burst());
    }

    fn fill(&mut self, now: Instant) {
        while self.left < 1.0 && self.better_at <= now {
            let before = self.refill();
            self.gain(self.better_at);
            let left = self.left + RECOVERED;
            self.left = if left < ENOUGH { left } else { 1.0 };
            self.move_turns(before, self.better_at);
            self.better_at += QUIET;
        }
        self.gain(now);
    }

    fn gain(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.refill()).min(self.burst());
        self.at = self.at.max(now);
    }

    /// Takes a token, or says how long until there is one.
    pub fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.tokens >= ENOUGH {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(self.time_for(1.0 - self.tokens) + MARGIN)
    }

    /// Takes a token that may not be there yet: whoever comes next waits for it too.
    pub fn charge(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// AWS throttled a call. Others use the limit too: what we thought was left is not there.
    pub fn throttled(&mut self, now: Instant) {
        self.fill(now);
        self.tokens = self.tokens.min(0.0);
        self.better_at = now + QUIET;
        let again = self.lowered_at.is_none_or(|before| before + OFTEN <= now);
        if again {
            let before = self.refill();
            self.lowered_at = Some(now);
            self.left = (self.left * LOWERED).max(LEAST);
            self.move_turns(before, now);
        }
    }

    /// The rate is another one from now on than before: the turns that are booked come so much
    /// sooner or later.
    fn move_turns(&mut self, before: f64, now: Instant) {
        let longer = before / self.refill();
        let turns = self.booked.values_mut().chain(&mut self.free);
        for turn in turns.chain(&mut self.tail) {
            let off = turn.saturating_duration_since(now);
            if !off.is_zero() {
                *turn =
                    now + Duration::try_from_secs_f64(off.as_secs_f64() * longer).unwrap_or(off);
            }
        }
    }

    /// A caller joins the queue.
    pub fn join(&mut self) {
        self.waiting += 1;
    }

    /// A caller leaves the queue.
    pub fn leave(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// How long a caller that joined the queue now would wait.
    pub fn ahead(&mut self, now: Instant) -> Duration {
        self.fill(now);
        // Counts of callers are small.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let wanted = self.waiting as f64 + ENOUGH;
        self.time_for(wanted - self.tokens)
    }

    /// When a caller that does not join the queue shall come back: at its turn, which is behind
    /// those that did and those that booked before, one after the other at the bucket's rate. A turn
    /// is a hint to come back then; no token is kept for it. Whoever comes too early has the turn it
    /// had, so that those who are woken often do not push the others back.
    ///
    /// A turn comes sooner where the rate rises meanwhile. So whoever waits for one that is far off
    /// comes back half way, each at a moment of its own, and few times in all.
    pub fn book(&mut self, who: &str, now: Instant) -> Duration {
        self.fill(now);
        let off = self.turn_of(who, now) - now;
        let patience = if self.left < 1.0 { NEAR } else { FAR };
        if off > patience {
            off / 2
        } else {
            off + MARGIN
        }
    }

    /// A caller got through. Where it had booked a later turn, whoever it overtook finds that one
    /// free; else each such turn would be a token that nobody takes.
    pub fn passed(&mut self, who: &str, now: Instant) {
        let turn = self.booked.remove(who);
        self.free.extend(turn.filter(|turn| *turn > now));
    }

    fn turn_of(&mut self, who: &str, now: Instant) -> Instant {
        self.booked.retain(|_, turn| *turn > now);
        if let Some(turn) = self.booked.get(who) {
            return *turn;
        }
        let earliest = now + self.ahead(now);
        self.free.retain(|turn| *turn > now);
        let free = self.free.iter().enumerate();
        let next = free
            .filter(|(_, turn)| **turn >= earliest)
            .min_by_key(|(_, turn)| **turn);
        if let Some((index, _)) = next {
            let turn = self.free.swap_remove(index);
            self.booked.insert(who.to_owned(), turn);
            return turn;
        }
        let behind = self.tail.map(|tail| tail + self.time_for(1.0));
        let turn = behind.map_or(earliest, |behind| behind.max(earliest));
        self.tail = Some(turn);
        self.booked.insert(who.to_owned(), turn);
        turn
    }

    fn time_for(&self, tokens: f64) -> Duration {
        Duration::try_from_secs_f64((tokens / self.refill()).max(0.0)).unwrap_or(Duration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: Limit = Limit {
        service: "ecs",
        name: "task_definition_writes",
        burst: 20.0,
        rate: 1.0,
    };

    fn bucket(share: f64) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(&REGISTER, share, now), now)
    }

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    fn taken(bucket: &mut Bucket, now: Instant) -> usize {
        (0..1000)
            .take_while(|_| bucket.try_take(now).is_ok())
            .count()
    }

    fn about(found: Duration, expected: f64) {
        let off = (found.as_secs_f64() - expected).abs();
        assert!(off < 0.03, "{found:?}, not {expected} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_the_rate() {
        let (mut bucket, start) = bucket(1.0);
        assert_eq!(taken(&mut bucket, start), 20);
        about(bucket.try_take(start).unwrap_err(), 1.0);
        assert_eq!(taken(&mut bucket, start + seconds(3.5)), 3);
        about(bucket.try_take(start + seconds(3.5)).unwrap_err(), 0.5);
        assert_eq!(taken(&mut bucket, start + seconds(3600.0)), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_a_part_of_both_and_lets_at_least_one_through() {
        let (mut half, start) = bucket(0.5);
        assert_eq!(taken(&mut half, start), 10);
        assert_eq!(taken(&mut half, start + seconds(4.0)), 2);
        let (mut tiny, start) = bucket(0.01);
        assert_eq!(taken(&mut tiny, start), 1);
        about(tiny.try_take(start).unwrap_err(), 100.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_share_holds_at_once() {
        let (mut bucket, start) = bucket(1.0);
        bucket.set_share(0.25, start);
        assert_eq!(taken(&mut bucket, start), 5);
        about(bucket.try_take(start).unwrap_err(), 4.0);
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_answers_lower_the_rate_once_a_second_and_not_to_nothing() {
        let (mut bucket, start) = bucket(0.5);
        for _ in 0..5 {
            bucket.throttled(start);
        }
        assert!((bucket.rate(start) - 0.35).abs() < 1e-9);
        assert_eq!(taken(&mut bucket, start), 0, "what was left is not there");
        for second in 1..30 {
            bucket.throttled(start + seconds(f64::from(second)));
        }
        let least = bucket.rate(start + seconds(30.0));
        assert!((least - 0.05).abs() < 1e-9, "{least}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_comes_back_by_a_tenth_each_ten_quiet_seconds() {
        let (mut bucket, start) = bucket(1.0);
        bucket.throttled(start);
        let mut rate = |at: f64| (bucket.rate(start + seconds(at)) * 1000.0).round();
        assert_eq!(rate(9.9), 700.0);
        assert_eq!(rate(10.0), 800.0);
        assert_eq!(rate(29.9), 900.0);
        assert_eq!(rate(30.0), 1000.0);
        assert_eq!(rate(300.0), 1000.0);
        // One throttled call more, and the ten seconds begin anew.
        bucket.throttled(start + seconds(300.0));
        bucket.throttled(start + seconds(309.0));
        assert!(bucket.rate(start + seconds(318.0)) < 0.5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_charged_is_waited_for_by_others() {
        let (mut bucket, start) = bucket(1.0);
        assert_eq!(taken(&mut bucket, start), 20);
        bucket.charge(start);
        bucket.charge(start);
        about(bucket.try_take(start).unwrap_err(), 3.0);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_spaced_at_the_rate_behind_those_who_wait() {
        let (mut bucket, start) = bucket(0.5);
        assert_eq!(taken(&mut bucket, start), 10);
        for _ in 0..5 {
            bucket.join();
        }
        about(bucket.book("a", start), 12.0);
        about(bucket.book("b", start), 14.0);
        about(bucket.book("c", start), 16.0);
        // Whoever asks again has the same turn, and the next one is not pushed back.
        about(bucket.book("b", start + seconds(4.0)), 10.0);
        about(bucket.book("d", start + seconds(4.0)), 14.0);
        // Turns that have passed are nobody's any more.
        for _ in 0..5 {
            bucket.leave();
        }
        let later = start + seconds(100.0);
        assert_eq!(taken(&mut bucket, later), 10);
        about(bucket.book("a", later), 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_overtaken_has_the_turn_of_the_other() {
        let (mut bucket, start) = bucket(1.0);
        assert_eq!(taken(&mut bucket, start), 20);
        for waiter in ["a", "b", "c", "d"] {
            bucket.book(waiter, start);
        }
        // c is woken early and takes the token that a comes for a moment later.
        let later = start + seconds(1.03);
        assert!(bucket.try_take(later).is_ok());
        bucket.passed("c", later);
        about(bucket.book("a", later), 1.99);
        // Who comes anew is behind all of them.
        about(bucket.book("e", later), 3.99);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_nearer_when_the_rate_comes_back() {
        let (mut bucket, start) = bucket(1.0);
        for second in 0..30 {
            bucket.throttled(start + seconds(f64::from(second)));
        }
        // A tenth of the rate: ten seconds each.
        let lowered = start + seconds(29.0);
        for waiter in 0..60 {
            bucket.book(&waiter.to_string(), lowered);
        }
        // The last one's turn would be in 600 s. It is sent away for half of that only.
        about(bucket.book("59", lowered), 300.0);
        about(bucket.book("0", lowered), 10.0);
        // After 90 s without a throttled answer all of the rate is there again. 45 tokens have come,
        // and those who wait are as much nearer.
        let recovered = start + seconds(119.0);
        about(bucket.book("59", recovered), 15.0);
        about(bucket.book("58", recovered), 14.0);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_move_with_the_share() {
        let (mut bucket, start) = bucket(0.5);
        assert_eq!(taken(&mut bucket, start), 10);
        for waiter in ["a", "b", "c"] {
            bucket.book(waiter, start);
        }
        bucket.set_share(1.0, start);
        about(bucket.book("c", start), 3.0);
        about(bucket.book("d", start), 4.0);
        bucket.set_share(0.25, start);
        about(bucket.book("c", start), 12.0);
        about(bucket.book("e", start), 20.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_far_off_is_looked_after_half_way() {
        let (mut bucket, start) = bucket(1.0);
        assert_eq!(taken(&mut bucket, start), 20);
        let waiters = 0..1000;
        let told: Vec<Duration> = waiters
            .map(|waiter| bucket.book(&waiter.to_string(), start))
            .collect();
        about(told[250], 251.0);
        about(told[999], 500.0);
        // Never many at once.
        let within = |second: u64| {
            let came = told.iter().filter(|after| after.as_secs() == second);
            came.count()
        };
        assert!((0..=500).all(|second| within(second) <= 3));
        // Its place is kept.
        about(bucket.book("999", start + seconds(500.0)), 250.0);
        about(bucket.book("999", start + seconds(750.0)), 250.0);
    }
}
