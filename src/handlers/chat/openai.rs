//! OpenAI's chat completions, as hundreds of servers speak them; whole or word by word.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat/create>

use std::io::{ErrorKind, Read};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::super::agent::Answer;
use super::ask::{Failure, Spoken, Usage, complaint};
use super::history::Turn;
use super::sse::Events;
use super::{Chat, Model, ask};
use crate::logging::shown_up_to;
use crate::secret::Secret;
use crate::wechat::limits::cut_text;

/// More of an answer is not taken, bytes: sixteen messages of WeChat.
const MAX_TEXT: usize = 32 << 10;
/// Nor of a stream, which is many times what it says: thoughts come as words do, each in a hundred bytes of JSON.
const MAX_STREAM: usize = 32 << 20;
/// So many bytes are read at once.
const CHUNK: usize = 2 << 10;

/// Asks the model, which is told the turns before.
pub(super) fn ask(
    chat: &Chat<'_>,
    model: &Model,
    turns: &[Turn],
    said: &str,
    until: Instant,
) -> Result<Spoken, Failure> {
    let bearer = chat.profile.api_key.as_ref().map(|key| format!("Bearer {}", Secret::expose(key)));
    let accept = if model.stream { "text/event-stream" } else { "application/json" };
    let mut headers = vec![("Content-Type", "application/json"), ("Accept", accept)];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let mut answer = chat.post("/chat/completions", &headers, &request(model, turns, said), until)?;
    let mut heard = Heard::default();
    // A server that knows no streams answers as if none had been asked for.
    if answer.content_type == "text/event-stream" || (model.stream && !answer.content_type.contains("json")) {
        heard.listen(&mut answer);
    } else {
        heard.completion(&ask::json(answer)?);
        // It came whole, whether it says why the model stopped or not.
        heard.is_done = true;
    }
    heard.into_spoken()
}

/// What is sent.
fn request(model: &Model, turns: &[Turn], said: &str) -> Value {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
    let system = model.system.iter().map(|text| message("system", text));
    let before =
        turns.iter().flat_map(|turn| [message("user", &turn.user), message("assistant", &turn.assistant)]);
    let messages: Vec<_> = system.chain(before).chain([message("user", said)]).collect();
    let mut request: Map<String, Value> = model.parameters.clone();
    request.insert("model".to_owned(), model.model.clone().into());
    request.insert("messages".to_owned(), messages.into());
    request.insert("stream".to_owned(), model.stream.into());
    if model.stream {
        // Else nobody is told what a stream took.
        request.entry("stream_options").or_insert_with(|| json!({ "include_usage": true }));
    }
    request.into()
}

/// What was heard of an answer so far.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    /// Why the model stopped.
    finish: Option<String>,
    usage: Option<Usage>,
    /// What the server says went wrong.
    complaint: Option<String>,
    /// Why listening ended before the answer did.
    cut: Option<String>,
    /// The server said that this is all.
    is_done: bool,
    /// Something of it was an answer of a model.
    is_understood: bool,
}

impl Heard {
    /// Listens until the answer ends, or breaks off.
    fn listen(&mut self, answer: &mut Answer) {
        let (mut events, mut chunk, mut total) = (Events::default(), [0; CHUNK], 0);
        while !self.is_done && self.complaint.is_none() && self.cut.is_none() {
            match answer.reader.read(&mut chunk) {
                Ok(0) => {
                    events.end(&mut |data| self.event(data));
                    return;
                }
                Ok(count) => {
                    total += count;
                    events.feed(chunk.get(..count).unwrap_or_default(), &mut |data| self.event(data));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.cut = Some(answer.cut(&error).0),
            }
            if self.text.len() > MAX_TEXT {
                forget_thought(&mut self.text);
            }
            if self.text.len() > MAX_TEXT || total > MAX_STREAM {
                self.cut = Some("it is too long".to_owned());
            }
        }
    }

    /// One event of a stream.
    fn event(&mut self, data: &str) {
        if data.trim() == "[DONE]" {
            self.is_done = true;
        } else if let Ok(json) = serde_json::from_str(data) {
            self.completion(&json);
        }
    }

    /// A whole answer, or the next piece of one.
    fn completion(&mut self, json: &Value) {
        if json.get("error").is_some_and(|error| !error.is_null()) {
            self.complaint = complaint(json);
            return;
        }
        let number = |name: &str| json.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
        if let (Some(input), Some(output)) = (number("prompt_tokens"), number("completion_tokens")) {
            self.usage = Some(Usage { input, output });
        }
        // Further choices, if somebody asked for some, are other answers.
        let choices = json.get("choices").and_then(Value::as_array).into_iter().flatten();
        let is_first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
        for choice in choices.filter(is_first) {
            self.is_understood = true;
            if let Some(message) = choice.get("message").or_else(|| choice.get("delta")) {
                push_content(&mut self.text, message.get("content"));
            }
            if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
                self.finish = Some(reason.to_owned());
            }
        }
    }

    fn into_spoken(mut self) -> Result<Spoken, Failure> {
        let mut text = thoughtless(&self.text);
        if text.len() > MAX_TEXT {
            text.truncate(cut_text(&text, MAX_TEXT).0.len());
            self.cut.get_or_insert_with(|| "it is too long".to_owned());
        }
        text.truncate(text.trim_end().len());
        let cut = self.complaint.map(|text| shown_up_to(&text, 200)).or(self.cut).or(
            match self.finish.as_deref() {
                Some("length") => Some("`max_tokens` or the model's limit".to_owned()),
                Some("content_filter") => Some("the server's filter".to_owned()),
                None if !self.is_done => Some("the stream ended without an end".to_owned()),
                _ => None,
            },
        );
        match (text.is_empty(), cut, self.is_understood) {
            (false, cut, _) => Ok(Spoken { text, cut, usage: self.usage }),
            (true, Some(why), _) => Err(Failure::for_now(format!("nothing was answered: {why}"))),
            (true, None, true) => Err(Failure::for_good("the answer is empty")),
            (true, None, false) => Err(Failure::for_good("this is no answer of a chat completion")),
        }
    }
}

/// Adds what is said: a text, or a list of parts.
fn push_content(text: &mut String, content: Option<&Value>) {
    match content {
        Some(Value::String(more)) => text.push_str(more),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.for_each(|more| text.push_str(more));
        }
        _ => {}
    }
}

/// Where a model begins to think, and where it ends to.
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Takes the thought away that a text begins with; of one that goes on still, what its end is known by stays.
fn forget_thought(text: &mut String) {
    let Some((before, thought)) = text.split_once(OPEN) else { return };
    if !before.trim().is_empty() {
        return;
    }
    *text = if let Some((_, said)) = thought.split_once(CLOSE) {
        said.to_owned()
    } else {
        let far = thought.len().saturating_sub(CLOSE.len());
        let tail = (far..thought.len()).find_map(|at| thought.get(at..)).unwrap_or_default();
        format!("{OPEN}{tail}")
    };
}

/// The text without what the model thought before it spoke.
fn thoughtless(text: &str) -> String {
    // Some servers keep the first mark to themselves.
    let mut rest = match (text.find(OPEN), text.find(CLOSE)) {
        (open, Some(close)) if open.is_none_or(|open| close < open) => &text[close + CLOSE.len()..],
        _ => text,
    };
    let mut said = String::with_capacity(rest.len());
    while let Some((before, thought)) = rest.split_once(OPEN) {
        said.push_str(before);
        rest = match thought.split_once(CLOSE) {
            Some((_, behind)) => behind,
            None if said.trim().is_empty() => "",
            // It speaks of the mark.
            None => {
                said.push_str(OPEN);
                thought
            }
        };
    }
    said.push_str(rest);
    said.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(pieces: &[&[u8]]) -> Heard {
        let (mut heard, mut events) = (Heard::default(), Events::default());
        for piece in pieces {
            events.feed(piece, &mut |data| heard.event(data));
        }
        events.end(&mut |data| heard.event(data));
        heard
    }

    fn spoken(stream: &str) -> Result<Spoken, String> {
        heard(&[stream.as_bytes()]).into_spoken().map_err(|failure| failure.why)
    }

    fn delta(content: &str) -> String {
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": content } }] }))
    }

    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    #[test]
    fn the_pieces_of_a_stream_make_the_answer() {
        let stream = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}}}}]}}\n\n{}: ping\n\n{}\
             data: garbage\n\ndata: {{\"choices\":[{{\"index\":1,\"delta\":{{\"content\":\"other\"}}}}]}}\n\n\
             data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":2}}}}\n\n{STOP}",
            delta("你"),
            delta("好 "),
        );
        let usage = Some(Usage { input: 7, output: 2 });
        assert_eq!(spoken(&stream), Ok(Spoken { text: "你好".to_owned(), cut: None, usage }));
    }

    #[test]
    fn what_came_of_an_answer_that_was_cut_is_an_answer() {
        for (end, why) in [
            ("", "the stream ended without an end"),
            (
                "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\ndata: [DONE]\n\n",
                "`overloaded`",
            ),
            (
                "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
                "`max_tokens` or the model's limit",
            ),
            (
                "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"content_filter\"}]}\n\n",
                "the server's filter",
            ),
        ] {
            let spoken = spoken(&format!("{}{end}", delta("你好"))).unwrap();
            assert_eq!((spoken.text.as_str(), spoken.cut.as_deref()), ("你好", Some(why)));
        }
        assert_eq!(spoken(&format!("{}data: [DONE]\n\n", delta("你好"))).unwrap().cut, None);
        let long = spoken(&format!("{}{STOP}", delta(&"猫".repeat(MAX_TEXT)))).unwrap();
        assert!(long.text.len() <= MAX_TEXT && long.text.len() > MAX_TEXT - 3 && long.cut.is_some());
    }

    #[test]
    fn an_answer_without_a_word_is_none() {
        for (stream, why) in [
            ("", "nothing was answered: the stream ended without an end"),
            ("<html>\n\n", "nothing was answered: the stream ended without an end"),
            ("data: [DONE]\n\n", "this is no answer of a chat completion"),
            (STOP, "the answer is empty"),
            ("data: {\"error\":\"no\"}\n\n", "nothing was answered: `no`"),
        ] {
            assert_eq!(spoken(stream).unwrap_err(), why);
        }
    }

    #[test]
    fn whole_answers_come_in_one_piece() {
        let whole = |json: Value| {
            let mut heard = Heard::default();
            heard.completion(&json);
            heard
                .into_spoken()
                .map(|spoken| (spoken.text, spoken.cut.is_some()))
                .map_err(|failure| failure.why)
        };
        let said = |content: Value, reason: &str| {
            whole(
                json!({ "choices": [{ "index": 0, "message": { "content": content, "reasoning_content": "嗯" }, "finish_reason": reason }] }),
            )
        };
        assert_eq!(said("你好".into(), "stop"), Ok(("你好".to_owned(), false)));
        assert_eq!(said("你".into(), "length"), Ok(("你".to_owned(), true)));
        assert_eq!(said(json!([{ "type": "text", "text": "你" }, { "type": "x" }]), "stop").unwrap().0, "你");
        assert!(
            said(Value::Null, "stop").is_err() && whole(json!([1])).is_err() && whole(json!({})).is_err()
        );
    }

    #[test]
    fn a_long_thought_takes_no_room() {
        let mut text = String::new();
        for piece in ["<think>".to_owned(), "嗯".repeat(MAX_TEXT), "好".repeat(MAX_TEXT), "</thi".to_owned()]
        {
            text.push_str(&piece);
            forget_thought(&mut text);
            assert!(text.len() < 20, "{text}");
        }
        text.push_str("nk>你好");
        forget_thought(&mut text);
        assert_eq!(text, "你好");
        forget_thought(&mut text);
        assert_eq!(text, "你好");
    }

    #[test]
    fn what_a_model_thinks_is_not_what_it_says() {
        for (text, said) in [
            ("<think>嗯…</think>\n\n你好", "你好"),
            ("嗯…</think>你好", "你好"),
            ("你<think>a</think>好<think>b</think>", "你好"),
            ("<think>没想完", ""),
            ("用 `<think>` 和 `<think>` 开头", "用 `<think>` 和 `<think>` 开头"),
            ("<think>a</think>`<think>` 是", "`<think>` 是"),
            ("a < b", "a < b"),
        ] {
            assert_eq!(thoughtless(text), said);
        }
    }

    #[test]
    fn a_request_tells_what_was_said_before_and_the_config_may_add() {
        let mut parameters = Map::new();
        parameters.insert("temperature".to_owned(), 0.5.into());
        let model = Model {
            model: "m".to_owned(),
            system: Some("你是客服".to_owned()),
            parameters,
            stream: true,
            cut_mark: String::new(),
            history: 3,
            history_age: std::time::Duration::from_secs(60),
            reset_words: Vec::new(),
            reset_reply: String::new(),
            price: None,
        };
        let turns = [Turn::new(std::time::UNIX_EPOCH, "一", "壹")];
        let expected = json!({
            "model": "m", "temperature": 0.5, "stream": true, "stream_options": { "include_usage": true },
            "messages": [
                { "role": "system", "content": "你是客服" }, { "role": "user", "content": "一" },
                { "role": "assistant", "content": "壹" }, { "role": "user", "content": "二" },
            ],
        });
        assert_eq!(request(&model, &turns, "二"), expected);
        let whole = request(&Model { stream: false, system: None, ..model }, &[], "二");
        assert_eq!(whole["messages"].as_array().unwrap().len(), 1);
        assert!(whole.get("stream_options").is_none() && whole["stream"] == false);
    }

    proptest! {
        #[test]
        fn no_stream_makes_it_panic_and_no_cut_changes_it(
            noise in prop::collection::vec(any::<u8>(), 0..60),
            texts in prop::collection::vec("[猫a<>/think\n\"\\\\]{0,6}", 0..6),
            size in 1..9_usize,
        ) {
            let stream: Vec<u8> = texts.iter().map(|text| delta(text).into_bytes()).collect::<Vec<_>>().concat();
            let stream = [stream, noise].concat();
            let whole = heard(&[&stream]);
            let pieces: Vec<_> = stream.chunks(size).collect();
            prop_assert_eq!(&heard(&pieces).text, &whole.text);
            prop_assert!(whole.text.starts_with(&texts.concat()));
            let _ = whole.into_spoken();
        }
    }
}
