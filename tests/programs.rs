//! `exec` behind real servers: the bots of ten lines, and what a program sees of us.

use std::fs;

use crate::support::{Door, Site, WeChat, available, repository};

fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

/// An account whose every text is answered by this program.
fn program(line: &str) -> String {
    format!(
        "[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.type = \"text\"\nexec = [\"sh\", \"-c\", '{line}']\n"
    )
}

#[test]
fn bots_of_ten_lines_answer_and_remember() {
    for door in Door::open_ones([Door::ApacheCgid, Door::NginxUnix]) {
        let examples = repository().join("examples");
        let config = fs::read_to_string(examples.join("handlers.toml")).expect("readable");
        let site = Site::behind(door).with_config(&config).at("/weixin").open();
        let folder = site.config().parent().expect("a folder");
        for bot in ["bot.py", "bot.php", "bot.sh"] {
            fs::copy(examples.join(bot), folder.join(bot)).expect("writable");
        }
        for time in 1..=2 {
            let answer = site.receives(&wechat().says("查上海"));
            assert_eq!(answer.reply("MsgType"), "news", "{answer}");
            assert_eq!(answer.reply("Title"), "上海今天晴");
            assert_eq!(answer.reply("Description"), format!("第 {time} 次查询"));
        }
        if available("php") {
            site.receives(&wechat().says("算 3 4")).replies("3 + 4 = 7");
            site.receives(&wechat().says("算")).replies("请发“算 3 4”");
        }
        let clock = site.receives(&wechat().says("时间")).reply("Content");
        assert!(clock.len() == 5 && clock.as_bytes()[2] == b':', "{clock}");
        site.receives(&wechat().says("重启")).replies("这个不行");
        // Behind Apache the program runs in a process of its own, which keeps no stderr of Apache's.
        if matches!(door, Door::NginxUnix) {
            assert!(site.logs().contains("`sh` says `没有这个命令：重启`"), "{}", site.logs());
        }
        site.receives(&wechat().says("你好")).replies("发“查上海”“算 3 4”或“时间”试试");
    }
}

#[test]
fn a_program_has_its_own_three_descriptors_and_no_others() {
    for door in Door::open_ones([Door::ApacheCgi, Door::ApacheCgid, Door::NginxUnix, Door::ApacheFcgid]) {
        let site = Site::behind(door).with_config(&program("exec ls /proc/self/fd")).open();
        // The last is the folder that `ls` reads.
        site.receives(&wechat().says("x")).replies("0\n1\n2\n3");
    }
}

#[test]
fn a_programs_environment_holds_nothing_of_the_request_or_the_server() {
    for door in Door::open_ones([Door::ApacheCgi, Door::NginxUnix, Door::ApacheFcgid]) {
        let names = r#"env | grep -v ^WX_ | cut -d= -f1 | sort | tr "\n" " ""#;
        let site = Site::behind(door).with_config(&program(names)).open();
        // Its shell sets the second.
        site.receives(&wechat().says("x")).replies("PATH PWD");
    }
}

#[test]
fn a_program_may_open_as_many_files_as_we_could_when_we_were_started() {
    for door in Door::open_ones([Door::NginxUnix]) {
        let site = Site::behind(door)
            .with_config(&program("read -r _; ulimit -Sn"))
            .started_by(&["prlimit", "--nofile=300:4096"])
            .open();
        assert!(site.responder().descriptor_limit() > 300, "raised, for connections");
        site.receives(&wechat().says("x")).replies("300");
    }
}
