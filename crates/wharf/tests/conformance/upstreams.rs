//! Well-known registries, imitated as far as their behaviour is public, and the requests of each client.

use futures_util::future::join_all;
use testkit::client::{self, Response};
use testkit::{Door, Endpoint, Image, PROFILES, Played, Program, TempStore, within};

const REPOSITORY: &str = "team/app";
const TAG: &str = "1.0";
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, */*";

/// A client by the order of its requests (`docs/how-to/clients.md` has the clients).
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// HEAD of the tag, then everything by digest: containerd, dockerd with its store, BuildKit.
    HeadFirst,
    /// `/v2/`, then GET of the tag: the classic dockerd, podman, skopeo.
    PingFirst,
    /// HEAD of each blob before its GET, and the tag list: crane, regctl, oras.
    Describing,
    /// Small ranges, the end of each layer first: lazy snapshotters.
    Lazy,
}

struct Client<'a> {
    program: &'a Program,
    host: String,
}

impl Client<'_> {
    async fn ask(&self, method: &str, rest: &str, headers: &[(&str, &str)]) -> Response {
        let headers = [&[("accept", ACCEPT)], headers].concat();
        let target = format!("/v2/{rest}");
        let asked = client::request(method, self.program.address, &self.host, &target, &headers);
        within(&format!("{method} {target}"), asked).await.expect("an answer")
    }

    async fn get(&self, rest: &str) -> Response {
        self.ask("GET", rest, &[]).await
    }

    async fn pull(&self, image: &Image, habit: Habit) {
        let what = format!("{} {habit:?}", self.host);
        let tag = format!("{REPOSITORY}/manifests/{TAG}");
        let by_digest = format!("{REPOSITORY}/manifests/{}", image.digest());
        let manifest = match habit {
            Habit::HeadFirst | Habit::Lazy => {
                let head = self.ask("HEAD", &tag, &[]).await;
                assert_eq!(head.status, 200, "{what}");
                assert_eq!(head.header("docker-content-digest"), Some(image.digest()), "{what}");
                let length = image.manifest.size().to_string();
                assert_eq!(head.header("content-length"), Some(&*length), "{what}");
                self.get(&by_digest).await
            }
            Habit::PingFirst => {
                assert_eq!(self.get("").await.status, 200, "{what}");
                self.get(&tag).await
            }
            Habit::Describing => self.get(&tag).await,
        };
        assert_eq!((manifest.status, &manifest.body), (200, &image.manifest.bytes()), "{what}");
        assert_eq!(manifest.header("content-type"), Some(&*image.manifest.media_type), "{what}");
        for blob in image.blobs() {
            let target = format!("{REPOSITORY}/blobs/{}", blob.digest);
            if matches!(habit, Habit::Describing) {
                let head = self.ask("HEAD", &target, &[]).await;
                let length = blob.size().to_string();
                assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)), "{what}");
            }
            if matches!(habit, Habit::Lazy) {
                let bytes = blob.bytes();
                for (range, part) in
                    [("bytes=-100", &bytes[bytes.len() - 100..]), ("bytes=0-49", &bytes[..50])]
                {
                    let answer = self.ask("GET", &target, &[("range", range)]).await;
                    assert_eq!((answer.status, &answer.body[..]), (206, part), "{what} {range}");
                }
            }
            let answer = self.get(&target).await;
            assert!(answer.complete, "{what}");
            assert_eq!((answer.status, &answer.body), (200, &blob.bytes()), "{what}");
        }
    }

    /// Artifacts that clients look for next to an image, and that do not exist.
    async fn probe(&self, image: &Image) {
        let signature = image.digest().replace(':', "-");
        for absent in [format!("manifests/{signature}.sig"), "manifests/absent".to_owned()] {
            let answer = self.ask("HEAD", &format!("{REPOSITORY}/{absent}"), &[]).await;
            assert_eq!(answer.status, 404, "{} {absent}", self.host);
        }
        let referrers = self.get(&format!("{REPOSITORY}/referrers/{}", image.digest())).await;
        assert!([200, 404].contains(&referrers.status), "{}: {}", self.host, referrers.status);
    }
}

fn image(seed: u64) -> Image {
    Image::generated(seed, &[300_000, 5_000])
}

async fn play_all() -> Vec<(Played, Image)> {
    let played = PROFILES.iter().zip(1..).map(async |(profile, seed)| {
        let image = image(seed);
        (profile.play(REPOSITORY, TAG, &image).await, image)
    });
    join_all(played).await
}

fn start(registries: &[(Played, Image)], store: &TempStore) -> Program {
    let mut configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[storage]\nroot = \"{}\"\n\
         [log]\naccess = false\n",
        store.path().join("data").display()
    );
    configuration.extend(registries.iter().map(|(played, _)| played.block()));
    Program::configured(env!("CARGO_BIN_EXE_wharf"), store.path(), &configuration)
}

/// Cold, warm, and with every registry gone, by the habits of all clients: each byte right, and fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn every_known_registry_is_pulled_through_by_every_clients_habit() {
    for habit in [Habit::HeadFirst, Habit::PingFirst, Habit::Describing, Habit::Lazy] {
        let (registries, store) = (play_all().await, TempStore::new());
        let program = start(&registries, &store);
        let client = |played: &Played| Client {
            program: &program,
            host: format!("{}.localhost", played.profile.name),
        };
        for (played, image) in &registries {
            client(played).pull(image, habit).await;
            client(played).probe(image).await;
        }
        program.settle().await;
        let fetched = |played: &Played, image: &Image| -> u64 {
            image.blobs().map(|blob| played.holder().log().body_bytes(&blob.digest)).sum()
        };
        for (played, image) in &registries {
            let before = fetched(played, image);
            let size: u64 = image.blobs().map(|blob| blob.size()).sum();
            let most = match habit {
                // Small ranges may come a second time with the rest.
                Habit::Lazy => size + 3 * 150,
                // If HEAD is refused, the first answer for each blob gives its size.
                Habit::Describing => size + 3,
                Habit::HeadFirst | Habit::PingFirst => size,
            };
            assert!((size..=most).contains(&before), "{}: {before} of {size}", played.profile.name);
            client(played).pull(image, habit).await;
            assert_eq!(
                fetched(played, image),
                before,
                "{} {habit:?}: a warm pull fetches nothing",
                played.profile.name
            );
        }
        for (played, _) in &registries {
            for registry in played.all() {
                registry.set_door(Endpoint::Registry, Door::Refuse).await;
            }
        }
        for (played, image) in &registries {
            client(played).pull(image, habit).await;
        }
    }
}

/// The lists of registries that have them.
#[tokio::test(flavor = "multi_thread")]
async fn every_known_registry_lists_its_tags() {
    let (registries, store) = (play_all().await, TempStore::new());
    let program = start(&registries, &store);
    for (played, image) in &registries {
        let client = Client { program: &program, host: format!("{}.localhost", played.profile.name) };
        // A list before and after a pull: neither may replace the other's token.
        for _ in 0..2 {
            let tags = client.get(&format!("{REPOSITORY}/tags/list")).await;
            match played.profile.name {
                "static.corp.example" => assert_eq!(tags.status, 404),
                name => assert!(tags.status == 200 && tags.text().contains(TAG), "{name}: {}", tags.text()),
            }
            client.pull(image, Habit::HeadFirst).await;
        }
    }
}

/// Neither the login nor a token reaches a server that must not see it: content networks refuse requests with
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn no_known_registry_makes_wharf_show_a_credential_to_another_host() {
    let (registries, store) = (play_all().await, TempStore::new());
    let program = start(&registries, &store);
    for (played, image) in &registries {
        let client = Client { program: &program, host: format!("{}.localhost", played.profile.name) };
        client.pull(image, Habit::PingFirst).await;
        for registry in played.all() {
            assert!(registry.log().credentials(Endpoint::Cdn).is_empty(), "{}", played.profile.name);
        }
    }
}
