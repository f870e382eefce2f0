use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, Draft, SchemaIndex, Schemas};

use super::*;
use crate::config::Config;

/// The schema, compiled by a validator that first checks it against draft-07.
struct Compiled {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Compiled {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(Draft::V7);
        compiler.add_resource("wharf.schema.json", schema()).unwrap();
        let index = compiler.compile("wharf.schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn accepts(&self, toml: &str) -> Result<(), String> {
        let table: toml::Table = toml.parse().expect("the text is TOML");
        let value = json_of(&toml::Value::Table(table));
        self.schemas.validate(&value, self.index).map_err(|error| error.to_string())
    }
}

fn json_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(date) => json!(date.to_string()),
        toml::Value::Array(values) => values.iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect())
        }
    }
}

/// Every `wharf.toml` below these directories.
fn configurations() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directories = ["examples", "deploy"].into_iter().flat_map(|it| fs::read_dir(root.join(it)).unwrap());
    let files = directories.map(|entry| entry.unwrap().path().join("wharf.toml"));
    files.filter(|path| path.is_file()).collect()
}

#[test]
fn the_schema_accepts_every_configuration_that_there_is() {
    let compiled = Compiled::new();
    let paths = configurations();
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        let accepted = compiled.accepts(&fs::read_to_string(&path).unwrap());
        assert_eq!(accepted, Ok(()), "{}", path.display());
    }
    assert_eq!(compiled.accepts(include_str!("../config/builtin.toml")), Ok(()));
    assert_eq!(compiled.accepts(""), Ok(()));
}

/// The texts that wharf accepts for these keys, and whether an editor accepts them.
#[test]
fn the_schema_takes_and_refuses_what_the_program_does() {
    let compiled = Compiled::new();
    let registry = "[[registry]]\nname = \"ghcr.io\"\n";
    for (text, is_right) in [
        ("[server]\nlisten = \"0.0.0.0:5000\"\n", true),
        ("[server]\nlisten = [\"0.0.0.0:5000\", \"[::1]:5000\"]\n", true),
        ("[server]\nlisten = 5000\n", false),
        ("[server]\nlisten = \"5000\"\n", false),
        ("[server]\nlisten = \"localhost:5000\"\n", false),
        ("[server]\nlistn = \"0.0.0.0:5000\"\n", false),
        ("[server]\ndomain = \"registry.example.com\"\n", true),
        ("[server]\ndomain = \"${A:-}\"\n", true),
        ("[server]\ndomain = \"\"\n", true),
        ("[server]\ndomain = \"http://registry.example.com\"\n", false),
        ("[server]\ndomain = [\"registry.example.com\"]\n", false),
        ("[server]\ndefault_registry = \"off\"\n", true),
        ("[server]\nshutdown_grace = \"1h30m\"\n", true),
        ("[server]\nshutdown_grace = \"0s\"\n", true),
        ("[server]\nshutdown_grace = 60\n", false),
        ("[server]\nshutdown_grace = \"60\"\n", false),
        ("[server]\nsendfile = false\n", true),
        ("[server]\nsendfile = \"no\"\n", false),
        ("[server]\nanswer_count_max = 1\n", true),
        ("[server]\nanswer_count_max = 0\n", false),
        ("[server]\nbody_bytes_max = 16_777_216\n", true),
        ("[server]\nbody_bytes_max = 16_777_215\n", false),
        ("[admin]\nlisten = \"off\"\n", true),
        ("[admin]\nlisten = \"of\"\n", false),
        ("[storage]\nroot = \"~/wharf\"\n", false),
        ("[storage]\nroot = \"./~x\"\n", true),
        ("[storage]\nroot = \"${HOME}/wharf\"\n", true),
        ("[storrage]\nroot = \"/srv\"\n", false),
        ("[log]\nlevel = \"debug\"\n", true),
        ("[log]\nlevel = \"${LEVEL:-info}\"\n", true),
        ("[log]\nlevel = \"loud\"\n", false),
        ("[defaults]\ntag_ttl = \"forever\"\n", true),
        ("[defaults]\ntag_ttl = \"5 minutes\"\n", false),
        ("[defaults]\nidle_timeout = \"0s\"\n", false),
        ("[defaults]\nidle_timeout = \"0m10s\"\n", true),
        ("[defaults]\nidle_timeout = \"forever\"\n", false),
        ("[defaults]\nconnections_max = 1001\n", false),
        ("[defaults]\non_upstream_404 = \"500\"\n", false),
        ("[defaults]\nproxy = \"socks5://u:p@proxy:1\"\n", true),
        ("[defaults]\nproxy = \"ftp://proxy\"\n", false),
        ("[defaults]\nno_proxy = [\"corp.example\", \"10.0.0.0/8\", \"[fd00::1]:443\"]\n", true),
        ("[defaults]\nno_proxy = [\"https://corp.example?\"]\n", false),
        ("[defaults]\nname = \"ghcr.io\"\n", false),
        ("[[registry]]\nname = \"[fd00::1]:5000\"\n", true),
        ("[[registry]]\nname = \"https://ghcr.io\"\n", false),
        ("[[registry]]\nname = 5\n", false),
        ("[[registry]]\ntag_ttl = \"5m\"\n", false),
        ("[registry.foo]\n", false),
        ("registry = []\n", false),
    ] {
        let accepted = compiled.accepts(text);
        assert_eq!(accepted.is_ok(), is_right, "{text}: {accepted:?}");
        let parsed = Config::parse("wharf.toml", text, &|name| (name == "HOME").then(|| "/root".to_owned()));
        assert_eq!(parsed.is_ok(), is_right, "the program differs: {text}: {parsed:?}");
    }
    for (text, is_right) in [
        ("upstream = \"https://10.0.0.5:8443/v2/hub\"\n", true),
        ("upstream = \"https://u:p@ghcr.io\"\n", false),
        ("upstream = \"ghcr.io\"\n", false),
        ("aliases = \"hub\"\n", true),
        ("trusted_hosts = [\"auth.corp.example\", \"10.1.2.3:9000\"]\n", true),
        ("trusted_hosts = [\"https://auth.example\"]\n", false),
        ("colour = \"green\"\n", false),
    ] {
        let accepted = compiled.accepts(&format!("{registry}{text}"));
        assert_eq!(accepted.is_ok(), is_right, "{text}: {accepted:?}");
    }
}

#[test]
fn the_schema_has_a_description_and_a_default_for_each_key() {
    let schema = schema();
    let property = |path: &str| {
        let pointer = format!("/properties/{}", path.replace('.', "/properties/"));
        schema.pointer(&pointer).unwrap_or_else(|| panic!("{path}")).clone()
    };
    for section in SECTIONS.iter().filter(|section| section.name != "registry") {
        for key in section.keys() {
            let property = property(&format!("{}.{}", section.name, key.name()));
            let description = property["description"].as_str().unwrap();
            assert!(
                description.len() > 10 && !description.contains('`') && !description.contains("]("),
                "{description}"
            );
        }
    }
    assert_eq!(property("server.listen")["default"], json!(["0.0.0.0:5000"]));
    assert_eq!(property("server.sendfile")["default"], json!(true));
    assert_eq!(property("server.connection_count_max")["default"], json!(10_000));
    assert_eq!(property("defaults.header_timeout")["default"], json!("10s"));
    assert_eq!(property("log.level")["anyOf"][0]["enum"], json!(["error", "warn", "info", "debug", "trace"]));
    let names = schema["properties"]["registry"]["items"]["properties"].as_object().unwrap();
    assert!(names.len() > 20 && names.contains_key("name"), "{names:?}");
    assert_eq!(schema["properties"]["registry"]["items"]["required"], json!(["name"]));
}
