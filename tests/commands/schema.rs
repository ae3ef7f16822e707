//! `wxcgi schema`, as a validator of another make reads it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::Desk;
use crate::support::{available, python, repository};

/// Reads a schema and configs, and prints for each what is wrong with it.
const VALIDATOR: &str = "
import json, sys, tomllib
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
faults = []
for path in sys.argv[2:]:
    config = tomllib.load(open(path, 'rb'))
    faults.append([error.json_path + ': ' + error.message[:200] for error in validator.iter_errors(config)])
json.dump(faults, sys.stdout)
";

/// What is wrong with each config, by the schema of the program.
fn faults(desk: &Desk, configs: &[PathBuf]) -> Vec<Vec<String>> {
    let schema = desk.put("schema.json", &desk.run(["schema"]).exits(0).out);
    let output =
        Command::new(python()).args(["-c", VALIDATOR]).arg(schema).args(configs).output().expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("its own JSON")
}

/// All configs that we hand out.
fn ours(desk: &Desk) -> Vec<PathBuf> {
    let examples = fs::read_dir(repository().join("examples")).expect("the examples");
    let mut configs: Vec<_> = examples.map(|entry| entry.expect("an entry").path()).collect();
    configs.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    assert!(configs.len() >= 5, "{configs:?}");
    configs.push(desk.put("sample.toml", &desk.run(["init", "config"]).exits(0).out));
    let golden = fs::read_dir(repository().join("tests/golden/rules")).expect("the golden configs");
    configs.extend(golden.map(|folder| folder.expect("an entry").path().join("wxcgi.toml")));
    assert!(configs.len() >= 10, "{configs:?}");
    for readme in ["README.md", "README.zh-CN.md"] {
        let text = fs::read_to_string(repository().join(readme)).expect("the README");
        let config = super::block(&text, "toml");
        configs.push(desk.put(&format!("{readme}.toml"), config));
    }
    configs
}

#[test]
fn our_configs_are_valid_by_the_schema() {
    if !available("wechatpy") {
        return;
    }
    let desk = Desk::new();
    let configs = ours(&desk);
    for (config, faults) in configs.iter().zip(faults(&desk, &configs)) {
        assert_eq!(faults, [] as [String; 0], "{}", config.display());
    }
}

/// Rules in all their forms, and what `check` and the schema think of them alike.
const RULES: [(bool, &str); 30] = [
    (
        true,
        "when.field = { Label = \"a\", N = { min = 1.5 } }\nwhen.near = { latitude = 23.1, longitude = 113, radius = \"1km\" }\n\
         when.hours = [\"9:00-18:00\"]\nwhen.fold = \"script\"\nflow = \"next\"\nreply = \"a\"",
    ),
    (
        true,
        "reply = \"a\"\n[welcome]\nreply = \"b\"\n[default.image]\nreply = \"c\"\n[[blocked]]\nwords = [\"x\"]\nin = \"ignore\"",
    ),
    (false, "when.near = { latitude = 23.1 }\nreply = \"a\""),
    (false, "when.fold = \"both\"\nreply = \"a\""),
    (false, "flow = \"on\"\nreply = \"a\""),
    (false, "reply = \"a\"\nalias = \"b\""),
    (true, "reply = \"a\""),
    (true, "reply = [\"a\", { image = { media_id = \"m\" } }, [\"b\"]]"),
    (true, "reply.random = [\"a\", { weight = 2, text = \"b\" }, [\"c\"]]"),
    (true, "reply.round_robin = [\"a\", { random = [\"b\"] }]"),
    (true, "reply = { news = [{ title = \"t\", url = \"u\" }], count = \"2\" }"),
    (true, "reply.music = { thumb_media_id = \"m\", hq_music_url = \"u\" }"),
    (true, "reply.transfer = true"),
    (true, "reply.transfer = { kf_account = \"k\" }"),
    (true, "reply.none = true\nname = \"n\"\nhelp = \"h\"\npriority = -3\non_error = \"e\""),
    (
        true,
        "reply = \"a\"\n[server]\nclock_skew = \"off\"\nmax_body = \"1 MiB\"\nstatus_allow = \"10.0.0.5\"",
    ),
    (false, "reply = 7"),
    (false, "replay = \"a\""),
    (false, "name = \"no reply\""),
    (false, "reply = []"),
    (false, "reply.txt = \"a\""),
    (false, "reply = { text = \"a\", none = true }"),
    (false, "reply.none = false"),
    (false, "reply.random = \"a\""),
    (false, "reply.random = [{ weight = 2 }]"),
    (false, "reply.random = [{ weight = 0, text = \"a\" }]"),
    (false, "reply = { weight = 2, text = \"a\" }"),
    (false, "reply.news = [{ title = \"t\" }]"),
    (false, "reply = \"a\"\n[server]\nmax_body = \"much\""),
    (false, "reply = \"a\"\n[table.t]\nkey = \"k\""),
];

#[test]
fn the_schema_takes_what_check_takes() {
    if !available("wechatpy") {
        return;
    }
    let desk = Desk::new();
    let path = |number: usize| format!("{number}.toml");
    let configs: Vec<_> = RULES
        .iter()
        .enumerate()
        .map(|(number, (_, rule))| {
            let text = format!("[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.event = \"CLICK\"\n{rule}\n");
            desk.put(&path(number), &text)
        })
        .collect();
    let faults = faults(&desk, &configs);
    for (number, (is_good, rule)) in RULES.iter().enumerate() {
        assert_eq!(faults[number].is_empty(), *is_good, "{rule}: {:?}", faults[number]);
        desk.run(["check", &path(number)]).exits(if *is_good { 0 } else { 2 });
    }
}

#[test]
fn every_key_of_the_schema_is_explained() {
    let schema: Value = serde_json::from_str(&Desk::new().run(["schema"]).exits(0).out).expect("JSON");
    let mut count = 0;
    let groups = schema["definitions"].as_object().expect("definitions").values();
    for group in groups.chain([&schema]).filter_map(|group| group["properties"].as_object()) {
        for (name, key) in group {
            assert!(key["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            count += 1;
        }
    }
    assert!(count > 90, "{count} keys");
}

#[test]
fn the_sample_names_the_schema_where_taplo_looks_for_it() {
    let sample = Desk::new().run(["init", "config"]).exits(0).out.clone();
    assert_eq!(sample.lines().next(), Some("#:schema wxcgi.schema.json"));
}
