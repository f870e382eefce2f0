//! Identifies the client, between admission and routing.
//!
//! Clients do not authenticate yet, so the address is all that identifies one. Every later proof (a header, a
//! client certificate) becomes a variant of [`Identity`], on which `policy::access` decides.

use std::net::SocketAddr;

use policy::access::Identity;

/// Identifies the client at this address. Warm hits pass here too, so this must stay cheap.
pub(crate) fn identify(client: SocketAddr) -> Identity {
    Identity::Anonymous { address: client.ip().to_canonical() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_address_in_its_shortest_form() {
        for (client, address) in [
            ("192.0.2.7:4711", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:4711", "192.0.2.7"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
        ] {
            let expected = Identity::Anonymous { address: address.parse().unwrap() };
            assert_eq!(identify(client.parse().unwrap()), expected, "{client}");
        }
    }
}
