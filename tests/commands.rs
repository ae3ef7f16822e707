//! The commands for a person, as typed in a shell.

mod explain;
mod golden;
mod import;
mod retries;
mod schema;
mod simulate;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Answer, Door, Keys, Request, Site, WeChat, available, command, element, elements, free_port, need, now,
    program, repository,
};

/// A person: a home, and a current folder in it.
struct Desk {
    home: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(home.path().join("here")).expect("our folder");
        Self { home }
    }

    /// A desk with `config` as `./wxcgi.toml`.
    fn with(config: &str) -> Self {
        let desk = Self::new();
        desk.put("wxcgi.toml", config);
        desk
    }

    /// A file of the current folder.
    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join("here").join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        put(&self.at(name), text)
    }

    /// The program under a name of its own, so that a config which this machine has in `/etc/wxcgi` is not its.
    fn program(&self) -> PathBuf {
        let path = self.home.path().join("wxcgi-desk");
        if !path.exists() {
            let made = fs::hard_link(program(), &path).or_else(|_| fs::copy(program(), &path).map(drop));
            made.expect("our folder takes the program");
        }
        path
    }

    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(self.program());
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path().join("here"));
        // As root it would be a folder of the whole machine.
        command.env("WXCGI_STATE_DIR", self.home.path().join("state"));
        command.stdin(Stdio::null()).args(arguments);
        command
    }

    fn run<const N: usize>(&self, arguments: [&str; N]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs the program as a CGI, with the config of this desk.
    fn receives(&self, request: &Request) -> Answer {
        let (variables, body) = request.meta_variables("/weixin");
        let mut command = self.command([]);
        command.env("WXCGI_CONFIG", self.at("wxcgi.toml"));
        for (name, value) in variables {
            use std::os::unix::ffi::OsStringExt;
            command.env(name, std::ffi::OsString::from_vec(value));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let _ = child.stdin.take().expect("a pipe").write_all(&body);
        let output = child.wait_with_output().expect("it ends");
        Answer::from_cgi(&output.stdout, request.summary("/weixin"))
    }
}

fn put(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a folder")).expect("our folder");
    fs::write(path, text).expect("our folder");
    set_mode(path, 0o600);
    path.to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It ended with this code.
    #[track_caller]
    fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// It printed each of these.
    #[track_caller]
    fn prints(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.out.contains(part), "no `{part}` in {}\n{}", self.out, self.err);
        }
        self
    }

    /// It said each of these on stderr.
    #[track_caller]
    fn complains(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in {}\n{}", self.err, self.out);
        }
        self
    }

    /// It printed or said none of these.
    #[track_caller]
    fn keeps_quiet_about(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(!self.out.contains(part) && !self.err.contains(part), "it tells `{part}`: {self:#?}");
        }
        self
    }

    /// The query that `sign` printed.
    #[track_caller]
    fn query(&self) -> &str {
        self.exits(0);
        self.out.strip_suffix('\n').filter(|query| !query.contains(char::is_whitespace)).expect("a query")
    }
}

const GOOD: &str = "[account]\ntoken = \"mytoken\"\n\n[[rule]]\nname = \"weather\"\nwhen.text = \"天气\"\n\
                    reply = \"北京天气挺好的！\"\n\n[[rule]]\nwhen.event = \"CLICK\"\nwhen.key = \"V1001\"\n\
                    reply.image = { media_id = \"{{ message.event_key }}\" }\n\n[[rule]]\nwhen.type = \"image\"\n\
                    reply = \"{{ message.media_id }} {{ message.pic_url }}\"\n";

/// [`GOOD`] with keys, in this mode.
fn secure(mode: &str) -> String {
    let keys = Keys::ours();
    let account = format!(
        "token = \"{}\"\napp_id = \"{}\"\nencoding_aes_key = \"{}\"\nmode = \"{mode}\"",
        keys.token, keys.app_id, keys.aes
    );
    GOOD.replace("token = \"mytoken\"", &account)
}

#[test]
fn check_finds_no_fault_with_a_good_config() {
    let desk = Desk::with(GOOD);
    desk.run(["check"]).exits(0).prints(&["wxcgi.toml: 3 rules; no faults\n"]);
    desk.run(["check", "wxcgi.toml"]).exits(0).prints(&["no faults"]);
    desk.run(["check", "--config", "wxcgi.toml"]).exits(0).prints(&["no faults"]);
    let json = desk.run(["check", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.exits(0).out).expect("JSON"), Value::Array(Vec::new()));
}

/// A fault in each of these lines.
const FAULTY: &str = "[account]\ntoken = \"mytoken\"\nmode = \"secret\"\n\n[sever]\n\n[[rule]]\nwhen.txt = \"天气\"\n\
                      reply = \"x\"\n\n[[rule]]\nwhen = { text = \"你好\", regx = \"x\" }\nreply = \"{{ citty }}\"\n\n\
                      [[rule]]\nwhen.regex = \"(\"\nreply.imag = { media_id = \"m\" }\n";

#[test]
fn check_shows_all_faults_at_once_each_with_its_place_a_caret_and_a_cure() {
    let desk = Desk::with(FAULTY);
    let ran = desk.run(["check"]);
    ran.exits(2).complains(&["wxcgi.toml: ", "faults; the config is not taken"]);
    for place in ["3:8: ", "5:2: ", "8:6: ", "12:23: ", "16:15: "] {
        ran.prints(&[&format!("wxcgi: wxcgi.toml:{place}")]);
    }
    ran.prints(&[
        "wxcgi.toml:8:6: unknown condition `txt`\n  |\n8 | when.txt = \"天气\"\n  |      ^^^ did you mean `text`?\n  = known here: text, ",
        // The caret stands below the word though each Chinese character is two columns wide.
        "12 | when = { text = \"你好\", regx = \"x\" }\n   |                         ^^^^ did you mean `regex`?",
        "known here: account, server, log, table, chat, rule, step, blocked, include, welcome, unfollow, default, api, store, delivery, menu",
    ]);
    let carets = ran.out.lines().filter(|line| line.contains("| ") && line.contains('^')).count();
    let faults = ran.out.lines().filter(|line| line.starts_with("wxcgi: ")).count();
    assert!(carets == faults && faults >= 6, "{}", ran.out);
    ran.complains(&[&format!("{faults} faults;")]);
    // A fault as the README shows it, to the letter.
    let readme = "[account]\ntoken = \"mytoken\"\n\n[[rule]]\nwhen.txt = \"天气\"\nreply = \"x\"\n";
    Desk::with(readme).run(["check"]).exits(2).prints(&[
        "wxcgi: wxcgi.toml:5:6: unknown condition `txt`\n  |\n5 | when.txt = \"天气\"\n  |      ^^^ did you mean `text`?\n  = \
         known here: text, contains, prefix, suffix, all_of, none_of, regex, key_regex, type, event, key, field, near, from, not_from, share, hours, weekdays, dates, step, session, first, exec, http, fold\n",
    ]);
}

#[test]
fn check_tells_whether_a_last_good_config_goes_on() {
    let good = "[account]\ntoken = \"mytoken\"\n[default]\nreply = \"good\"\n";
    let broken = "[account]\n[default]\nreply = \"broken\"\n";
    let desk = Desk::with(broken);
    assert!(desk.run(["check"]).exits(2).err.ends_with("1 fault; the config is not taken\n"));
    desk.put("wxcgi.toml", good);
    desk.receives(&WeChat::with_token("mytoken").says("x")).replies("good");
    desk.put("wxcgi.toml", broken);
    desk.run(["check"]).exits(2).complains(&["is not taken; the last good one, of 20", "Z, goes on"]);
    desk.receives(&WeChat::with_token("mytoken").says("x")).replies("good");
}

#[test]
fn check_tells_programs_the_same_as_json() {
    let desk = Desk::with(FAULTY);
    set_mode(&desk.at("wxcgi.toml"), 0o644);
    let ran = desk.run(["check", "--json"]);
    let faults: Vec<Value> = serde_json::from_str(&ran.exits(2).out).expect("a list");
    assert!(faults.len() >= 7, "{faults:#?}");
    for fault in &faults {
        let severity = fault["severity"].as_str().expect("a severity");
        assert_eq!(fault["file"], "wxcgi.toml", "{fault}");
        assert!(fault["message"].as_str().is_some_and(|message| !message.is_empty()), "{fault}");
        match severity {
            "fault" => assert!(fault["line"].is_u64() && fault["column"].is_u64(), "{fault}"),
            severity => assert_eq!(severity, "warning"),
        }
    }
    let txt = faults.iter().find(|fault| fault["line"] == 8).expect("the fault of line 8");
    assert_eq!(txt["column"], 6);
    assert_eq!(txt["message"], "unknown condition `txt`");
    assert!(faults.iter().any(|fault| fault["severity"] == "warning"));
    assert_eq!(ran.err, "");
}

#[test]
fn no_command_tells_a_secret_however_wrong_the_config_is() {
    let secret = "hushHUSHhush77";
    let lines = [
        "token = \"S\"\ntoken = \"S\"",
        "tokne = \"S\"",
        "Token = \"S\"",
        "'token ' = \"S\"",
        "\"tokne\" = \"S\"",
        "token = S",
        "token = so S",
        "token = \"S",
        "token = 'S",
        "token = \"S\" S",
        "token = \"x\"S\"",
        "token = \"x\\\"S\\q\"",
        "token = [\"S\"]",
        "token = [ \"x\", \"S\" ]",
        "token = { litteral = \"S\" }",
        "token = { env = \"X\", value = \"S\" }",
        "token: \"S\"",
        "token \"S\"",
        "token = \"\"\"S\"\"\" x",
        "token = \"x\"\nprevious_tokn = \"S\"",
        "token = \"x\"\nAppSecret = \"S\"",
        "token = \"x\"\nsecret = \"S\"",
        "token = \"x\"\nEncodingAESKey = \"S\"",
        "token = \"x\"\naes_key = \"S\"",
        "token = \"x\"\napp_id = \"wx\"\nencoding_aes_key = \"S\"",
        "token = \"x\"\nprevious_encoding_aes_key = \"S\"",
        "token = \"S\"\nmod = \"any\"\nmode = \"x\"",
        "token = \"S\"\npath = 7 # token = \"S\"",
        "token = \"S\" # \u{1}",
    ];
    for line in lines {
        for text in [
            format!("[account]\n{line}\n[[rule]]\nwhen.txt = \"x\"\nreply = \"x\"\n"),
            format!("account = {{ {} , mod = 1 }}\n", line.replace('\n', ", ")),
        ] {
            let text = text.replace('S', secret).replace(&format!("App{secret}"), "AppS");
            let text = text.replace(&format!("E{secret}"), "ES");
            let desk = Desk::with(&text);
            desk.run(["check"]).exits(2).keeps_quiet_about(&[secret]).prints(&["wxcgi: wxcgi.toml:"]);
            desk.run(["check", "--json"]).exits(2).keeps_quiet_about(&[secret]);
            desk.run(["simulate", "x"]).exits(2).keeps_quiet_about(&[secret]).complains(&["wxcgi.toml:"]);
            desk.run(["sign"]).exits(2).keeps_quiet_about(&[secret]);
            desk.run(["init", "apache"]).keeps_quiet_about(&[secret]);
        }
    }
    let desk = Desk::with(&GOOD.replace("mytoken", secret));
    desk.run(["check"]).exits(0).keeps_quiet_about(&[secret]);
    desk.run(["simulate", "x"]).exits(0).keeps_quiet_about(&[secret]);
    desk.run(["sign", "--echostr", "x"]).exits(0).keeps_quiet_about(&[secret]);
    desk.run(["simulate", "--raw", "x"]).exits(0).keeps_quiet_about(&[secret]);
}

#[test]
fn check_looks_at_who_else_may_read_or_write_the_config() {
    let desk = Desk::with(GOOD);
    for mode in [0o600, 0o640, 0o400] {
        set_mode(&desk.at("wxcgi.toml"), mode);
        desk.run(["check"]).exits(0).keeps_quiet_about(&["warning"]);
    }
    set_mode(&desk.at("wxcgi.toml"), 0o644);
    desk.run(["check"]).exits(0).prints(&[
        "warning: everybody on this machine may read",
        "(mode 0644)",
        "chmod 6",
        ", 1 warning\n",
    ]);
    for mode in [0o666, 0o602, 0o777] {
        set_mode(&desk.at("wxcgi.toml"), mode);
        desk.run(["check"]).exits(2).prints(&[
            "everybody on this machine may write `",
            &format!("(mode {mode:04o})"),
            "chmod 640",
        ]);
        desk.run(["simulate", "天气"]).exits(2).keeps_quiet_about(&["北京"]);
    }
}

#[test]
fn a_secret_in_a_file_or_a_variable_is_found_and_what_is_missing_is_named() {
    let desk = Desk::with(&GOOD.replace("\"mytoken\"", "{ file = \"token.txt\" }"));
    desk.run(["check"]).exits(2).prints(&["wxcgi.toml:2:9: cannot read the secret in `", "token.txt`"]);
    desk.put("token.txt", "mytoken\n");
    desk.run(["check"]).exits(0);
    set_mode(&desk.at("token.txt"), 0o644);
    desk.run(["check"]).exits(0).prints(&["warning: everybody on this machine may read the secret"]);
    let desk = Desk::with(&GOOD.replace("\"mytoken\"", "{ env = \"WX_TOKEN\" }"));
    desk.run(["check"]).exits(2).prints(&["the environment variable `WX_TOKEN` is not set"]);
    Ran::of(desk.command(["check"]).env("WX_TOKEN", "mytoken")).exits(0);
}

#[test]
fn commands_look_for_the_config_here_then_in_the_variable_then_at_home() {
    let answering =
        |who: &str| format!("[account]\ntoken = \"mytoken\"\n[default]\nreply = \"from {who}\"\n");
    let desk = Desk::new();
    let asked = |named: Option<&str>| {
        let mut command = desk.command(["simulate", "x"]);
        if let Some(named) = named {
            command.args(["--config", named]);
        }
        Ran::of(command.env("WXCGI_CONFIG", desk.at("variable.toml")))
    };
    put(&desk.home.path().join(".config/wxcgi/wxcgi-desk.toml"), &answering("home"));
    desk.run(["simulate", "x"]).exits(0).prints(&["from home"]);
    desk.put("variable.toml", &answering("variable"));
    asked(None).exits(0).prints(&["from variable"]);
    desk.put("wxcgi.toml", &answering("here"));
    asked(None).exits(0).prints(&["from here"]);
    desk.put("named.toml", &answering("named"));
    asked(Some("named.toml")).exits(0).prints(&["from named"]);
    asked(Some("nowhere.toml")).exits(2).complains(&["nowhere.toml", "cannot read the config"]);
    // A faulty file is not passed over.
    desk.put("wxcgi.toml", "[account]\n");
    asked(None).exits(2).complains(&["wxcgi.toml:1"]);
    // Without any there is nothing to check.
    Desk::new().run(["check"]).exits(2).complains(&["there is no config", "wxcgi init config"]);
}

#[test]
fn simulate_shows_a_newcomer_the_main_job_without_any_config() {
    let ran = Desk::new().run(["simulate", "你好"]);
    ran.exits(0).prints(&[
        "built-in sample",
        "user     你好\n",
        "account  你好！回复“天气”试试看。\n",
        "text · rule 1 `hello` (line 14) · ",
        " ms\n",
    ]);
    assert_eq!(ran.err, "");
    Desk::new().run(["sim", "查上海天气"]).exits(0).prints(&["account  上海今天晴\n", "`weather of a city`"]);
}

#[test]
fn simulate_sends_texts_events_and_messages_of_any_type() {
    let desk = Desk::with(GOOD);
    desk.run(["simulate", "天气"])
        .exits(0)
        .prints(&["account  北京天气挺好的！\n", "text · rule 1 `weather` (line 4) · "]);
    desk.run(["simulate", "--event", "CLICK", "--key", "V1001"]).exits(0).prints(&[
        "user     [event CLICK]\n",
        "account  [image]\n",
        "MediaId: V1001\n",
        "image · rule 2 (line 9) · ",
    ]);
    desk.run(["simulate", "--type", "image", "--field", "MediaId=m1", "--field", "PicUrl=http://x/?a=b"])
        .exits(0)
        .prints(&["user     [image]\n", "account  m1 http://x/?a=b\n", "text · rule 3 (line 14) · "]);
    desk.run(["simulate", "什么"]).exits(0).prints(&["the user sees no answer", "`success` · no rule · "]);
    desk.run(["simulate", "a]]>b<&"]).exits(0).prints(&["user     a]]>b<&\n"]);
    for wrong in [
        &["simulate"][..],
        &["simulate", "--type", "image", "--field", "=x"],
        &["simulate", "x", "--mode", "no"],
    ] {
        Ran::of(desk.command([]).args(wrong)).exits(2);
    }
}

#[test]
fn simulate_goes_through_every_mode() {
    for (accepted, sent, shown) in [
        ("any", "plaintext", "text · rule 1"),
        ("any", "compatible", "text, encrypted · rule 1"),
        ("any", "secure", "text, encrypted · rule 1"),
        ("secure", "secure", "text, encrypted · rule 1"),
        ("compatible", "compatible", "text, encrypted · rule 1"),
    ] {
        let desk = Desk::with(&secure(accepted));
        desk.run(["simulate", "天气", "--mode", sent])
            .exits(0)
            .prints(&["account  北京天气挺好的！\n", shown]);
    }
    // Without being told: the weakest that is taken.
    Desk::with(&secure("secure")).run(["simulate", "天气"]).exits(0).prints(&["text, encrypted"]);
    Desk::with(GOOD)
        .run(["simulate", "天气", "--mode", "secure"])
        .exits(2)
        .complains(&["`account.encoding_aes_key`", "`account.app_id`"]);
}

#[test]
fn simulate_tells_why_a_call_is_refused() {
    let desk = Desk::with(&secure("secure"));
    let ran = desk.run(["simulate", "天气", "--mode", "plaintext"]);
    ran.exits(1).complains(&[
        "weaker than `account.mode` allows",
        "answered 403",
        "该公众号提供的服务出现故障",
    ]);
    ran.keeps_quiet_about(&["北京"]);
    let desk = Desk::with(&format!("{GOOD}\n[server]\nmax_body = \"100\"\n"));
    desk.run(["simulate", "天气"]).exits(1).complains(&["answered 413"]);
}

#[test]
fn simulate_prints_the_very_document_that_the_web_server_gets() {
    let desk = Desk::with(&secure("any"));
    let ran = desk.run(["simulate", "天气", "--raw", "--openid", "oMe"]);
    let answer = Answer::from_cgi(ran.exits(0).out.as_bytes(), "simulate".to_owned());
    assert!(ran.out.starts_with("Status: 200 OK\r\n"), "{}", ran.out);
    answer.replies("北京天气挺好的！").has("content-length", &answer.body.len().to_string());
    assert_eq!((answer.reply("ToUserName").as_str(), elements(&answer.text()).len()), ("oMe", 5));
    assert_eq!(ran.err, "");
    let ran = desk.run(["simulate", "什么", "--raw"]);
    Answer::from_cgi(ran.exits(0).out.as_bytes(), "simulate".to_owned()).acknowledges();
    if available("wechatpy") {
        let ran = desk.run(["simulate", "天气", "--raw", "--mode", "secure"]);
        let opened = Keys::ours().open(&Answer::from_cgi(ran.exits(0).out.as_bytes(), "simulate".to_owned()));
        assert_eq!(element(&opened, "Content").as_deref(), Some("北京天气挺好的！"));
    }
}

#[test]
fn sign_makes_a_query_that_the_cgi_takes_and_whose_signature_is_right() {
    let desk = Desk::with(GOOD);
    let query = desk.run(["sign"]).query().to_owned();
    assert!(WeChat::with_token("mytoken").vouches_for(&query), "{query}");
    assert!(!WeChat::with_token("other").vouches_for(&query));
    assert_ne!(query, desk.run(["sign"]).query(), "the nonce is chance");
    desk.receives(&Request::new("GET").raw_query(&query)).is(200);
    for echostr in ["hello", "a b+c%20&=?#'\"", "你好😀\n"] {
        let ran = desk.run(["sign", "--echostr", echostr]);
        desk.receives(&Request::new("GET").raw_query(ran.query())).is(200).says(echostr);
    }
    let fixed = desk.run(["sign", "--timestamp", "1700000000", "--nonce", "n"]);
    assert!(WeChat::with_token("mytoken").vouches_for(fixed.query()), "{fixed:?}");
    fixed.prints(&["timestamp=1700000000", "nonce=n"]);
    let message = WeChat::message("text", "<Content>天气</Content>");
    let post = Request::new("POST").body(message).raw_query(desk.run(["sign"]).query());
    desk.receives(&post).replies("北京天气挺好的！");
}

#[test]
fn the_commands_by_hand_work_as_both_readmes_show_them() {
    for (name, heading) in [("README.md", "\n## By hand\n"), ("README.zh-CN.md", "\n## 手工运行\n")] {
        let readme = fs::read_to_string(repository().join(name)).expect(name);
        let (before, by_hand) = readme.split_once(heading).expect(heading);
        let desk = Desk::with(block(before, "toml"));
        let bin = desk.home.path().join("bin");
        fs::create_dir(&bin).expect("our folder");
        symlink(program(), bin.join("wxcgi")).expect("our folder");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
        // No web server listens here for curl.
        let lines: Vec<_> = block(by_hand, "sh").lines().filter(|line| !line.starts_with("curl ")).collect();
        let mut bash = command("bash");
        bash.env_clear().env("PATH", path).env("WXCGI_STATE_DIR", desk.at("state")).current_dir(desk.at(""));
        let ran = Ran::of(bash.args(["-eu", "-c", &lines.join("\n")]).stdin(Stdio::null()));
        let (verified, replied) = ran.exits(0).out.split_at(ran.out.rfind("Status: ").expect("two answers"));
        Answer::from_cgi(verified.as_bytes(), name.to_owned()).is(200).says("hello");
        Answer::from_cgi(replied.as_bytes(), name.to_owned()).replies("北京天气挺好的！");
    }
}

/// The first block of `text` that is marked as `language`.
fn block<'t>(text: &'t str, language: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("\n```{language}\n")).expect(language);
    rest.split_once("```\n").expect("its end").0
}

#[test]
fn sign_seals_a_body_that_the_cgi_and_wechatpy_open() {
    let (desk, keys) = (Desk::with(&secure("secure")), Keys::ours());
    let message = WeChat::message("text", "<Content><![CDATA[天气]]></Content>");
    desk.put("message.xml", &message);
    let query = desk.run(["sign", "--seal", "message.xml", "--out", "sealed.xml"]).query().to_owned();
    let sealed = fs::read_to_string(desk.at("sealed.xml")).expect("the body");
    assert!(
        !sealed.contains("天气") && query.contains("&encrypt_type=aes&msg_signature="),
        "{query} {sealed}"
    );
    let answer = desk.receives(&Request::new("POST").raw_query(&query).body(&sealed));
    answer.is(200).keeps_quiet_about(&["北京"]);
    if available("wechatpy") {
        let value = |name: &str| {
            let parts = query.split('&').filter_map(|part| part.split_once('='));
            parts.into_iter().find(|(n, _)| *n == name).expect(name).1.to_owned()
        };
        let opened = keys.open_push(&sealed, &value("msg_signature"), &value("timestamp"), &value("nonce"));
        assert_eq!(opened, message);
        assert_eq!(element(&keys.open(&answer), "Content").as_deref(), Some("北京天气挺好的！"));
    }
    let mut from_stdin = desk.command(["sign", "--seal", "-", "--out", "again.xml"]);
    let file = fs::File::open(desk.at("message.xml")).expect("our file");
    let ran = Ran::of(from_stdin.stdin(file));
    let again = fs::read_to_string(desk.at("again.xml")).expect("the body");
    desk.receives(&Request::new("POST").raw_query(ran.query()).body(again)).is(200);
    desk.run(["sign", "--seal", "message.xml"]).exits(2);
    desk.run(["sign", "--seal", "none.xml", "--out", "x"]).exits(1).complains(&["none.xml"]);
    Desk::with(GOOD).run(["sign", "--seal", "none.xml", "--out", "x"]);
}

#[test]
fn init_writes_a_config_with_a_token_of_its_own_that_checks() {
    let (desk, other) = (Desk::new(), Desk::new());
    let token = |desk: &Desk| {
        desk.run(["init", "config", "--write"]).exits(0).prints(&["wrote wxcgi.toml"]);
        let text = fs::read_to_string(desk.at("wxcgi.toml")).expect("the config");
        let line = text.lines().find_map(|line| line.strip_prefix("token = \"")).expect("a token").to_owned();
        line.trim_end_matches('"').to_owned()
    };
    let (ours, theirs) = (token(&desk), token(&other));
    assert!(ours != theirs && (16..=32).contains(&ours.len()), "{ours} {theirs}");
    assert!(ours.chars().all(|letter| letter.is_ascii_alphanumeric()), "{ours}");
    assert_eq!(mode_of(&desk.at("wxcgi.toml")), 0o600);
    let checked = desk.run(["check", "--json"]);
    assert_eq!(checked.exits(0).out.trim(), "[]");
    desk.receives(&WeChat::with_token(&ours).says("天气")).replies("北京天气挺好的！");
    // Nothing that lies there is overwritten.
    desk.run(["init", "config", "--write"]).exits(1).complains(&["cannot write `wxcgi.toml`"]);
    desk.run(["init", "apache", "--write", "wxcgi.toml"]).exits(1);
    desk.receives(&WeChat::with_token(&ours).says("天气")).replies("北京天气挺好的！");
    desk.run(["init", "config"])
        .exits(0)
        .prints(&["[account]", "[[rule]]"])
        .keeps_quiet_about(&[&ours, "mytoken"]);
}

/// Every snippet that `init` knows.
const SNIPPETS: [(&str, &str); 10] = [
    ("apache", "scriptalias"),
    ("apache", "proxy-fcgi"),
    ("apache", "fcgid"),
    ("nginx", "unix"),
    ("nginx", "tcp"),
    ("nginx", "keepalive"),
    ("nginx", "fcgiwrap"),
    ("systemd", "service"),
    ("systemd", "socket"),
    ("htaccess", "htaccess"),
];

#[test]
fn init_speaks_of_the_places_at_hand() {
    // The words that are replaced stand in what replaces them: nothing may be replaced twice.
    let desk = Desk::new();
    let config = put(&desk.home.path().join("weixin/run/wxcgi/wxcgi.sock.toml"), GOOD);
    let config = config.to_str().expect("a plain name");
    let mut told = [0; 4];
    for (what, kind) in SNIPPETS {
        let mut init = desk.command(["init", what, "--kind", kind, "--url-path", "/wechat/in"]);
        init.args(["--socket", "/srv/weixin/wx.sock", "--config", config, "--program", "/opt/weixin/wx"]);
        let ran = Ran::of(&mut init);
        ran.exits(0).keeps_quiet_about(&[
            "/usr/local/bin/wxcgi",
            "/etc/wxcgi/wxcgi.toml",
            "/run/wxcgi/wxcgi.sock ",
        ]);
        let places = ["/wechat/in", "/srv/weixin/wx.sock", config, "/opt/weixin/wx"];
        let mut rest = ran.out.clone();
        for (count, place) in told.iter_mut().zip(places) {
            *count += rest.matches(place).count();
            rest = rest.replace(place, "");
        }
        assert!(!rest.contains("/weixin") && !rest.contains("/wechat"), "{what} {kind}: {rest}");
    }
    assert!(told.iter().all(|count| *count >= 4), "{told:?}");
    // By itself it finds the program; a server's config is not the one here, with which one tries things.
    let desk = Desk::with(GOOD);
    let program = desk.program().display().to_string();
    desk.run(["init", "apache"]).exits(0).prints(&[&program, "/etc/wxcgi/wxcgi.toml", "/weixin"]);
    let ran = Ran::of(desk.command(["init", "apache"]).env("WXCGI_CONFIG", "shop.toml"));
    let config = desk.at("shop.toml").display().to_string();
    ran.exits(0).prints(&[&config]).keeps_quiet_about(&["/etc/wxcgi/wxcgi.toml"]);
    // What would be something else in the server's language.
    for wrong in [["--url-path", "weixin"], ["--url-path", "/a b"], ["--config", "/my config"]] {
        desk.run(["init", "apache", wrong[0], wrong[1]]).exits(2).complains(&[&format!("`{}`", wrong[1])]);
    }
    desk.run(["init", "systemd"]).exits(0).prints(&[
        "[Socket]",
        "[Service]",
        &format!("ExecStart={program} "),
    ]);
    desk.run(["init", "nginx", "--kind", "x"]).exits(2).complains(&["unix, tcp, keepalive, fcgiwrap"]);
    desk.run(["init", "nginx", "--write"]).exits(2).complains(&["--write FILE"]);
    desk.run(["init", "htaccess", "--write"]).exits(0);
    desk.run(["init", "htaccess", "--write"]).exits(1);
    desk.run(["init", "nginx", "--write", "nginx.conf"]).exits(0).prints(&["wrote nginx.conf"]);
    let written = fs::read_to_string(desk.at("nginx.conf")).expect("the snippet");
    assert_eq!(written, desk.run(["init", "nginx"]).out);
    assert_eq!(mode_of(&desk.at("nginx.conf")) & 0o700, 0o600);
}

#[test]
fn nginx_takes_what_init_prints() {
    if !available("nginx") {
        return;
    }
    for kind in ["unix", "tcp", "keepalive", "fcgiwrap"] {
        let desk = Desk::with(GOOD);
        let snippet =
            desk.run(["init", "nginx", "--kind", kind, "--url-path", "/wechat"]).exits(0).out.clone();
        let listen = format!("listen 127.0.0.1:{};", free_port());
        let (snippet, server) = match kind {
            "keepalive" => (snippet.replace("listen      80;", &listen), "include snippet.conf;".to_owned()),
            _ => (snippet, format!("server {{ {listen} include snippet.conf; }}")),
        };
        desk.put("snippet.conf", &snippet);
        fs::copy("/etc/nginx/fastcgi_params", desk.at("fastcgi_params")).expect("nginx has fastcgi_params");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", desk.at(kind).display()))
            .concat();
        let main = format!(
            "pid {};\nevents {{}}\nhttp {{ access_log off; {temporary} {server} }}\n",
            desk.at("pid").display()
        );
        let main = desk.put("nginx.conf", &main);
        let mut nginx = command("nginx");
        nginx.arg("-t").arg("-p").arg(desk.at("")).arg("-e").arg(desk.at("error.log")).arg("-c").arg(main);
        Ran::of(&mut nginx).exits(0).complains(&["syntax is ok"]);
    }
}

#[test]
fn apache_takes_what_init_prints() {
    if !available("apache2") {
        return;
    }
    need("apache2");
    for (kind, modules) in [
        ("scriptalias", &["mpm_event", "cgid"][..]),
        ("proxy-fcgi", &["mpm_event", "proxy", "proxy_fcgi"]),
        ("fcgid", &["mpm_event", "fcgid"]),
        ("htaccess", &["mpm_event", "cgid", "mime", "rewrite"]),
    ] {
        if kind == "fcgid" && !available("mod_fcgid") {
            continue;
        }
        let desk = Desk::with(GOOD);
        let what = if kind == "htaccess" { kind } else { "apache" };
        let snippet = desk.run(["init", what, "--kind", kind, "--url-path", "/wechat"]).exits(0).out.clone();
        desk.put("snippet.conf", &snippet);
        let here = desk.at("");
        let root = here.to_str().expect("a plain name").trim_end_matches('/');
        let load: Vec<_> = ["authz_core", "alias", "env"]
            .iter()
            .chain(modules)
            .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
            .collect();
        let include = match kind {
            "htaccess" => format!(
                "<Directory {root}>\nInclude {root}/snippet.conf\n</Directory>\nTypesConfig /dev/null\n"
            ),
            _ => format!("Include {root}/snippet.conf\n"),
        };
        let main = format!(
            "ServerRoot {root}\nServerName wx.example.com\nListen 127.0.0.1:{}\nPidFile {root}/pid\nErrorLog {root}/error.log\n\
             DefaultRuntimeDir {root}\nMutex file:{root} default\nDocumentRoot {root}\n{}{include}",
            free_port(),
            load.concat()
        );
        let main = desk.put("apache.conf", &main);
        Ran::of(command("apache2").arg("-t").arg("-f").arg(main)).exits(0).complains(&["Syntax OK"]);
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = Desk::new().run(["completions", shell]);
        ran.exits(0).prints(&["wxcgi", "simulate", "fastcgi", "completions", "--echostr"].map(|word| {
            // fish writes options without their dashes.
            if shell == "fish" { word.trim_start_matches('-') } else { word }
        }));
        assert_eq!(ran.err, "");
    }
    Desk::new().run(["completions", "tcsh"]).exits(2);
}

#[test]
fn help_comes_without_arguments_and_on_demand() {
    let desk = Desk::new();
    let commands = ["fastcgi", "check", "simulate", "sign", "init", "completions"];
    for ran in [desk.run([]), desk.run(["--help"]), desk.run(["-h"]), desk.run(["help"])] {
        ran.exits(0).prints(&commands).prints(&["微信公众号", "Usage: wxcgi"]);
        assert_eq!(ran.err, "");
    }
    for command in commands {
        desk.run([command, "--help"]).exits(0).prints(&[&format!("Usage: wxcgi-desk {command}")]);
        desk.run(["help", command]).exits(0);
    }
    let version = concat!("wxcgi ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(desk.run(["--version"]).exits(0).out, version);
    let ran = desk.run(["simulat", "x"]);
    ran.exits(2).complains(&["simulat", "'simulate'"]);
    assert_eq!(ran.out, "");
    desk.run(["check", "--no-such-option"]).exits(2);
    desk.run(["fastcgi"]).exits(2).complains(&["--listen"]);
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let desk = Desk::with(GOOD);
    for arguments in [
        &[][..],
        &["--help"],
        &["--version"],
        &["check"],
        &["check", "--json"],
        &["simulate", "天气"],
        &["simulate", "天气", "--raw"],
        &["sign"],
        &["init", "config"],
        &["init", "nginx"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = desk.command([]);
        let ended = command.args(arguments).stdout(writer).stderr(Stdio::piped()).spawn().expect("it runs");
        drop(command);
        let output = ended.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(0) && said.is_empty(),
            "{arguments:?}: {} {said}",
            output.status
        );
    }
}

#[test]
fn a_stamp_of_long_ago_is_signed_but_not_taken() {
    let site = Site::behind(Door::ByHand).with_config(GOOD).open();
    let old = (now() - 3600).to_string();
    let desk = Desk::with(GOOD);
    let ran = desk.run(["sign", "--timestamp", &old, "--echostr", "x"]);
    site.receives(&Request::new("GET").raw_query(ran.query())).is(403);
}

#[test]
fn the_readmes_quote_the_last_result_of_the_benchmark() {
    let read = |name: &str| fs::read_to_string(repository().join(name)).expect(name);
    let result = read("benches/result.txt");
    for name in ["README.md", "README.zh-CN.md"] {
        assert!(read(name).contains(&format!("```text\n{result}```\n")), "{name} quotes another result");
    }
}
