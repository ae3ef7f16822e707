//! The menus that the stand-in keeps. What may not stand in them [`strict`](super::strict) has refused before.

use serde_json::{Value, json};

use super::Seen;
use super::tokens::Refusal;

/// An account's menus.
#[derive(Debug, Default)]
pub(super) struct Menus {
    default: Option<Value>,
    /// Each with its id, the oldest first.
    conditional: Vec<Value>,
    /// What was made in the console.
    console: Value,
    made: u64,
}

impl Menus {
    pub(super) fn put_into_console(&mut self, buttons: Value) {
        self.console = buttons;
    }

    /// The answer to a call; none if it has nothing to do with menus.
    pub(super) fn answer(&mut self, seen: &Seen) -> Option<Result<Value, Refusal>> {
        Some(match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/cgi-bin/menu/get") => self.get(),
            ("POST", "/cgi-bin/menu/create") => seen.json().map(|menu| self.create(&menu)),
            ("GET", "/cgi-bin/menu/delete") => {
                *self = Self { made: self.made, ..Self::default() };
                Ok(done())
            }
            ("POST", "/cgi-bin/menu/addconditional") => seen.json().and_then(|menu| self.add(menu)),
            ("POST", "/cgi-bin/menu/delconditional") => seen.json().and_then(|call| self.remove(&call)),
            ("GET", "/cgi-bin/get_current_selfmenu_info") => {
                Ok(json!({"is_menu_open": 1, "selfmenu_info": {"button": self.console}}))
            }
            _ => return None,
        })
    }

    fn get(&self) -> Result<Value, Refusal> {
        let mut menu = self.default.clone().ok_or((46003, "menu no exist"))?;
        menu["menuid"] = json!(1);
        // As the original, it adds lists that were not there.
        for button in menu["button"].as_array_mut().into_iter().flatten() {
            if button.get("sub_button").is_none() {
                button["sub_button"] = json!([]);
            }
        }
        Ok(if self.conditional.is_empty() {
            json!({"menu": menu})
        } else {
            json!({"menu": menu, "conditionalmenu": self.conditional})
        })
    }

    fn create(&mut self, menu: &Value) -> Value {
        self.default = Some(json!({"button": menu["button"]}));
        done()
    }

    fn add(&mut self, mut menu: Value) -> Result<Value, Refusal> {
        if self.default.is_none() {
            return Err((65303, "there is no selfmenu, please create selfmenu first"));
        }
        self.made += 1;
        menu["menuid"] = json!(208_396_990 + self.made);
        self.conditional.push(menu);
        Ok(json!({"menuid": (208_396_990 + self.made).to_string()}))
    }

    fn remove(&mut self, call: &Value) -> Result<Value, Refusal> {
        let id = call["menuid"].as_str().ok_or((65301, "menuid is needed"))?;
        let before = self.conditional.len();
        self.conditional.retain(|menu| menu["menuid"].as_u64() != id.parse().ok());
        if self.conditional.len() == before { Err((65301, "menuid not exists")) } else { Ok(done()) }
    }
}

fn done() -> Value {
    json!({"errcode": 0, "errmsg": "ok"})
}
