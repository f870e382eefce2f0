//! A registry on loopback with one image and one referrer, which runs until Enter is pressed: an upstream for
//! wharf without a network. Prints a configuration of wharf for it, and the settings of the OCI conformance
//! suite for its content (docs/how-to/run-the-oci-conformance-suite.md).

use testkit::{Artifact, Auth, Behaviour, Endpoint, FakeRegistry, Image, Referrers};

const REPOSITORY: &str = "conformance/repo1";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let behaviour =
        Behaviour { auth: Auth::Anonymous, referrers: Referrers::Filtered, ..Behaviour::default() };
    let registry = FakeRegistry::start_with(behaviour).await;
    let image = Image::generated(1, &[300_000, 5_000_000]);
    registry.put_image(REPOSITORY, "latest", &image);
    registry
        .put_artifact(REPOSITORY, &Artifact::about(&image.manifest, "application/vnd.example.sbom", b"{}"));
    println!("# wharf.toml");
    println!("[server]\nlisten = \"127.0.0.1:5000\"\ndefault_registry = \"upstream.test\"");
    println!("[[registry]]\nname = \"upstream.test\"\nupstream = \"{}\"", registry.url());
    println!("trusted_hosts = [\"{}\"]\n", registry.host_of(Endpoint::Cdn));
    let blobs: Vec<_> = image.blobs().map(|blob| &*blob.digest).collect();
    println!("# what the suite is told");
    println!(
        "export OCI_REPO1={REPOSITORY} OCI_RO_DATA_TAGS=latest OCI_RO_DATA_MANIFESTS={}",
        image.digest()
    );
    println!("export OCI_RO_DATA_BLOBS=\"{}\" OCI_RO_DATA_REFERRERS={}", blobs.join(" "), image.digest());
    std::io::stdin().read_line(&mut String::new()).map(|_| ())
}
