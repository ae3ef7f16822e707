//! The config file as typed data.
//!
//! [`Config::parse`] turns the text of a `wxcgi.toml` into a [`Config`] and tells everything that is wrong with it at
//! once; [`load`] finds and reads the file. An account is a file.

mod api;
mod chat;
mod compiled;
mod condition;
mod delivery;
pub mod fault;
pub mod golden;
mod handler;
mod include;
mod last_good;
pub mod load;
mod media;
mod menu;
pub mod places;
mod reply;
mod rule;
mod schema;
mod server;
mod state_file;
mod step;
mod store;
mod syntax;
mod table;
mod tables;
mod value;

use std::path::{Path, PathBuf};

use log::LevelFilter;
use toml::de::DeTable;

use crate::api::ApiSettings;
use crate::api::who::AccountKind;
use crate::handlers::chat::Chats;
use crate::logging::{self, RotatingFile};
use crate::rules::{Fold, Rules, Tables, Zone};
use crate::secret::Secret;
use crate::wechat::crypto::AesKey;
use crate::wechat::menu::Menus;
use crate::wechat::mode::AcceptedMode;
use condition::{Customs, read_fold};
pub use delivery::DeliverySettings;
use fault::Fault;
use include::{Further, Included};
use load::Stamp;
use rule::Drafts;
pub use schema::schema;
pub use server::ServerSettings;
pub use store::{StoreSettings, account_in_store};
use table::{Faults, Table};
use tables::Declared;

/// The sample config: what `init config` prints and `simulate` runs on where there is no config yet.
pub const SAMPLE: &str = include_str!("sample.toml");

/// A whole config that checks.
#[derive(Debug)]
pub struct Config {
    /// `[account]`
    pub account: AccountSettings,
    /// `[server]`
    pub server: ServerSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[api]`
    pub api: ApiSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[chat.NAME]`
    pub chats: Chats,
    /// `[[rule]]` and `[default]`
    pub rules: Rules,
    /// `[table.NAME]`
    pub tables: Tables,
    /// `[delivery]`
    pub delivery: DeliverySettings,
    /// `[menu]`; none where the config leaves the menu alone.
    pub menus: Option<Menus>,
    /// Further files that were read for it: a change of one is a change of the config.
    files: Vec<PathBuf>,
    /// Files with rules, whose change is one as well.
    included: Included,
}

/// `[account]`: who we are to WeChat.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// The Token (令牌) of the console, which signatures are made with.
    pub token: Secret,
    /// The Token before, still taken while WeChat changes over.
    pub previous_token: Option<Secret>,
    /// `AppID`, `wx…`.
    pub app_id: Option<String>,
    /// `AppSecret`, for WeChat's API.
    pub app_secret: Option<Secret>,
    /// `EncodingAESKey` (消息加解密密钥).
    pub encoding_aes_key: Option<AesKey>,
    /// The key before.
    pub previous_encoding_aes_key: Option<AesKey>,
    /// Which modes are taken.
    pub mode: AcceptedMode,
    /// The account's own id (原始ID), `gh_…`; if given, messages must be addressed to it.
    pub original_id: Option<String>,
    /// Whether the account is verified (微信认证).
    pub verified: bool,
    /// What kind of account it is, if the config says so.
    pub kind: Option<Family>,
    /// The path of the URL in the console, without a slash at its end; `None` takes any.
    pub path: Option<String>,
    /// The openids of those who run it; rules may be for them only.
    pub admin: Vec<String>,
    /// Whose clock the hours, weekdays and dates of rules go by. Default Asia/Shanghai.
    pub time_zone: Zone,
    /// How far texts may differ from the words of rules, where a rule does not say.
    pub fold: Fold,
}

/// `[log]`: where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The file, by default of 128 KiB and 60 times; `None` is stderr, which is the web server's error log.
    pub file: Option<RotatingFile>,
    /// What is logged. Default `info`.
    pub level: LevelFilter,
    /// Whether openids and texts are written in full. Default no.
    pub personal_data: bool,
}

impl LogSettings {
    /// Starts the log as these say.
    pub fn start(&self) {
        logging::start(self.level, self.file.as_ref());
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { file: None, level: LevelFilter::Info, personal_data: false }
    }
}

/// How thoroughly a config is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Everything: regular expressions and templates are compiled.
    Full,
    /// The same bytes were checked in full before: what compiles on first use is left alone.
    CheckedBefore,
}

impl Config {
    /// Reads the text of a config. Relative paths in it start from `folder`. The faults include warnings; without a
    /// config there is at least one that is more than a warning.
    #[must_use]
    pub fn parse(text: &str, folder: &Path, thoroughness: Thoroughness) -> (Option<Self>, Vec<Fault>) {
        Self::parse_with(text, folder, thoroughness, Further::Disk)
    }

    /// The same with included files from elsewhere.
    fn parse_with(
        text: &str,
        folder: &Path,
        thoroughness: Thoroughness,
        further: Further<'_>,
    ) -> (Option<Self>, Vec<Fault>) {
        let Ok(document) = DeTable::parse(text) else {
            return (None, faults_of_broken(text, folder));
        };
        let faults = Faults::new(text, folder, thoroughness == Thoroughness::Full);
        let config = Self::read(document.get_ref(), text, folder, &faults, further);
        let faults = faults.into_sorted();
        let refused = faults.iter().any(|fault| fault.severity == fault::Severity::Fault);
        (config.filter(|_| !refused), faults)
    }

    /// What it was made of, its own file left out, each as it was when it was read or is now: a change of one is a change
    /// of the config.
    #[must_use]
    pub fn further_files(&self) -> Vec<(PathBuf, Option<Stamp>)> {
        let files = self.files.iter().map(|path| (path.clone(), Stamp::of(path)));
        files.chain(self.included.seen.iter().cloned()).collect()
    }

    /// Whether the two differ in their rules and secrets at most.
    fn has_same_settings(&self, other: &Self) -> bool {
        let Self {
            account,
            server,
            log,
            files,
            tables,
            api,
            store,
            delivery,
            chats,
            rules: _,
            menus: _,
            included: _,
        } = self;
        format!("{account:?} {api:?} {store:?} {chats:?}")
            == format!("{:?} {:?} {:?} {:?}", other.account, other.api, other.store, other.chats)
            && tables.is_same_as(&other.tables)
            && (server, log, files, delivery) == (&other.server, &other.log, &other.files, &other.delivery)
    }

    fn has_same_secrets(&self, other: &Self) -> bool {
        self.account.has_same_secrets(&other.account)
            && self.store.has_same_secrets(&other.store)
            && self.chats.has_same_secrets(&other.chats)
    }

    fn read(
        document: &DeTable<'_>,
        text: &str,
        folder: &Path,
        faults: &Faults,
        further: Further<'_>,
    ) -> Option<Self> {
        let root = Table::new(document, 0..0, "table", faults);
        let account = root.table("account", "account key").map(|table| AccountSettings::read(table, folder));
        if account.is_none() && root.value("account").is_none() {
            faults.push(
                Fault::at(0..0, "missing table `[account]`")
                    .cure("it holds at least `token`, as entered in WeChat's console"),
            );
        }
        let server = ServerSettings::read(root.table("server", "server key"));
        let log = LogSettings::read(root.table("log", "log key"), folder);
        let customs = Customs::of(account.as_ref());
        let declared = Declared::read(&root, folder, &customs.zone);
        let mut drafts = Drafts::new(&declared);
        drafts.read(&root, text, &customs);
        let included = Included::read(&root, folder, further, &customs, &mut drafts);
        drafts.read_fallbacks(&root, text, &customs.zone);
        let rules = drafts.into_rules(faults);
        if !matches!(further, Further::Nowhere) {
            declared.warn_unused(faults);
        }
        let api = api::read(root.table("api", "API key"), folder);
        let store = StoreSettings::read(root.table("store", "store key"), folder);
        let delivery = delivery::read(root.table("delivery", "delivery key"));
        let menus = root.table("menu", "menu key").map(|table| menu::read_menus(table, &rules));
        root.finish();
        let Declared { tables, profiles, .. } = declared;
        let (chats, files) = (profiles.chats, faults.take_files());
        Some(Self {
            account: account?,
            server,
            log,
            api,
            store,
            chats,
            rules,
            tables,
            delivery,
            menus,
            files,
            included,
        })
    }
}

/// All faults of a text that is no TOML: those of the language, and those of what stands between them.
fn faults_of_broken(text: &str, folder: &Path) -> Vec<Fault> {
    let mended = syntax::mend(text);
    let (document, _) = DeTable::parse_recoverable(&mended.text);
    let faults = Faults::new(&mended.text, folder, true);
    Config::read(document.get_ref(), &mended.text, folder, &faults, Further::Nowhere);
    mended.with_echoless(faults.into_sorted())
}

/// The kinds of accounts, whether verified or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 公众号 (订阅号)
    Subscription,
    /// 服务号
    Service,
    /// 测试号
    Test,
}

impl Family {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "subscription" => Ok(Self::Subscription),
            "service" => Ok(Self::Service),
            "test" => Ok(Self::Test),
            _ => Err(format!(
                "`{name}` is none of \"subscription\" (公众号), \"service\" (服务号), \"test\" (测试号)"
            )),
        }
    }
}

impl AccountSettings {
    /// What the account may be, as far as the config says.
    #[must_use]
    pub fn kinds(&self) -> Vec<AccountKind> {
        match (self.kind, self.verified) {
            (Some(Family::Test), _) => vec![AccountKind::Test],
            (Some(Family::Subscription), false) => vec![AccountKind::Subscription],
            (Some(Family::Subscription), true) => vec![AccountKind::VerifiedSubscription],
            (Some(Family::Service), false) => vec![AccountKind::Service],
            (Some(Family::Service), true) => vec![AccountKind::VerifiedService],
            (None, false) => vec![AccountKind::Subscription, AccountKind::Service],
            (None, true) => vec![AccountKind::VerifiedSubscription, AccountKind::VerifiedService],
        }
    }

    fn read(table: Table<'_>, folder: &Path) -> Self {
        let secret = |key| value::secret(&table, key, folder);
        let aes_key = |key: &'static str| {
            let secret = value::secret(&table, key, folder)?;
            let parsed = AesKey::parse(secret.expose());
            parsed.map_err(|error| table.faults.push(bad_aes_key(&table, key, &error))).ok()
        };
        if table.value("token").is_none() {
            table.missing("token");
        }
        let (key, previous_key) = (aes_key("encoding_aes_key"), aes_key("previous_encoding_aes_key"));
        let (token, previous_token) = (secret("token"), secret("previous_token"));
        for (key, token) in [("token", &token), ("previous_token", &previous_token)] {
            if let Some(fault) = token.as_ref().and_then(|token| odd_token(&table, key, token)) {
                table.faults.push(fault);
            }
        }
        let settings = Self {
            token: token.unwrap_or_else(|| Secret::new(String::new())),
            previous_token,
            app_id: table.string("app_id"),
            app_secret: secret("app_secret"),
            encoding_aes_key: key,
            previous_encoding_aes_key: previous_key,
            mode: table.parsed("mode", AcceptedMode::parse).unwrap_or_default(),
            original_id: table.string("original_id"),
            verified: table.flag("verified").unwrap_or(false),
            kind: table.parsed("kind", Family::parse),
            path: table.parsed("path", callback_path),
            admin: table
                .texts("admin")
                .into_iter()
                .flatten()
                .map(|text| text.value.trim().to_owned())
                .collect(),
            time_zone: table.parsed("time_zone", Zone::parse).unwrap_or_default(),
            fold: table.value("fold").and_then(|value| read_fold(value, &table)).unwrap_or_default(),
        };
        settings.check_key(&table);
        table.finish();
        settings
    }

    fn has_same_secrets(&self, other: &Self) -> bool {
        let secrets = |it: &Self| {
            let secrets = [Some(&it.token), it.previous_token.as_ref(), it.app_secret.as_ref()];
            secrets.map(|secret| secret.map(|secret| secret.expose().to_owned()))
        };
        let keys = |it: &Self| (it.encoding_aes_key.clone(), it.previous_encoding_aes_key.clone());
        secrets(self) == secrets(other) && keys(self) == keys(other)
    }

    /// What encryption needs must be there.
    fn check_key(&self, table: &Table<'_>) {
        let wants_key = matches!(self.mode, AcceptedMode::Compatible | AcceptedMode::Secure);
        if wants_key && table.value("encoding_aes_key").is_none() {
            table.faults.push(
                Fault::at(table.key_span("mode"), "this mode needs `encoding_aes_key`")
                    .cure("it is the EncodingAESKey (消息加解密密钥) of WeChat's console, 43 characters"),
            );
        }
        if table.value("encoding_aes_key").is_some() && self.app_id.is_none() {
            table.faults.push(
                Fault::at(table.key_span("encoding_aes_key"), "encryption needs `app_id` as well").cure(
                    "an encrypted message names the AppID it is for; without it any could be replayed here",
                ),
            );
        }
        if table.value("previous_encoding_aes_key").is_some() && table.value("encoding_aes_key").is_none() {
            table.faults.push(Fault::at(
                table.key_span("previous_encoding_aes_key"),
                "a previous key without `encoding_aes_key`",
            ));
        }
    }
}

/// The console takes 3 to 32 letters and digits; anything else cannot be what stands there.
fn odd_token(table: &Table<'_>, key: &'static str, token: &Secret) -> Option<Fault> {
    let span = table.value(key)?.span();
    let token = token.expose();
    if token.is_empty() {
        return Some(Fault::at(span, format!("`{key}` is empty")));
    }
    let as_in_console =
        (3..=32).contains(&token.len()) && token.chars().all(|letter| letter.is_ascii_alphanumeric());
    (!as_in_console).then(|| {
        Fault::at(span, format!("`{key}` cannot be the one of WeChat's console"))
            .cure("the Token (令牌) there has 3 to 32 letters and digits")
            .warning()
    })
}

fn bad_aes_key(table: &Table<'_>, key: &'static str, error: &dyn std::fmt::Display) -> Fault {
    let span = table.value(key).map_or(table.span.clone(), toml::Spanned::span);
    Fault::at(span, format!("`{key}`: {error}"))
        .cure("copy the EncodingAESKey (消息加解密密钥) of WeChat's console: 43 letters and digits")
}

/// The path of a callback as it is compared: without a slash at its end.
fn callback_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(format!("`{path}` is no path; write one like \"/weixin\""));
    }
    Ok(path.trim_end_matches('/').to_owned())
}

impl LogSettings {
    fn read(table: Option<Table<'_>>, folder: &Path) -> Self {
        let Some(table) = table else { return Self::default() };
        let (max_size, keep) = (table.parsed("max_size", value::size), read_keep(&table));
        let settings = Self {
            file: table.parsed("file", log_file).map(|file| RotatingFile {
                path: folder.join(file),
                max_size: max_size.unwrap_or(128 << 10),
                keep: keep.unwrap_or(60),
            }),
            level: table.parsed("level", level).unwrap_or(LevelFilter::Info),
            personal_data: table.flag("personal_data").unwrap_or(false),
        };
        table.finish();
        settings
    }
}

fn read_keep(table: &Table<'_>) -> Option<u32> {
    table.integer_within("keep", "files", 1..=9999)
}

fn log_file(path: &str) -> Result<PathBuf, String> {
    let names_a_file = !path.ends_with('/') && Path::new(path).file_name().is_some();
    if names_a_file { Ok(path.into()) } else { Err(format!("`{path}` names no file")) }
}

fn level(name: &str) -> Result<LevelFilter, String> {
    name.parse().map_err(|_| format!("`{name}` is no level; there are off, error, warn, info, debug, trace"))
}

#[cfg(test)]
mod tests;
