use super::*;

const LIMITS: Limits = Limits {
    header_wait_max: Duration::from_secs(10),
    idle_max: Duration::from_secs(150),
    stall_max: Duration::from_secs(60),
    silence_max: Duration::from_secs(90),
    half_closed_max: Duration::from_secs(20),
    linger_max: Duration::from_secs(2),
};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// An event and its time in seconds from the beginning.
type Act = (u64, fn(&Clock));

/// Plays `acts` at their times and asserts when and why the connection times out.
async fn check(acts: &[Act], ends_at: u64, why: Overdue) {
    let begin = Instant::now();
    let clock = Clock::new(LIMITS);
    let mut overdue = clock.overdue();
    for (at, act) in acts {
        tokio::select! {
            early = &mut overdue => panic!("given up early, at {:?}: {early:?}", begin.elapsed()),
            () = tokio::time::sleep_until(begin + seconds(*at)) => act(&clock),
        }
    }
    assert_eq!(overdue.await, why);
    assert_eq!(begin.elapsed().as_secs(), ends_at);
    assert_eq!(clock.given_up(), Some(why));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_idle() {
    check(&[], 150, Overdue::Idle).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_head_begins_with_its_first_byte() {
    check(&[(100, Clock::received)], 110, Overdue::Head).await;
}

#[tokio::test(start_paused = true)]
async fn a_trickling_head_gains_no_time() {
    check(&[(100, Clock::received), (104, Clock::received), (109, Clock::received)], 110, Overdue::Head)
        .await;
}

#[tokio::test(start_paused = true)]
async fn reading_the_last_answer_gives_the_next_head_no_more_time() {
    check(&[(100, Clock::received), (109, Clock::sent)], 110, Overdue::Head).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_one_pipelined_answer_does_not_end_the_next() {
    // The second request is answered while the socket still takes the end of the first answer.
    let acts: &[Act] = &[
        (1, Clock::request_began),
        (2, Clock::request_began),
        (3, Clock::answer_ended),
        (4, Clock::received),
        (50, Clock::sent),
        (60, Clock::answer_ended),
    ];
    check(acts, 210, Overdue::Idle).await;
}

#[tokio::test(start_paused = true)]
async fn idle_time_counts_from_the_end_of_the_answer() {
    let acts: &[Act] =
        &[(1, Clock::received), (2, Clock::request_began), (30, Clock::sent), (40, Clock::answer_ended)];
    check(acts, 190, Overdue::Idle).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_progress_times_out() {
    check(&[(5, Clock::request_began)], 95, Overdue::Answer).await;
    check(&[(5, Clock::request_began), (50, Clock::sent)], 140, Overdue::Answer).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_received_during_an_answer_begin_no_head() {
    let acts: &[Act] = &[(1, Clock::request_began), (2, Clock::received), (20, Clock::answer_ended)];
    check(acts, 170, Overdue::Idle).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_has_its_time_from_the_first_refused_byte() {
    let acts: &[Act] = &[(1, Clock::request_began), (50, Clock::blocked), (70, Clock::blocked)];
    check(acts, 110, Overdue::Client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_from_time_to_time_is_served() {
    let acts: &[Act] = &[
        (1, Clock::request_began),
        (50, Clock::blocked),
        (100, Clock::sent),
        (101, Clock::blocked),
        (150, Clock::sent),
    ];
    check(acts, 240, Overdue::Answer).await;
}

#[tokio::test(start_paused = true)]
async fn an_unread_end_of_an_answer_is_not_idleness() {
    let acts: &[Act] = &[(1, Clock::request_began), (2, Clock::blocked), (3, Clock::answer_ended)];
    check(acts, 63, Overdue::Client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_its_side_open_is_dropped() {
    let acts: &[Act] = &[(1, Clock::request_began), (2, Clock::answer_ended), (3, Clock::lingering)];
    check(acts, 5, Overdue::Linger).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_even_an_answer_with_progress() {
    let acts: &[Act] = &[
        (1, Clock::request_began),
        (10, |clock| clock.stop_within(seconds(30))),
        (20, Clock::sent),
        (39, Clock::sent),
    ];
    check(acts, 40, Overdue::Drain).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_extends_no_deadline() {
    check(&[(1, Clock::received), (2, |clock| clock.stop_within(seconds(300)))], 11, Overdue::Head).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_took_all_bytes_is_idle_and_not_slow() {
    let acts: &[Act] = &[
        (1, Clock::received),
        (2, Clock::request_began),
        (3, Clock::blocked),
        (4, Clock::answer_ended),
        (5, Clock::flushed),
        // An empty flush is no progress.
        (90, Clock::flushed),
    ];
    check(acts, 155, Overdue::Idle).await;
}

#[tokio::test(start_paused = true)]
async fn t20_a_client_that_shut_its_sending_side_has_less_time_without_progress() {
    let shut: fn(&Clock) = |clock| assert!(clock.half_closed());
    check(&[(1, Clock::request_began), (5, shut)], 21, Overdue::Left).await;
    check(&[(1, Clock::request_began), (5, shut), (20, Clock::sent)], 40, Overdue::Left).await;
    // It does not read, but has not left.
    check(&[(1, Clock::request_began), (5, shut), (10, Clock::blocked)], 70, Overdue::Client).await;
}

#[tokio::test(start_paused = true)]
async fn t20_without_a_pending_answer_a_half_close_is_the_end() {
    let clock = Clock::new(LIMITS);
    assert!(!clock.half_closed() && !clock.is_answering());
    clock.request_began();
    assert!(clock.half_closed() && clock.is_answering());
}
