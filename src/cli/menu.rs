//! `wxcgi menu`: the live menu against the config's.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::{ConfigArg, Failure, print, print_line};
use crate::api::check::{Given, Severity, check};
use crate::api::endpoint::{Endpoint, Repeat};
use crate::api::table::endpoint;
use crate::api::{Api, ApiError, Call};
use crate::config::fault::PlacedFault;
use crate::wechat::menu::{Button, ConditionalMenu, Menus, menu_json};

/// `menu/get` and `menu/delete`: there is no menu.
const NO_MENU: i64 = 46003;
/// `menu/delconditional`: that menu is gone already.
const NO_CONDITIONAL_MENU: i64 = 65301;

/// More than any menu, bytes.
const MAX_FILE: u64 = 1 << 20;

const WHEN_SEEN: &str = "followers see it when they next open the account, at the latest five minutes after their \
                         phone last asked; to see it at once, unfollow and follow again";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi menu diff
  wxcgi menu push --dry-run
  wxcgi menu push --backup before.json")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the menu that followers have now, also one that was made in WeChat's console
    Show {
        #[command(flatten)]
        config: ConfigArg,
        /// Print WeChat's own answer
        #[arg(long)]
        json: bool,
    },
    /// Show what `push` would change
    Diff {
        #[command(flatten)]
        config: ConfigArg,
        /// End with 1 if there is a difference
        #[arg(long)]
        exit_code: bool,
        /// Print an object for a program: same, live, config
        #[arg(long)]
        json: bool,
    },
    /// Make the live menu that of the config
    Push {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        change: Change,
        /// Also with keys that no rule answers, and if nothing differs
        #[arg(long)]
        force: bool,
    },
    /// Write the live menu into a file that `restore` takes
    Backup {
        #[command(flatten)]
        config: ConfigArg,
        /// The file; `-` is stdout
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Make the live menu that of a file
    Restore {
        #[command(flatten)]
        config: ConfigArg,
        /// A file of `backup`; `-` is stdin
        file: PathBuf,
        #[command(flatten)]
        change: Change,
    },
    /// Delete the live menu, and those for some followers with it
    Delete {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        change: Change,
    },
}

/// How something at WeChat is changed.
#[derive(Debug, clap::Args)]
struct Change {
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// First write what there is now into this file
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Show { config, json } => show(&config.api()?, *json),
        Command::Diff { config, exit_code, json } => diff(config, *exit_code, *json),
        Command::Push { config, change, force } => push(config, change, *force),
        Command::Backup { config, file } => backup(&Live::read(&config.api()?)?, file),
        Command::Restore { config, file, change } => {
            let menus = read_backup(file)?;
            replace(&config.api()?, &menus, change, false)
        }
        Command::Delete { config, change } => delete(&config.api()?, change),
    }
}

fn show(api: &Api, as_json: bool) -> Result<(), Failure> {
    let live = Live::read(api)?;
    if as_json {
        return print_line(&live.document.to_string());
    }
    if live.menus == Menus::default() {
        return print_line("there is no menu");
    }
    if !live.made_by_api() {
        print_line("made in WeChat's console; `push` replaces it:")?;
    }
    print_lines(&live.menus.lines())
}

fn diff(config: &ConfigArg, exit_code: bool, as_json: bool) -> Result<(), Failure> {
    let (wanted, _) = wanted(config)?;
    let live = Live::read(&config.api()?)?.menus;
    let (before, after) = (live.lines(), wanted.lines());
    let is_same = before == after;
    if as_json {
        print_line(&json!({ "same": is_same, "live": before, "config": after }).to_string())?;
    } else if is_same {
        print_line("the live menu is that of the config")?;
    } else {
        print_difference(&before, &after)?;
    }
    if exit_code && !is_same { Err(Failure::Failed(String::new())) } else { Ok(()) }
}

fn push(config: &ConfigArg, change: &Change, force: bool) -> Result<(), Failure> {
    let (wanted, unanswered) = wanted(config)?;
    for warning in &unanswered {
        let _ = writeln!(std::io::stderr(), "wxcgi: {}", warning.for_people());
    }
    if !unanswered.is_empty() && !force {
        let why = "a tap on such a button would show nothing; write the rules, or push with --force";
        return Err(Failure::Failed(why.to_owned()));
    }
    replace(&config.api()?, &wanted, change, force)
}

/// Makes the live menu `wanted`.
fn replace(api: &Api, wanted: &Menus, change: &Change, force: bool) -> Result<(), Failure> {
    let live = Live::read(api)?;
    let steps = steps(&live, wanted, force);
    if steps.is_empty() {
        return print_line("nothing to change: the live menu is that already");
    }
    // Before the first step: half a menu helps nobody.
    let faults: Vec<_> = steps.iter().flat_map(Step::faults).collect();
    if !faults.is_empty() {
        return Err(Failure::Usage(format!("the menu would be refused:\n  {}", faults.join("\n  "))));
    }
    print_difference(&live.menus.lines(), &wanted.lines())?;
    carry_out(api, &live, &steps, change)?;
    if change.dry_run { Ok(()) } else { print_line(&format!("done; {WHEN_SEEN}")) }
}

fn delete(api: &Api, change: &Change) -> Result<(), Failure> {
    let live = Live::read(api)?;
    if live.menus == Menus::default() {
        return print_line("there is no menu");
    }
    print_difference(&live.menus.lines(), &[])?;
    carry_out(api, &live, &[Step::Delete], change)?;
    if change.dry_run { Ok(()) } else { print_line(&format!("deleted; {WHEN_SEEN}")) }
}

/// The menus of the config, and the warnings about keys that nobody answers.
fn wanted(config: &ConfigArg) -> Result<(Menus, Vec<PlacedFault>), Failure> {
    let (path, loaded) = config.load()?;
    let menus = loaded.config.menus.ok_or_else(|| {
        let path = path.display();
        Failure::Usage(format!("{path} has no menu; write one to three tables [[menu.button]]"))
    })?;
    let is_unanswered = |fault: &PlacedFault| fault.message.starts_with("no rule answers the key");
    Ok((menus, loaded.warnings.into_iter().filter(is_unanswered).collect()))
}

/// The menus that followers have now.
struct Live {
    menus: Menus,
    /// WeChat's answers: `menu_get` if there is a menu made by the API, and `current_selfmenu_info`.
    document: Value,
}

impl Live {
    fn read(api: &Api) -> Result<Self, Failure> {
        let by_api = unless_refused(api.call(&Call::get("/cgi-bin/menu/get", &[])), NO_MENU)?;
        if let Some(answer) = by_api {
            return Ok(Self {
                menus: Menus::from_menu_get(&answer),
                document: json!({ "menu_get": answer }),
            });
        }
        let answer = api.call(&Call::get("/cgi-bin/get_current_selfmenu_info", &[]))?;
        let menus = Menus::from_selfmenu(&answer);
        Ok(Self { menus, document: json!({ "current_selfmenu_info": answer }) })
    }

    fn made_by_api(&self) -> bool {
        self.document.get("menu_get").is_some()
    }
}

/// Something that changes the live menu.
enum Step<'m> {
    Create(&'m [Button]),
    DeleteConditional(&'m str),
    AddConditional(&'m ConditionalMenu),
    Delete,
}

/// What makes `live` the same as `wanted`. A conditional menu cannot be changed, and WeChat tries the newest first: where
/// one differs, all are made anew, the last first.
fn steps<'m>(live: &'m Live, wanted: &'m Menus, force: bool) -> Vec<Step<'m>> {
    let mut steps = Vec::new();
    if force || !live.made_by_api() || live.menus.default != wanted.default {
        steps.push(Step::Create(&wanted.default));
    }
    let (before, after) = (&live.menus.conditional, &wanted.conditional);
    let are_same = before.len() == after.len() && before.iter().zip(after).all(|(a, b)| a.is_same(b));
    if force || !are_same {
        steps.extend(before.iter().filter_map(|menu| menu.id.as_deref()).map(Step::DeleteConditional));
        steps.extend(after.iter().rev().map(Step::AddConditional));
    }
    steps
}

impl Step<'_> {
    fn endpoint(&self) -> &'static Endpoint {
        const CREATE: &Endpoint = endpoint("/cgi-bin/menu/create");
        const DELETE_CONDITIONAL: &Endpoint = endpoint("/cgi-bin/menu/delconditional");
        const ADD_CONDITIONAL: &Endpoint = endpoint("/cgi-bin/menu/addconditional");
        const DELETE: &Endpoint = endpoint("/cgi-bin/menu/delete");
        match self {
            Self::Create(_) => CREATE,
            Self::DeleteConditional(_) => DELETE_CONDITIONAL,
            Self::AddConditional(_) => ADD_CONDITIONAL,
            Self::Delete => DELETE,
        }
    }

    /// What WeChat says if that is done already.
    fn gone(&self) -> Option<i64> {
        match self {
            Self::Create(_) | Self::AddConditional(_) => None,
            Self::DeleteConditional(_) => Some(NO_CONDITIONAL_MENU),
            Self::Delete => Some(NO_MENU),
        }
    }

    /// Why WeChat would refuse it, a line each.
    fn faults(&self) -> Vec<String> {
        let body = self.body();
        let findings = check(self.endpoint(), &Given { body: body.as_ref(), ..Given::default() });
        let violations = findings.into_iter().filter(|finding| finding.severity == Severity::Violation);
        violations.map(|finding| finding.to_string()).collect()
    }

    /// `None` is a GET.
    fn body(&self) -> Option<Value> {
        match self {
            Self::Create(buttons) => Some(menu_json(buttons)),
            Self::DeleteConditional(id) => Some(json!({ "menuid": id })),
            Self::AddConditional(menu) => Some(menu.to_json()),
            Self::Delete => None,
        }
    }

    fn carry_out(&self, api: &Api) -> Result<(), Failure> {
        let row = self.endpoint();
        let body = self.body();
        let call = match &body {
            Some(body) => Call { idempotent: row.repeat == Repeat::Always, ..Call::post(row.path, body) },
            None => Call::get(row.path, &[]),
        };
        let answer = api.call(&call);
        match self.gone() {
            Some(errcode) => unless_refused(answer, errcode).map(drop)?,
            None => drop(answer?),
        }
        Ok(())
    }
}

fn carry_out(api: &Api, live: &Live, steps: &[Step<'_>], change: &Change) -> Result<(), Failure> {
    if change.dry_run {
        for step in steps {
            let body = step.body().map(|body| format!(" {body}")).unwrap_or_default();
            let Endpoint { method, path, .. } = step.endpoint();
            print_line(&format!("would send: {} {path}{body}", method.name()))?;
        }
        return Ok(());
    }
    if let Some(file) = &change.backup {
        backup(live, file)?;
    }
    for (done, step) in steps.iter().enumerate() {
        step.carry_out(api).map_err(|failure| match failure {
            Failure::Failed(why) if done > 0 => {
                Failure::Failed(format!("{why}; {done} of {} steps were done: run it again", steps.len()))
            }
            other => other,
        })?;
    }
    Ok(())
}

fn backup(live: &Live, file: &Path) -> Result<(), Failure> {
    let document = format!("{:#}\n", live.document);
    if file == Path::new("-") {
        return print(document.as_bytes());
    }
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot write {}: {error}", file.display()));
    // A backup that was made before is not to be lost by a slip.
    let mut created = std::fs::File::create_new(file).map_err(failed)?;
    created.write_all(document.as_bytes()).and_then(|()| created.sync_all()).map_err(failed)?;
    print_line(&format!("the live menu is in {}", file.display()))
}

fn read_backup(file: &Path) -> Result<Menus, Failure> {
    let name = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
    let document: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Failed(format!("{name} is no JSON: {error}")))?;
    let menus = match (document.get("menu_get"), document.get("current_selfmenu_info")) {
        (Some(answer), _) => Menus::from_menu_get(answer),
        (None, Some(answer)) => Menus::from_selfmenu(answer),
        (None, None) => return Err(Failure::Failed(format!("{name} is no file of `wxcgi menu backup`"))),
    };
    if menus.default.is_empty() {
        return Err(Failure::Failed(format!("{name} has no menu; to have none, `wxcgi menu delete`")));
    }
    if let Some(button) = menus.leaves().find(|button| !button.can_be_made()) {
        return Err(Failure::Failed(format!(
            "the button `{}` was made in WeChat's console and holds what the API cannot make",
            button.name
        )));
    }
    Ok(menus)
}

/// The answer; none if WeChat says `errcode`.
fn unless_refused(answer: Result<Value, ApiError>, errcode: i64) -> Result<Option<Value>, ApiError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ApiError::Refused(refusal)) if refusal.errcode == errcode => Ok(None),
        Err(error) => Err(error),
    }
}

fn print_lines(lines: &[String]) -> Result<(), Failure> {
    print(lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().as_bytes())
}

/// What goes and what comes, with what stays around it.
fn print_difference(before: &[String], after: &[String]) -> Result<(), Failure> {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.iter().map(String::as_str).collect(), after.iter().map(String::as_str).collect());
    let difference = TextDiff::from_slices(&before, &after);
    let lines = difference.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign} {}", change.value())
    });
    print_lines(&lines.collect::<Vec<_>>())
}
