//! Decides whether a registry is offline: an operator's switch outweighs the configuration.

/// An operator's order at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// No request goes to the upstream.
    On,
    /// Requests may go to the upstream, whatever the configuration says.
    Off,
}

/// The origin of a registry's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The switch of this registry.
    Registry,
    /// The switch for all registries.
    All,
    /// The configuration: no switch is set.
    Configuration,
}

/// Whether a registry is offline, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// No request goes to the upstream.
    pub is_offline: bool,
    /// The reason.
    pub source: Source,
}

/// Decides by the registry's own switch, then by whether all registries are switched offline, then by the
/// configuration. There is no switch that takes all registries online: it would open the ones that a later
/// configuration adds.
pub fn decide(own: Option<Switch>, is_all_on: bool, is_configured: bool) -> State {
    match (own, is_all_on) {
        (Some(switch), _) => State { is_offline: switch == Switch::On, source: Source::Registry },
        (None, true) => State { is_offline: true, source: Source::All },
        (None, false) => State { is_offline: is_configured, source: Source::Configuration },
    }
}

/// An order for all registries, as one store has noted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderForAll {
    /// All registries are offline.
    pub is_on: bool,
    /// The time of the order, in seconds since 1970; 0: there was none.
    pub at: u64,
}

/// Returns the newest order. Of two at the same time, the one that takes registries offline counts: an air
/// gap must not open by chance.
pub fn newest(orders: impl IntoIterator<Item = OrderForAll>) -> OrderForAll {
    orders.into_iter().max_by_key(|order| (order.at, order.is_on)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
