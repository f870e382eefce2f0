//! Who asks: the stage between admitting a request and serving it.
//!
//! A client proves nothing yet, so its address is all there is. What will be read here of a request (a header, the
//! certificate of its connection) becomes a variant of [`Identity`], and `policy::access` decides on it.

use std::net::SocketAddr;

use policy::access::Identity;

/// The client behind a request that came from this address. Cheap: the warm hit of a small blob passes here too.
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
