//! `wxcgi api`: any endpoint, with the access_token put in.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::session::{Question, Target};
use super::{Failure, Options, Session, beside, output, print, print_line};
use crate::api::endpoint::{Endpoint, Field, Kind, PAGES, Place, When};
use crate::api::example::{Example, put};
use crate::api::table::{SECTIONS, endpoints, find};
use crate::api::{Auth, Download, Method};
use crate::http::query_pairs;
use crate::spelling::did_you_mean;

/// What nobody shall fetch by hand.
const TOKENS: [&str; 2] = ["/cgi-bin/token", "/cgi-bin/stable_token"];

#[derive(Debug, clap::Args)]
#[command(
    after_help = "PATH is the path of WeChat's documentation or what follows its /cgi-bin/. What is known of it is checked
before it is sent: limits, types, who may call it. METHOD can be left out where the path is known.
Examples:
  wxcgi api --list tags
  wxcgi api --explain tags/create
  wxcgi api POST /cgi-bin/tags/create '{\"tag\":{\"name\":\"广东\"}}'
  wxcgi api tags/create tag.name=广东
  wxcgi api GET /cgi-bin/user/info?openid=oUser1
  wxcgi api draft/add @draft.json --dry-run
  wxcgi api media/get media_id=MEDIA_ID --output voice.amr
  wxcgi api media/upload type=image --file cat.jpg"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    /// [METHOD] PATH, then JSON, @FILE, - (stdin) or fields as NAME=VALUE
    #[arg(value_name = "ARGUMENT", required_unless_present = "list")]
    words: Vec<String>,
    /// List the endpoints that are known, or those with this word
    #[arg(long, value_name = "WORD", num_args = 0..=1, default_missing_value = "")]
    list: Option<String>,
    /// Say what is known of this endpoint: fields, limits, who may call it; send nothing
    #[arg(long)]
    explain: bool,
    /// Write the answer to this file; needed for pictures and voices
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Send this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the answer as it came, on one line
    #[arg(long)]
    raw: bool,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(word) = &args.list {
        return list(word, args.options.json);
    }
    let (target, query, rest) = read_target(&args.words)?;
    if args.explain {
        let row =
            target.row.ok_or_else(|| Failure::Usage(format!("nothing is known of `{}`", target.path)))?;
        return print(explain(row).as_bytes());
    }
    if TOKENS.contains(&target.path) {
        let why =
            "a token fetched by hand would make the one of all processes invalid; use `wxcgi token get`";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut question = read_question(&target, query, rest)?;
    if let Some(path) = &args.file {
        let part = target.row.and_then(|row| row.all_fields().find(|field| field.place == Place::File));
        question = question.file(part.map_or("media", |field| field.path), path);
    }
    let session = Session::open(&args.options)?;
    if let Some(path) = &args.output {
        return fetch(&session, target, &question, path);
    }
    let Some(answer) = session.ask(target, &question)? else { return Ok(()) };
    if args.raw { print_line(&answer.to_string()) } else { print_line(&output::pretty(&answer)) }
}

/// A query as it stood in a path: names and values.
type Query = Vec<(String, String)>;

fn read_target(words: &[String]) -> Result<(Target<'_>, Query, &[String]), Failure> {
    let method_of = |word: &str| match word {
        "GET" | "get" => Some(Method::Get),
        "POST" | "post" => Some(Method::Post),
        _ => None,
    };
    let (method, rest) = match words {
        [first, rest @ ..] if method_of(first).is_some() => (method_of(first), rest),
        all => (None, all),
    };
    let [path, rest @ ..] = rest else { return Err(Failure::Usage("which path?".to_owned())) };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = read_query(query)?;
    if path.contains("://") {
        return Err(Failure::Usage("give the path only; the host stands in `api.base_url`".to_owned()));
    }
    let row = find(path);
    let path = row.map_or(path, |row| row.path);
    if row.is_none() {
        let near = did_you_mean(path, callable().flat_map(|row| [row.path, row.name()]));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        if !path.starts_with('/') || method.is_none() {
            let cure = "write METHOD /PATH, or look it up by `wxcgi api --list`";
            return Err(Failure::Usage(format!("`{path}` is not known here{near} ({cure})")));
        }
        if !near.is_empty() {
            let _ = writeln!(std::io::stderr(), "wxcgi: warning: `{path}` is not known here{near}");
        }
    }
    let method = method.or(row.map(|row| row.method)).unwrap_or(Method::Get);
    Ok((Target { method, path, row }, query, rest))
}

fn read_query(query: &str) -> Result<Query, Failure> {
    let text = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).ok();
    let pairs: Option<Query> =
        query_pairs(query.as_bytes()).map(|(name, value)| Some((text(name)?, text(value)?))).collect();
    pairs.ok_or_else(|| Failure::Usage("the query is not UTF-8".to_owned()))
}

/// The rows that can be called from here.
fn callable() -> impl Iterator<Item = &'static Endpoint> {
    endpoints().filter(|row| !TOKENS.contains(&row.path))
}

fn read_question<'q>(target: &Target<'_>, query: Query, rest: &'q [String]) -> Result<Question<'q>, Failure> {
    // Names of a query live as long as the command.
    let query = query.into_iter().map(|(name, value)| (&*name.leak(), value)).collect();
    let mut question = Question { query, ..Question::default() };
    match rest {
        [] => {}
        [one] if is_body(one) => question.body = Some(read_body(target, one)?),
        fields => {
            for field in fields {
                add_field(target, &mut question, field)?;
            }
        }
    }
    if question.body.is_none() && target.row.is_some_and(takes_body) {
        question.body = Some(json!({}));
    }
    // A login has one of its own, which its user gives.
    let is_put_in = target.row.is_none_or(|row| row.auth == Auth::AccessToken);
    if is_put_in && question.query.iter().any(|(name, _)| *name == "access_token") {
        return Err(Failure::Usage("leave `access_token` out: it is put in".to_owned()));
    }
    Ok(question)
}

fn takes_body(row: &Endpoint) -> bool {
    row.method == Method::Post
        && !row.all_fields().any(|field| field.place != Place::Body)
        && row.raw.is_none()
}

fn is_body(word: &str) -> bool {
    word == "-" || word.starts_with(['{', '[', '@']) || !word.contains('=')
}

fn read_body(target: &Target<'_>, word: &str) -> Result<Value, Failure> {
    let text = match word.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("cannot read `{path}`: {error}")))?,
        None if word == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        None => word.to_owned(),
    };
    if target.row.is_some_and(|row| row.raw.is_some()) {
        return Ok(Value::String(text));
    }
    serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("the body is no JSON: {error}")))
}

/// `tag.name=广东`: to the query or the body, as the table says.
fn add_field<'q>(target: &Target<'_>, question: &mut Question<'q>, word: &'q str) -> Result<(), Failure> {
    let (name, value) = word
        .split_once('=')
        .ok_or_else(|| Failure::Usage(format!("`{word}` is neither JSON nor NAME=VALUE")))?;
    let field = target.row.and_then(|row| row.all_fields().find(|field| field.path == name));
    let in_query = field.map_or(target.method == Method::Get, |field| field.place == Place::Query);
    if in_query {
        question.query.push((name, value.to_owned()));
    } else {
        let body = question.body.get_or_insert_with(|| Value::Object(Map::new()));
        put(body, name, &value_of(field, value));
    }
    Ok(())
}

/// A value of the command line as the type that the field has.
pub(super) fn value_of(field: Option<&Field>, text: &str) -> Value {
    let read = || serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    match field.map(|field| field.kind) {
        Some(Kind::Text | Kind::Id | Kind::File) => json!(text),
        Some(Kind::List) if !text.starts_with('[') => json!(text.split(',').collect::<Vec<_>>()),
        _ => read(),
    }
}

fn fetch(session: &Session, target: Target<'_>, question: &Question<'_>, path: &Path) -> Result<(), Failure> {
    let partial = beside(path, "part");
    let unwritable = |error| Failure::Failed(format!("cannot write `{}`: {error}", path.display()));
    let mut file = File::create(&partial).map_err(unwritable)?;
    let fetched = session.fetch(target, question, &mut file);
    let json = match &fetched {
        Ok(Some(Download::File { .. })) => {
            std::fs::rename(&partial, path).map_err(unwritable)?;
            return print_line(&format!("wxcgi: wrote {}", path.display()));
        }
        Ok(Some(Download::Json(json))) => Some(output::pretty(json) + "\n"),
        _ => None,
    };
    // What did not become a file leaves none.
    std::fs::remove_file(&partial).ok();
    fetched?;
    match json {
        Some(text) => {
            std::fs::write(path, text).map_err(unwritable)?;
            print_line(&format!("wxcgi: wrote {} (JSON)", path.display()))
        }
        None => Ok(()),
    }
}

/// Downloads to a file; for `media download` too.
pub(super) fn download(
    session: &Session,
    row: &'static Endpoint,
    question: &Question<'_>,
    path: &Path,
) -> Result<(), Failure> {
    fetch(session, Target::from(row), question, path)
}

fn list(word: &str, as_json: bool) -> Result<(), Failure> {
    let word = word.to_lowercase();
    let is_meant = |title: &str, row: &Endpoint| {
        [title, row.path, row.does].iter().any(|text| text.to_lowercase().contains(&word))
    };
    if as_json {
        let rows = SECTIONS.iter().flat_map(|section| {
            section.endpoints.iter().filter(|row| is_meant(section.title, row)).map(|row| {
                json!({
                    "method": row.method.name(), "path": row.path, "does": row.does, "section": section.title,
                    "for": row.who.to_string(), "page": page_of(row), "retired": row.retired,
                })
            })
        });
        return print_line(&output::pretty(&rows.collect()));
    }
    let mut text = String::new();
    for section in SECTIONS {
        let rows: Vec<_> = section.endpoints.iter().filter(|row| is_meant(section.title, row)).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}{}", if text.is_empty() { "" } else { "\n" }, section.title);
        for row in rows {
            let retired = if row.retired.is_some() { " (retired)" } else { "" };
            let _ = writeln!(text, "  {:4} {:46} {}{retired}", row.method.name(), row.path, row.does);
        }
    }
    if text.is_empty() {
        return Err(Failure::Failed(format!("nothing known has `{word}` in it")));
    }
    print(text.as_bytes())
}

fn page_of(row: &Endpoint) -> Option<String> {
    (!row.page.is_empty()).then(|| format!("{PAGES}{}", row.page))
}

/// All that the table says.
fn explain(row: &Endpoint) -> String {
    let mut text = format!("{} {}\n{}.\n", row.method.name(), row.path, row.does);
    if let Some(instead) = row.retired {
        let _ = writeln!(text, "Retired: {instead}.");
    }
    let _ = writeln!(text, "For: {}.", row.who);
    text.extend(page_of(row).map(|page| format!("Page: {page}\n")));
    text.extend(row.raw.map(|max| format!("Body: a text as it is, at most {max} bytes.\n")));
    let fields: Vec<Value> =
        row.all_fields().map(|field| json!({"field": field.path, "is": describe(field)})).collect();
    if !fields.is_empty() {
        text.push('\n');
        text.push_str(&output::Table::of(&fields, &["field", "is"]).for_people());
    }
    let Example { query, body } = Example::of(row, &[]);
    let pairs = |value: &Value| value.as_object().is_some_and(|object| !object.is_empty());
    if pairs(&query) {
        let pairs = query.as_object().into_iter().flatten();
        let pairs: Vec<_> =
            pairs.map(|(name, value)| format!("{name}={}", output::cell(Some(value)))).collect();
        let _ = writeln!(text, "\nwxcgi api {} {}", row.name(), pairs.join(" "));
    }
    if pairs(&body) {
        let _ = writeln!(text, "\nwxcgi api {} '{body}'", row.name());
    }
    text
}

fn describe(field: &Field) -> String {
    let mut words = vec![format!("{:?}", field.kind).to_lowercase()];
    if field.place == Place::Query {
        words.push("in the query".to_owned());
    }
    if field.required {
        words.push("required".to_owned());
    }
    match field.when {
        When::Always => {}
        When::Is(other, values) => words.push(format!("with {other} = {}", values.join(" | "))),
        When::Without(other) => words.push(format!("without {other}")),
    }
    words.extend(field.not_beside.map(|other| format!("instead of {other}")));
    let limit = field.limit.to_string();
    words.extend((!limit.is_empty()).then_some(limit));
    words.extend(field.obsolete.map(|why| format!("out of date: {why}")));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(words: &[&str]) -> (String, Query, Option<Value>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let (target, query, rest) = read_target(&words).expect("a target");
        let question = read_question(&target, query, rest).expect("a question");
        let query = question.query.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        (format!("{} {}", target.method.name(), target.path), query, question.body)
    }

    #[test]
    fn fields_go_where_the_table_has_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let asked = question(&["user/info", "openid=o1", "lang=en"]);
        assert_eq!(
            asked,
            ("GET /cgi-bin/user/info".into(), vec![pair("openid", "o1"), pair("lang", "en")], None)
        );
        let asked = question(&["POST", "/cgi-bin/tags/update", "tag.id=134", "tag.name=12"]);
        assert_eq!(asked.2, Some(json!({"tag": {"id": 134, "name": "12"}})));
        let asked = question(&["tags/members/batchtagging", "openid_list=o1,o2", "tagid=3"]);
        assert_eq!(asked.2, Some(json!({"openid_list": ["o1", "o2"], "tagid": 3})));
        let asked = question(&["GET", "/cgi-bin/brand/new?a=%E4%BD%A0+b&c", "d=1"]);
        assert_eq!(asked.1, [pair("a", "你 b"), pair("c", ""), pair("d", "1")]);
        let asked = question(&["POST", "/cgi-bin/brand/new", "x.y=1", "x.z=t"]);
        assert_eq!(asked.2, Some(json!({"x": {"y": 1, "z": "t"}})));
    }

    #[test]
    fn a_target_that_would_leak_or_fail_is_refused() {
        for words in [
            &["GET", "https://example.com/cgi-bin/user/info"][..],
            &["tags/creat"],
            &["/cgi-bin/brand/new"],
            &["GET"],
            &["GET", "/cgi-bin/user/info?openid=%ff"],
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(matches!(read_target(&words), Err(Failure::Usage(_))), "{words:?}");
        }
    }

    #[test]
    fn an_access_token_is_given_only_where_it_is_a_login_s() {
        let query = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let (target, query, rest) = read_target(&words).expect("a target");
            read_question(&target, query, rest).map(|question| question.query.len())
        };
        for words in [
            &["GET", "/cgi-bin/user/info?access_token=x"][..],
            &["user/info", "openid=o", "access_token=x"],
            &["GET", "/cgi-bin/brand/new", "access_token=x"],
        ] {
            assert!(matches!(query(words), Err(Failure::Usage(_))), "{words:?}");
        }
        for words in [&["GET", "/sns/userinfo?access_token=x"][..], &["sns/userinfo", "access_token=x"]] {
            assert_eq!(query(words).expect("allowed"), 1);
        }
    }

    #[test]
    fn nobody_is_sent_to_what_cannot_be_called() {
        for path in ["/cgi-bin/tokan", "/cgi-bin/foo", "stable_tokan"] {
            let Err(Failure::Usage(why)) = read_target(&[path.to_owned()]) else { panic!("{path}") };
            assert!(!why.contains("token"), "{why}");
        }
    }

    #[test]
    fn every_row_can_be_explained() {
        for row in endpoints() {
            let text = explain(row);
            assert!(text.contains(row.path) && text.contains("For: "), "{text}");
        }
        let text = explain(find("tags/create").expect("a row"));
        assert!(text.contains("tag.name  text, required, at most 30 characters"), "{text}");
        assert!(text.ends_with("wxcgi api tags/create '{\"tag\":{\"name\":\"NAME\"}}'\n"), "{text}");
    }
}
