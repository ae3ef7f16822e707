//! A command's way to WeChat: the account of the config, the checks, a dry run, the call.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::{Timestamp, tz};
use serde_json::{Value, json};

use super::output::need;
use super::progress::Transfer;
use super::{Failure, Options, find_config, output, print_line};
use crate::api::check::{FileFacts, Finding, Given, Severity, check, check_account, check_date};
use crate::api::endpoint::{Endpoint, Repeat};
use crate::api::format::Format;
use crate::api::{Api, ApiError, Auth, Body, Call, Download, Method, Multipart, SECRET_PARAMETERS};
use crate::cli::api_of;
use crate::cli::sign::percent_encode;
use crate::config::Config;
use crate::config::load::load;
use crate::files;
use crate::wechat::errcode::{Meaning, Verdict, verdict};

/// One command's dealings with WeChat.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    config: Config,
    json: bool,
    dry_run: bool,
    unchecked: bool,
    api: OnceLock<Api>,
}

/// What is asked of WeChat.
#[derive(Debug, Clone, Default)]
pub(super) struct Question<'q> {
    pub(super) query: Vec<(&'q str, String)>,
    pub(super) body: Option<Value>,
    /// Its file, and the name of the part.
    pub(super) file: Option<(&'static str, &'q Path)>,
}

impl<'q> Question<'q> {
    pub(super) fn body(body: Value) -> Self {
        Self { body: Some(body), ..Self::default() }
    }

    pub(super) fn query<const N: usize>(query: [(&'q str, &str); N]) -> Self {
        Self { query: query.map(|(name, value)| (name, value.to_owned())).into(), ..Self::default() }
    }

    pub(super) fn file(self, part: &'static str, path: &'q Path) -> Self {
        Self { file: Some((part, path)), ..self }
    }

    fn query_texts(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// A call that may stand in the table or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) method: Method,
    pub(super) path: &'t str,
    pub(super) row: Option<&'static Endpoint>,
}

impl From<&'static Endpoint> for Target<'_> {
    fn from(row: &'static Endpoint) -> Self {
        Self { method: row.method, path: row.path, row: Some(row) }
    }
}

impl Session {
    pub(super) fn open(options: &Options) -> Result<Self, Failure> {
        let path = find_config(options.config.as_deref())?;
        let config = load(&path)?.config;
        let Options { json, dry_run, unchecked, .. } = *options;
        Ok(Self { path, config, json, dry_run, unchecked, api: OnceLock::new() })
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// The account's AppID.
    pub(super) fn app_id(&self) -> Result<&str, Failure> {
        let app_id = self.config.account.app_id.as_deref();
        app_id.ok_or_else(|| Failure::Usage("the config needs `account.app_id`".to_owned()))
    }

    pub(super) fn api(&self) -> Result<&Api, Failure> {
        if let Some(api) = self.api.get() {
            return Ok(api);
        }
        let api = api_of(&self.config, &self.path)?;
        Ok(self.api.get_or_init(|| api))
    }

    /// Asks WeChat; nothing comes back from a dry run.
    pub(super) fn ask<'t>(
        &self,
        target: impl Into<Target<'t>>,
        question: &Question<'_>,
    ) -> Result<Option<Value>, Failure> {
        let target = target.into();
        let file = self.examine(target, question)?;
        if self.dry_run {
            return self.rehearse(target, question).map(|()| None);
        }
        self.send(target, question, file.as_ref()).map(Some)
    }

    /// Asks WeChat for what changes nothing there, in a dry run too.
    pub(super) fn look_up<'t>(
        &self,
        target: impl Into<Target<'t>>,
        question: &Question<'_>,
    ) -> Result<Value, Failure> {
        let target = target.into();
        let file = self.examine(target, question)?;
        self.send(target, question, file.as_ref())
    }

    fn send(
        &self,
        target: Target<'_>,
        question: &Question<'_>,
        file: Option<&Upload<'_>>,
    ) -> Result<Value, Failure> {
        let query = question.query_texts();
        let description = question.body.as_ref().and_then(|body| body.get("description"));
        let description = description.map(ToString::to_string);
        let opened = file.map(|file| (file, Transfer::of(file.bytes)));
        let open = || -> io::Result<Box<dyn Read>> {
            let Some((file, transfer)) = &opened else { return Ok(Box::new(io::empty())) };
            Ok(Box::new(transfer.wrap_read(files::open(file.path)?.0)))
        };
        let body = match (&opened, &question.body) {
            (Some((file, _)), _) => Body::Multipart(Multipart {
                name: file.part,
                filename: &file.name,
                content_type: file.format.map_or("application/octet-stream", Format::media_type),
                length: file.bytes,
                open: &open,
                field: description.as_deref().map(|description| ("description", description)),
            }),
            (None, Some(Value::String(text))) => Body::Raw(text),
            (None, Some(json)) => Body::Json(json),
            (None, None) => Body::None,
        };
        let answer = self.api()?.call(&call_of(target, &query, body, question));
        answer.map_err(|error| self.failed(&error))
    }

    /// Asks for a file and writes it to `sink`.
    pub(super) fn fetch<'t>(
        &self,
        target: impl Into<Target<'t>>,
        question: &Question<'_>,
        sink: &mut dyn Write,
    ) -> Result<Option<Download>, Failure> {
        /// More than WeChat has.
        const MAX: u64 = 1 << 30;
        let target = target.into();
        self.examine(target, question)?;
        if self.dry_run {
            return self.rehearse(target, question).map(|()| None);
        }
        let query = question.query_texts();
        let body = question.body.as_ref().map_or(Body::None, Body::Json);
        let mut sink = Transfer::unknown().wrap_write(sink);
        let download = self.api()?.download(&call_of(target, &query, body, question), &mut sink, MAX);
        download.map(Some).map_err(|error| self.failed(&error))
    }

    /// Prints an answer: as it is for a program, else in words.
    pub(super) fn show(&self, answer: &Value, words: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json {
            return print_line(&output::pretty(answer));
        }
        match words(answer) {
            text if text.is_empty() => Ok(()),
            text => print_line(output::harmless(&text).trim_end_matches('\n')),
        }
    }

    /// Prints `word` for something done, if WeChat says that it is.
    pub(super) fn done(&self, answer: &Value, word: &str) -> Result<(), Failure> {
        need(answer, "errcode", Some)?;
        self.show(answer, |answer| done(answer, word))
    }

    /// Looks at a call before it is sent: warnings are told, violations end it.
    fn examine<'q>(
        &self,
        target: Target<'_>,
        question: &Question<'q>,
    ) -> Result<Option<Upload<'q>>, Failure> {
        let file = question.file.map(|(part, path)| Upload::look_at(part, path)).transpose()?;
        let Some(row) = target.row else { return Ok(file) };
        let facts =
            file.as_ref().map(|file| FileFacts { name: file.part, format: file.format, bytes: file.bytes });
        let query = question.query_texts();
        let given = Given { query: &query, body: question.body.as_ref(), file: facts };
        let today = Timestamp::now().to_zoned(tz::offset(8).to_time_zone()).date();
        let findings = check_account(row, &self.config.account.kinds())
            .into_iter()
            .chain(check(row, &given))
            .chain(question.body.as_ref().and_then(|body| check_date(row, body, today)));
        let (violations, warnings): (Vec<Finding>, Vec<Finding>) =
            findings.partition(|finding| finding.severity == Severity::Violation && !self.unchecked);
        for warning in warnings {
            let _ = writeln!(io::stderr(), "wxcgi: warning: {warning}");
        }
        if violations.is_empty() {
            return Ok(file);
        }
        let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
        Err(Failure::Usage(format!("{} would be refused:\n  {}", row.path, lines.join("\n  "))))
    }

    /// Shows what would be sent.
    fn rehearse(&self, target: Target<'_>, question: &Question<'_>) -> Result<(), Failure> {
        let mut parts: Vec<String> = match target.row.map_or(Auth::AccessToken, |row| row.auth) {
            Auth::AccessToken => vec!["access_token=***".to_owned()],
            Auth::App { id, secret } => {
                let app_id = format!("{id}={}", self.config.account.app_id.as_deref().unwrap_or_default());
                [app_id].into_iter().chain(secret.map(|secret| format!("{secret}=***"))).collect()
            }
            Auth::None => Vec::new(),
        };
        parts.extend(question.query.iter().map(|(name, value)| {
            if SECRET_PARAMETERS.contains(name) {
                format!("{name}=***")
            } else {
                format!("{name}={}", percent_encode(value))
            }
        }));
        let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
        let url = format!("{}{}{query}", self.config.api.base_url, target.path);
        let file = question.file.map(|(_, path)| path.display().to_string());
        if self.json {
            let body = question.body.clone().unwrap_or_default();
            let shown = json!({"method": target.method.name(), "url": url, "body": body, "file": file});
            return print_line(&output::pretty(&shown));
        }
        print_line(&format!("{} {url}", target.method.name()))?;
        if let Some(body) = &question.body {
            print_line(&body.as_str().map_or_else(|| output::pretty(body), ToOwned::to_owned))?;
        }
        file.map_or(Ok(()), |file| print_line(&format!("(file) {file}")))
    }

    /// A call that did not work. A program reads the numbers on stdout, a person the sentence on stderr.
    pub(super) fn failed(&self, error: &ApiError) -> Failure {
        if let (true, ApiError::Refused(refusal)) = (self.json, error) {
            let class = error.class().map(|class| format!("{class:?}").to_lowercase());
            let shown = json!({
                "errcode": refusal.errcode, "errmsg": refusal.errmsg, "path": refusal.path, "class": class,
                "message": error.to_string(),
            });
            let _ = print_line(&output::pretty(&shown));
        }
        match error {
            ApiError::Unconfigured { .. } => Failure::Usage(error.to_string()),
            _ => Failure::Failed(error.to_string()),
        }
    }
}

/// `word`, and what WeChat says if it was so before.
pub(super) fn done(answer: &Value, word: &str) -> String {
    let Verdict::Refused { errcode, .. } = verdict(answer) else { return word.to_owned() };
    let why = Meaning::of(errcode).map_or("", |meaning| meaning.sentence);
    format!("{word} before ({errcode}: {why})")
}

fn call_of<'c>(
    target: Target<'c>,
    query: &'c [(&'c str, &'c str)],
    body: Body<'c>,
    question: &Question<'_>,
) -> Call<'c> {
    let idempotent = match target.row.map(|row| row.repeat) {
        Some(Repeat::Always) => true,
        Some(Repeat::With(id)) => question.body.as_ref().is_some_and(|body| body.get(id).is_some()),
        Some(Repeat::Never) => false,
        None => target.method == Method::Get,
    };
    let auth = target.row.map_or(Auth::AccessToken, |row| row.auth);
    Call { method: target.method, path: target.path, query, body, auth, idempotent }
}

/// A file that is about to be sent.
struct Upload<'f> {
    part: &'static str,
    path: &'f Path,
    name: String,
    format: Option<Format>,
    bytes: u64,
}

impl<'f> Upload<'f> {
    fn look_at(part: &'static str, path: &'f Path) -> Result<Self, Failure> {
        let unreadable = |error| Failure::Usage(format!("cannot read `{}`: {error}", path.display()));
        let (mut file, metadata) = files::open(path).map_err(unreadable)?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(Format::HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
        let format = Format::of(&head);
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { part, path, name: fitting_name(&name, format), format, bytes: metadata.len() })
    }
}

/// WeChat looks at the name's ending too.
fn fitting_name(name: &str, format: Option<Format>) -> String {
    match format {
        Some(format) if !name.contains('.') => format!("{name}.{}", format.extension()),
        _ => name.to_owned(),
    }
}
