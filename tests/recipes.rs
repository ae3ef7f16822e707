//! The table "I want … → write …" of the README: each line is a config that checks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use wxcgi::config::fault::PlacedFault;
use wxcgi::config::load::load;

use crate::support::repository;

/// The second column of the table, a list of lines for each row.
fn recipes(readme: &str, heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(repository().join(readme)).expect("the README");
    let (_, section) = text.split_once(heading).unwrap_or_else(|| panic!("no `{heading}` in {readme}"));
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let recipe = |row: &str| {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [want, write] = cells.as_slice() else { panic!("{row}: {} columns", cells.len()) };
        assert!(!want.trim().is_empty(), "{row}: what is wanted?");
        let line = |span: &str| {
            let line = span.trim().strip_prefix('`').and_then(|span| span.strip_suffix('`'));
            line.unwrap_or_else(|| panic!("{row}: no code: {span}")).replace('\u{1}', "|")
        };
        write.split("<br>").map(line).collect()
    };
    rows.map(recipe).collect()
}

/// A whole config of a recipe, with what it leaves to others.
fn config(recipe: &[String]) -> String {
    let lines = recipe.join("\n");
    let account = "[account]\ntoken = \"mytoken\"\nadmin = [\"oMe\"]\n";
    if lines.starts_with("include") {
        return format!("{lines}\n{account}");
    }
    let header = if lines.starts_with('[') { "" } else { "[[rule]]\n" };
    let other = if lines.contains("alias = \"price\"") {
        "\n[[rule]]\nname = \"price\"\nwhen.text = \"价格\"\nreply = \"5\"\n"
    } else if lines.contains("when.session.name") {
        "\n[[rule]]\nwhen.prefix = \"我叫\"\nsession = { name = \"{{ rest }}\" }\nreply = \"好\"\n"
    } else {
        ""
    };
    format!("{account}{header}{lines}\n{other}")
}

#[test]
fn whatever_is_wanted_is_written_so_that_it_checks() {
    let ours = recipes("README.md", "### I want … → write …\n");
    assert!(ours.len() >= 30, "{} lines", ours.len());
    assert_eq!(ours, recipes("README.zh-CN.md", "### 想要…… → 就写……\n"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("our folder");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
        path
    };
    put("cat.jpg", b"\xff\xd8\xff\xe0 a cat \xff\xd9");
    put("prices.csv", "name,price\n苹果,5\n".as_bytes());
    fs::create_dir(folder.path().join("rules")).expect("our folder");
    put("rules/a.toml", "[[rule]]\nwhen.text = \"a\"\nreply = \"b\"\n".as_bytes());
    for recipe in &ours {
        let text = config(recipe);
        let path = put("wxcgi.toml", text.as_bytes());
        match load(&path) {
            Ok(loaded) => {
                let warnings: Vec<_> = loaded.warnings.iter().map(PlacedFault::for_people).collect();
                assert!(warnings.is_empty(), "{text}\n{}", warnings.join("\n"));
            }
            Err(unusable) => panic!("{text}\n{unusable:?}"),
        }
    }
}
