//! The config that does what the console did, and its golden tests.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::toml_text::{list, push_value, quoted, quoted_lines};
use super::console::{Answer, Article, Console, Said, When};
use crate::wechat::limits::{MAX_ARTICLES_FOR_EVENT, MAX_ARTICLES_FOR_MESSAGE, MAX_TEXT_BYTES};
use crate::wechat::menu::{Button, Tap};

/// The config. `app_id` is written if it is known.
pub(super) fn config(console: &Console, token: &str, app_id: Option<&str>) -> String {
    let mut text = String::from("# What WeChat's console answered by itself, from `wxcgi import`.\n");
    push_notes(&mut text, &console.notes);
    let _ = write!(
        text,
        "\n[account]\ntoken = {}    # enter it in WeChat's console as the Token (令牌)\n",
        quoted(token)
    );
    if let Some(app_id) = app_id {
        let _ = writeln!(text, "app_id = {}", quoted(app_id));
    }
    text.push_str(
        "fold = false    # words are compared by the letter; without this line `ok` meets `ＯＫ！` as well\n",
    );
    for answer in &console.answers {
        push_answer(&mut text, answer);
    }
    push_buttons(&mut text, &console.menu, "menu.button");
    text
}

fn push_notes(text: &mut String, notes: &[String]) {
    for note in notes {
        let _ = writeln!(text, "# Not carried over: {note}");
    }
}

fn push_answer(text: &mut String, answer: &Answer) {
    text.push('\n');
    push_notes(text, &answer.notes);
    let header = match &answer.when {
        When::Followed => "[welcome]\n",
        When::Otherwise => "[default]\n",
        When::Said { .. } | When::Tapped(_) => "[[rule]]\n",
    };
    text.push_str(header);
    match &answer.when {
        When::Followed => {}
        When::Otherwise => text.push_str("once_every = \"1h\"\n"),
        When::Tapped(key) => {
            let _ = writeln!(
                text,
                "name = {}
when.event = \"CLICK\"
when.key = {}",
                quoted(&answer.name),
                quoted(key)
            );
        }
        When::Said { contains, equals } => {
            let (condition, words) =
                if contains.is_empty() { ("text", equals) } else { ("contains", contains) };
            let _ = writeln!(text, "name = {}\nwhen.{condition} = {}", quoted(&answer.name), list(words));
        }
    }
    if !answer.is_on {
        text.push_str("enabled = false\n");
    }
    push_reply(text, answer);
    if let When::Said { contains, equals } = &answer.when
        && !contains.is_empty()
        && !equals.is_empty()
    {
        let (words, name) = (list(equals), quoted(&answer.name));
        let _ = write!(text, "\n[[rule]]\nwhen.text = {words}\nalias = {name}\n");
    }
}

fn push_reply(text: &mut String, answer: &Answer) {
    match answer.replies.as_slice() {
        [] => text.push_str("reply.none = true\n"),
        [Said::Text(content)] => {
            let _ = writeln!(text, "reply = {}", quoted_lines(&literal(content)));
        }
        [Said::News(articles)] => {
            let _ = writeln!(text, "reply.news = {}", list_in_lines(articles.iter().map(inline_article)));
        }
        [only] => {
            let _ = writeln!(text, "reply = {}", inline(only));
        }
        several => {
            let key = if answer.one_at_random { "reply.random" } else { "reply" };
            let _ = writeln!(text, "{key} = {}", list_in_lines(several.iter().map(inline)));
        }
    }
}

fn list_in_lines(items: impl Iterator<Item = String>) -> String {
    let mut lines = String::from("[\n");
    for item in items {
        let _ = writeln!(lines, "    {item},");
    }
    lines + "]"
}

/// A reply in one line.
fn inline(said: &Said) -> String {
    let media = |kind: &str, media_id: &str| {
        format!("{{ {kind} = {{ media_id = {} }} }}", quoted(&literal(media_id)))
    };
    match said {
        Said::Text(content) => quoted(&literal(content)),
        Said::Image(media_id) => media("image", media_id),
        Said::Voice(media_id) => media("voice", media_id),
        Said::Video(media_id) => media("video", media_id),
        Said::News(articles) => {
            let articles: Vec<_> = articles.iter().map(inline_article).collect();
            format!("{{ news = [{}] }}", articles.join(", "))
        }
    }
}

fn inline_article(article: &Article) -> String {
    let Article { title, description, pic_url, url } = article;
    let members = [("title", title), ("description", description), ("pic_url", pic_url), ("url", url)];
    let given = members.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<_> = given.map(|(key, value)| format!("{key} = {}", quoted(&literal(value)))).collect();
    format!("{{ {} }}", given.join(", "))
}

/// A template that makes this text, whatever stands in it.
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        // The beginnings of what templates fill in, do and leave out.
        if letter == '{' && letters.peek().is_some_and(|next| "{%#".contains(*next)) {
            literal.push_str("{% raw %}{{% endraw %}");
        } else {
            literal.push(letter);
        }
    }
    literal
}

fn push_buttons(text: &mut String, buttons: &[Button], table: &str) {
    for button in buttons {
        let gap = if table == "menu.button" { "\n" } else { "" };
        let _ = writeln!(text, "{gap}[[{table}]]\nname = {}", quoted(&button.name));
        match &button.tap {
            Tap::Opens(below) => push_buttons(text, below, "menu.button.sub_button"),
            Tap::Does { kind, fields } => {
                let _ = writeln!(text, "type = {}", quoted(kind));
                for (name, value) in fields {
                    let _ = writeln!(text, "{name} = {}", quoted(value));
                }
            }
        }
    }
}

/// Golden tests: what the console answered is what the config answers.
pub(super) fn tests(console: &Console) -> String {
    let mut text = String::from("# What WeChat's console answered by itself, from `wxcgi import`.\n");
    for (number, answer) in console.answers.iter().enumerate() {
        match &answer.when {
            _ if !answer.is_on => {}
            When::Followed => push_test(&mut text, &json!({ "event": "subscribe" }), "welcome", answer),
            When::Otherwise => {
                push_test(&mut text, &json!({ "type": "image", "media_id": "m" }), "default", answer);
            }
            When::Tapped(key) => {
                push_test(&mut text, &json!({ "event": "CLICK", "key": key }), &answer.name, answer);
            }
            When::Said { contains, equals, .. } => {
                for word in contains.iter().chain(equals) {
                    push_test_of_word(&mut text, word, &console.answers[..=number]);
                }
            }
        }
    }
    text
}

/// A keyword is answered by the first rule that it meets, which may be one before its own.
fn push_test_of_word(text: &mut String, word: &str, answers: &[Answer]) {
    let meets = |answer: &&Answer| match &answer.when {
        When::Said { contains, equals, .. } => {
            contains.iter().any(|part| word.contains(part.as_str()))
                || equals.iter().any(|whole| whole == word)
        }
        _ => false,
    };
    let Some(answer) = answers.iter().find(meets) else { return };
    let When::Said { contains, .. } = &answer.when else { return };
    // What meets by its whole text only stands in a rule of its own beside the named one.
    let by_part = contains.is_empty() || contains.iter().any(|part| word.contains(part.as_str()));
    push_test(text, &word.into(), if by_part { &answer.name } else { "" }, answer);
}

fn push_test(text: &mut String, send: &Value, rule: &str, answer: &Answer) {
    let most = match send["event"] {
        Value::Null => MAX_ARTICLES_FOR_MESSAGE,
        _ => MAX_ARTICLES_FOR_EVENT,
    };
    let mut expected = serde_json::Map::new();
    if !rule.is_empty() {
        expected.insert("rule".to_owned(), rule.into());
    }
    let replies: Option<Vec<_>> = match answer.replies.as_slice() {
        [] => Some(vec![json!({ "none": true })]),
        several => several.iter().map(|said| expected_reply(said, most)).collect(),
    };
    let replies = replies.map(|replies| match replies.as_slice() {
        [only] => ("reply", only.clone()),
        any if answer.one_at_random => ("reply", any.into()),
        all => ("replies", all.into()),
    });
    expected.extend(replies.map(|(key, value)| (key.to_owned(), value)));
    if expected.is_empty() {
        return;
    }
    text.push_str("\n[[test]]\nsend = ");
    push_value(text, send);
    text.push_str("\nexpect = ");
    push_value(text, &expected.into());
    text.push('\n');
}

/// A reply as it arrives; `None` if it does not arrive as it is.
fn expected_reply(said: &Said, most: usize) -> Option<Value> {
    Some(match said {
        Said::Text(content) if content.len() > MAX_TEXT_BYTES => return None,
        Said::Text(content) => content.as_str().into(),
        Said::Image(media_id) => json!({ "image": { "media_id": media_id } }),
        Said::Voice(media_id) => json!({ "voice": { "media_id": media_id } }),
        Said::Video(media_id) => json!({ "video": { "media_id": media_id } }),
        Said::News(articles) => {
            let article = |article: &Article| {
                let Article { title, description, pic_url, url } = article;
                let members =
                    [("title", title), ("description", description), ("pic_url", pic_url), ("url", url)];
                let given = members.into_iter().filter(|(_, value)| !value.is_empty());
                given.map(|(key, value)| (key.to_owned(), Value::from(value.as_str()))).collect::<Value>()
            };
            json!({ "news": articles.iter().take(most).map(article).collect::<Vec<_>>() })
        }
    })
}
