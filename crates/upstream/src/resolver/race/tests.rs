use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use testkit::FakeRegistry;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::{Race, WINNER_TTL, alternating};
use crate::clients::ClientPair;
use crate::settings::Settings;
use crate::tls;

const NAME: &str = "several.test";
const ALIVE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn race(port: u16) -> Race {
    Race {
        ports: HashMap::from([(NAME.to_owned(), port)]),
        only: None,
        port_default: 443,
        winners: Mutex::default(),
    }
}

/// An address that neither takes a connection nor refuses it, as one behind a black hole: its queue is full.
struct BlackHole {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            queued.push(connected.unwrap());
            assert!(queued.len() < 100, "the queue does not fill");
        }
        Self { _listener: listener, _queued: queued }
    }
}

#[tokio::test]
async fn f21_the_address_that_answers_goes_before_a_black_hole() {
    let alive = TcpListener::bind((ALIVE, 0)).await.unwrap();
    let port = alive.local_addr().unwrap().port();
    let _hole = BlackHole::at((DEAD, port).into()).await;
    let race = race(port);
    let started = Instant::now();
    assert_eq!(race.order(NAME, vec![DEAD, ALIVE]).await, [ALIVE, DEAD]);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(250), "the first had its turn: {took:?}");
    assert!(took < Duration::from_millis(900), "{took:?}");
    // Remembered: nobody listens any more, and it is not even tried.
    drop(alive);
    let started = Instant::now();
    assert_eq!(race.order(NAME, vec![DEAD, ALIVE]).await, [ALIVE, DEAD]);
    assert!(started.elapsed() < Duration::from_millis(250));
}

#[tokio::test]
async fn names_that_a_socks_proxy_connects_to_are_not_connected_to_from_here() {
    let alive = TcpListener::bind((ALIVE, 0)).await.unwrap();
    let mut settings = Settings::new("corp", "https://registry.example".parse().unwrap());
    settings.trusted_hosts = vec![format!("{NAME}:{}", alive.local_addr().unwrap().port())];
    for (proxy, expected) in
        [("socks5://127.0.0.1:1080", [DEAD, ALIVE]), ("http://127.0.0.1:3128", [ALIVE, DEAD])]
    {
        let race = Race::new(&settings, &[proxy.parse().unwrap()]);
        assert_eq!(race.order(NAME, vec![DEAD, ALIVE]).await, expected, "{proxy}");
    }
}

#[tokio::test]
async fn f21_an_address_that_refuses_costs_no_delay() {
    let alive = TcpListener::bind((ALIVE, 0)).await.unwrap();
    let race = race(alive.local_addr().unwrap().port());
    let started = Instant::now();
    assert_eq!(race.order(NAME, vec![DEAD, ALIVE]).await, [ALIVE, DEAD]);
    assert!(started.elapsed() < Duration::from_millis(250));
}

#[tokio::test]
async fn f21_when_no_address_answers_they_stay_in_order() {
    let race = race(1);
    assert_eq!(race.order(NAME, vec![DEAD, ALIVE]).await, [DEAD, ALIVE]);
    assert_eq!(race.remembered(NAME), Some(DEAD), "the next connection does not pay for a race again");
    assert_eq!(race.order(NAME, vec![DEAD]).await, [DEAD]);
}

#[tokio::test(start_paused = true)]
async fn f21_a_winner_is_remembered_until_it_no_longer_answers() {
    let race = race(1);
    race.remember(NAME, ALIVE);
    tokio::time::advance(WINNER_TTL - Duration::from_millis(1)).await;
    assert_eq!(race.remembered(NAME), Some(ALIVE));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(race.remembered(NAME), None);
    race.remember(NAME, ALIVE);
    race.forget(NAME);
    assert_eq!(race.remembered(NAME), None);
    for number in 0..1000 {
        race.remember(&number.to_string(), ALIVE);
    }
    assert!(race.lock().len() <= super::WINNER_COUNT_MAX);
}

#[test]
fn f21_families_take_turns() {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let given = parse(&["::1", "::2", "::3", "1.1.1.1", "2.2.2.2"]);
    assert_eq!(alternating(&given), parse(&["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]));
}

#[test]
fn f21_the_ports_are_those_of_the_configuration() {
    let mut settings = Settings::new("test", "https://registry.test".parse().unwrap());
    settings.trusted_hosts = vec!["minio.test:9000".to_owned(), "auth.test".to_owned()];
    let proxies = ["http://proxy.test:3128".parse().unwrap()];
    let race = Race::new(&settings, &proxies);
    let wanted = [("registry.test", 443), ("minio.test", 9000), ("proxy.test", 3128)];
    assert_eq!(race.ports, wanted.map(|(host, port)| (host.to_owned(), port)).into());
    assert_eq!(race.port_default, 443);
    let settings = Settings::new("test", "http://registry.test:5000".parse().unwrap());
    assert_eq!(Race::new(&settings, &[]).port_default, 80, "hosts beside it speak as it does");
}

/// A name with a dead and a living address, raced or not.
#[derive(Clone)]
struct Several(Option<Arc<Race>>);

impl Resolve for Several {
    fn resolve(&self, name: Name) -> Resolving {
        let race = self.0.clone();
        Box::pin(async move {
            let addresses = match race {
                Some(race) => race.order(name.as_str(), vec![DEAD, ALIVE]).await,
                None => vec![DEAD, ALIVE],
            };
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[tokio::test]
async fn f21_a_request_goes_around_a_black_hole_within_a_moment() {
    let registry = FakeRegistry::start().await;
    let port = registry.address_of(testkit::Endpoint::Registry).port();
    let _hole = BlackHole::at((DEAD, port).into()).await;
    let mut settings = Settings::new("test", format!("http://{NAME}:{port}").parse().unwrap());
    settings.connect_timeout = Duration::from_secs(4);
    let roots = tls::Authorities::load().and(&[]).unwrap();
    let mut took = Vec::new();
    for race in [Some(Arc::new(Race::new(&settings, &[]))), None] {
        let resolver = Several(race);
        let build = |builder: reqwest::ClientBuilder| builder.dns_resolver(resolver.clone());
        let pair = ClientPair::new(&settings, &tls::verified(&roots), build).unwrap();
        let started = Instant::now();
        let answer = pair.pooled.get(format!("http://{NAME}:{port}/v2/")).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        took.push(started.elapsed());
    }
    assert!(took[0] < Duration::from_secs(1), "{took:?}");
    assert!(took[1] > Duration::from_secs(1), "without the race the hole is waited for: {took:?}");
}
