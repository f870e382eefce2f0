use super::*;

#[test]
fn a_switch_outweighs_the_configuration_and_the_registrys_own_the_one_for_all() {
    let table = [
        // own, all, configured: offline, source
        (None, false, false, false, Source::Configuration),
        (None, false, true, true, Source::Configuration),
        (None, true, false, true, Source::All),
        (None, true, true, true, Source::All),
        (Some(Switch::On), false, false, true, Source::Registry),
        (Some(Switch::On), true, false, true, Source::Registry),
        (Some(Switch::Off), false, true, false, Source::Registry),
        (Some(Switch::Off), true, true, false, Source::Registry),
    ];
    for (own, all, configured, is_offline, source) in table {
        assert_eq!(decide(own, all, configured), State { is_offline, source }, "{own:?} {all} {configured}");
    }
}

#[test]
fn the_newest_order_counts_and_at_the_same_time_the_one_that_closes() {
    let order = |is_on, at| OrderForAll { is_on, at };
    let table = [
        (vec![], order(false, 0)),
        (vec![order(true, 5)], order(true, 5)),
        (vec![order(true, 5), order(false, 6)], order(false, 6)),
        (vec![order(false, 6), order(true, 7), order(false, 0)], order(true, 7)),
        (vec![order(true, 7), order(false, 7)], order(true, 7)),
    ];
    for (orders, expected) in table {
        assert_eq!(newest(orders.clone()), expected, "{orders:?}");
    }
}
