//! The table "I want … → write …" of the README: each line is a config that checks, and does what is wanted.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use wxcgi::config::fault::PlacedFault;
use wxcgi::config::load::load;

use crate::support::{program, repository};

/// A row of the table: what is wanted, and the lines that are written.
type Recipe = (String, Vec<String>);

fn recipes(readme: &str, heading: &str) -> Vec<Recipe> {
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
        (want.trim().to_owned(), write.split("<br>").map(line).collect())
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
    let (before, behind) = if lines.contains("alias = \"price\"") {
        ("", "[[rule]]\nname = \"price\"\nwhen.text = \"价格\"\nreply = \"5\"\n")
    } else if lines.contains("when.session.name") {
        ("", "[[rule]]\nwhen.prefix = \"我叫\"\nsession = { name = \"{{ rest }}\" }\nreply = \"好\"\n")
    } else if lines.contains("priority = 10\n") {
        ("[[rule]]\nwhen.regex = '到哪'\nreply = \"在路上\"\n", "")
    } else if lines.contains("flow = \"next\"") {
        ("", "[default]\nreply = \"好的\"\n")
    } else {
        ("", "")
    };
    format!("{account}{before}{header}{lines}\n{behind}")
}

/// A folder with all that the recipes speak of.
struct Kitchen(TempDir);

impl Kitchen {
    fn new() -> Self {
        let kitchen = Self(tempfile::tempdir().expect("a temporary folder"));
        for folder in ["rules", "tests"] {
            fs::create_dir(kitchen.0.path().join(folder)).expect("our folder");
        }
        kitchen.put("cat.jpg", b"\xff\xd8\xff\xe0 a cat \xff\xd9");
        kitchen.put("prices.csv", "name,price\n苹果,5\n".as_bytes());
        kitchen.put("rules/a.toml", b"[[rule]]\nwhen.text = \"a\"\nreply = \"b\"\n");
        kitchen
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("our folder");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
        path
    }

    fn serve(&self, recipe: &[String]) -> PathBuf {
        self.put("wxcgi.toml", config(recipe).as_bytes())
    }
}

#[test]
fn whatever_is_wanted_is_written_so_that_it_checks() {
    let ours = recipes("README.md", "### I want … → write …\n");
    assert!(ours.len() >= 30, "{} lines", ours.len());
    let written = |recipes: &[Recipe]| recipes.iter().map(|(_, write)| write.clone()).collect::<Vec<_>>();
    assert_eq!(written(&ours), written(&recipes("README.zh-CN.md", "### 想要…… → 就写……\n")));
    let kitchen = Kitchen::new();
    for (want, recipe) in &ours {
        match load(&kitchen.serve(recipe)) {
            Ok(loaded) => {
                let warnings: Vec<_> = loaded.warnings.iter().map(PlacedFault::for_people).collect();
                assert!(warnings.is_empty(), "{want}\n{}", warnings.join("\n"));
            }
            Err(unusable) => panic!("{want}\n{unusable:?}"),
        }
    }
}

/// The blocks of TOML in a README.
fn blocks(readme: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join(readme)).expect("the README");
    let blocks = text.split("\n```toml\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_rules_that_the_readmes_show_are_one_config() {
    for readme in ["README.md", "README.zh-CN.md"] {
        let blocks = blocks(readme);
        let of_rules = |block: &&String| {
            ["[[rule]]", "[table.", "[[menu.button]]"].iter().any(|header| block.starts_with(header))
        };
        let rules: Vec<_> = blocks.iter().filter(of_rules).map(String::as_str).collect();
        assert_eq!(rules.len(), 7, "{readme}");
        let kitchen = Kitchen::new();
        kitchen.put("prices.csv", "name,price,unit\n苹果,5.50,斤\n".as_bytes());
        kitchen.put("deepseek.key", b"sk-0123456789abcdef");
        kitchen.put("bot-secret", b"0123456789abcdef");
        let config = format!("[account]\ntoken = \"mytoken\"\n{}\n", rules.join("\n"));
        let path = kitchen.put("wxcgi.toml", config.as_bytes());
        let loaded = load(&path).unwrap_or_else(|unusable| panic!("{readme}: {unusable:?}"));
        assert_eq!(loaded.warnings, [], "{readme}");
        kitchen.put(
            "tests/a.toml",
            &fs::read(repository().join("tests/golden/readme.toml")).expect("the tests"),
        );
        passes(&path, readme);
    }
}

#[test]
fn each_reply_that_the_readmes_show_is_one() {
    for readme in ["README.md", "README.zh-CN.md"] {
        let blocks = blocks(readme);
        let replies = blocks.iter().find(|block| block.starts_with("reply = \"")).expect("the replies");
        assert!(replies.lines().count() > 10, "{readme}: {replies}");
        let kitchen = Kitchen::new();
        kitchen.put("cover.jpg", b"\xff\xd8\xff\xe0 a cover \xff\xd9");
        for reply in replies.lines() {
            let reply = reply.replace("[ … ]", "[{ title = \"t\", url = \"https://example.com/\" }]");
            let path = kitchen.serve(&["when.event = \"CLICK\"".to_owned(), reply.replace("rest", "openid")]);
            if let Err(unusable) = load(&path) {
                panic!("{readme}: {reply}: {unusable:?}");
            }
        }
    }
}

/// What a line is to the structure of a page.
fn outline(line: &str) -> String {
    let words = line.split(' ').next().unwrap_or_default();
    match words.chars().next() {
        None => "nothing".to_owned(),
        Some('#' | '`') if words.starts_with("```") || words.trim_matches('#').is_empty() => words.to_owned(),
        Some('|') => format!("a row of {}", line.replace("\\|", "").matches('|').count()),
        Some(_) => "a line".to_owned(),
    }
}

#[test]
fn the_readmes_have_the_same_structure_line_for_line() {
    let outlines = |readme: &str| {
        let text = fs::read_to_string(repository().join(readme)).expect("the README");
        text.lines().map(outline).collect::<Vec<_>>()
    };
    let (ours, theirs) = (outlines("README.md"), outlines("README.zh-CN.md"));
    for (number, (ours, theirs)) in (1..).zip(ours.iter().zip(&theirs)) {
        assert_eq!(ours, theirs, "line {number}");
    }
    assert_eq!(ours.len(), theirs.len());
}

/// The golden tests of each recipe, below a comment that says what is wanted.
fn goldens() -> Vec<(String, String)> {
    let path = repository().join("tests/golden/recipes.toml");
    let text = fs::read_to_string(path).expect("the golden tests");
    let sections = text.strip_prefix("# ").expect("a comment").split("\n# ");
    let named = sections.map(|section| section.split_once('\n').expect("tests below the comment"));
    named.map(|(want, tests)| (want.to_owned(), tests.to_owned())).collect()
}

fn passes(config: &Path, want: &str) {
    let ran = Command::new(program()).args(["test", "--config"]).arg(config).output().expect("it runs");
    let told = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{want}\n{}", String::from_utf8_lossy(&told));
}

#[test]
fn whatever_is_written_does_what_is_wanted() {
    let (ours, goldens) = (recipes("README.md", "### I want … → write …\n"), goldens());
    let wanted: Vec<_> = ours.iter().map(|(want, _)| want).collect();
    assert_eq!(wanted, goldens.iter().map(|(want, _)| want).collect::<Vec<_>>());
    let kitchen = Kitchen::new();
    for ((want, recipe), (_, tests)) in ours.iter().zip(&goldens) {
        // A menu answers nobody.
        if recipe[0] == "[[menu.button]]" {
            continue;
        }
        kitchen.put("tests/a.toml", tests.as_bytes());
        passes(&kitchen.serve(recipe), want);
    }
}
