//! The arguments of `wharf import`.

use std::path::PathBuf;

use url::Url;

use crate::admin_listener::admin_url;

/// The arguments of `wharf import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// A tar archive, plain, gzip or zstd (OCI image layout, `docker save`, another wharf's export), `-` for
    /// standard input, or a directory (OCI image layout, storage directory of registry:2, containerd's root)
    pub(crate) path: PathBuf,
    /// The registry whose images they are, such as `docker.io`; not needed where the names of the images say
    /// so
    #[arg(long, value_name = "NAME")]
    pub(crate) registry: Option<String>,
    /// The admin listener of the running wharf, http://HOST:PORT; by default the one in the configuration
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    pub(crate) url: Option<Url>,
    /// Replace tags of which the store knows something newer, too
    #[arg(long)]
    pub(crate) replace_tags: bool,
    /// The names of the images in a directory that has none: a name and a digest on each line, such as the
    /// output of `ctr images list`
    #[arg(long, value_name = "FILE")]
    pub(crate) names: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}
