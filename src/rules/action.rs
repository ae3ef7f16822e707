//! What a rule does: replies that follow from the config, its tables and the message, or that a handler works out.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::choice::{Choice, Chooser};
use super::handler::Handling;
use super::media::MediaId;
use super::template::{Scope, Template, TemplateError};
use crate::wechat::limits::MAX_TEXT_BYTES;
use crate::wechat::reply::{Article, Reply};

/// What a rule does when its condition holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    /// A text.
    Text(Template),
    /// A picture.
    Image {
        /// Of a temporary or permanent material.
        media_id: MediaId,
    },
    /// A recording.
    Voice {
        /// Of a temporary or permanent material.
        media_id: MediaId,
    },
    /// A film.
    Video {
        /// Of a temporary or permanent material.
        media_id: MediaId,
        /// Shown above it.
        title: Template,
        /// Shown below the title.
        description: Template,
    },
    /// A piece of music.
    Music {
        /// Shown above it.
        title: Template,
        /// Shown below the title.
        description: Template,
        /// Where it lies.
        music_url: Template,
        /// Where it lies in higher quality, for Wi-Fi.
        hq_music_url: Template,
        /// Its picture.
        thumb_media_id: MediaId,
    },
    /// Articles.
    News {
        /// In their order.
        articles: Vec<ArticleTemplate>,
        /// How many of them, if it makes a number; else all.
        count: Option<Template>,
    },
    /// Hands the message over to the human customer service (客服).
    TransferCustomerService {
        /// Only to this agent.
        kf_account: Option<String>,
    },
    /// Hands the message over to the platform's AI reply (公众号智能回复).
    TransferBizAiIvr,
    /// Nothing: `success`.
    None,
    /// All of these, one after the other.
    Several(Vec<Action>),
    /// One of these, by chance.
    Random(Vec<Choice>),
    /// Each in its turn.
    RoundRobin {
        /// Under this, turns are counted.
        key: String,
        /// At least one.
        actions: Vec<Action>,
    },
    /// What a handler answers. It stands alone, never within another action.
    Handler(Box<Handling>),
}

/// One article of [`Action::News`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArticleTemplate {
    /// The title.
    pub title: Template,
    /// The line below it.
    pub description: Template,
    /// The picture: JPG or PNG, large 360×200, small 200×200.
    pub pic_url: Template,
    /// Where a tap leads.
    pub url: Template,
}

/// Why an action gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// A template could not be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file has no media_id.
    #[error("{0}")]
    Media(String),
}

impl Action {
    /// The replies to the message in `scope`, in their order; none is `success`.
    ///
    /// # Errors
    ///
    /// If a template cannot be filled in, or a file cannot be uploaded.
    pub fn replies(&self, scope: &Scope<'_>, chooser: Chooser<'_>) -> Result<Vec<Reply>, ActionError> {
        let chosen = match self {
            Self::Several(actions) => {
                let replies = actions.iter().map(|action| action.replies(scope, chooser));
                return Ok(replies.collect::<Result<Vec<_>, _>>()?.concat());
            }
            Self::Random(choices) => chooser.by_chance(choices),
            Self::RoundRobin { key, actions } => chooser.in_turn(key, actions),
            single => return Ok(single.reply(scope)?.into_iter().collect()),
        };
        chosen.map_or_else(|| Ok(Vec::new()), |action| action.replies(scope, chooser))
    }

    /// The reply of an action that is one by itself.
    fn reply(&self, scope: &Scope<'_>) -> Result<Option<Reply>, ActionError> {
        let fill = |template: &Template| template.render(scope).map(Cow::into_owned);
        Ok(Some(match self {
            Self::Text(text) => Reply::Text { content: text.render_text(scope)?.into_owned() },
            Self::Image { media_id } => Reply::Image { media_id: media_id.fill(scope)? },
            Self::Voice { media_id } => Reply::Voice { media_id: media_id.fill(scope)? },
            Self::Video { media_id, title, description } => Reply::Video {
                media_id: media_id.fill(scope)?,
                title: fill(title)?,
                description: fill(description)?,
            },
            Self::Music { title, description, music_url, hq_music_url, thumb_media_id } => Reply::Music {
                title: fill(title)?,
                description: fill(description)?,
                music_url: fill(music_url)?,
                hq_music_url: fill(hq_music_url)?,
                thumb_media_id: thumb_media_id.fill(scope)?,
            },
            Self::News { articles, count } => {
                let count = count.as_ref().map(&fill).transpose()?;
                let count = count.and_then(|count| count.trim().parse().ok()).unwrap_or(articles.len());
                let articles = articles.iter().take(count.max(1)).map(|article| article.fill(scope));
                Reply::News { articles: articles.collect::<Result<_, _>>()? }
            }
            Self::TransferCustomerService { kf_account } => {
                Reply::TransferCustomerService { kf_account: kf_account.clone() }
            }
            Self::TransferBizAiIvr => Reply::TransferBizAiIvr,
            Self::None | Self::Several(_) | Self::Random(_) | Self::RoundRobin { .. } | Self::Handler(_) => {
                return Ok(None);
            }
        }))
    }

    /// Whether it takes what is remembered of the user, or whose turn it is.
    pub(super) fn asks_memory(&self) -> bool {
        let any = |actions: &[Self]| actions.iter().any(Self::asks_memory);
        match self {
            Self::RoundRobin { .. } => true,
            Self::Several(actions) => any(actions),
            Self::Random(choices) => choices.iter().any(|choice| choice.then.asks_memory()),
            single => single.speaks_of_session(),
        }
    }

    /// Whether a template of it may look at the session.
    #[must_use]
    pub fn speaks_of_session(&self) -> bool {
        let any = |templates: &[&Template]| templates.iter().any(|template| template.speaks_of_session());
        let file = |media_id: &MediaId| media_id.template().is_some_and(Template::speaks_of_session);
        match self {
            Self::Text(text) => any(&[text]),
            Self::Image { media_id } | Self::Voice { media_id } => file(media_id),
            Self::Video { media_id, title, description } => file(media_id) || any(&[title, description]),
            Self::Music { title, description, music_url, hq_music_url, thumb_media_id } => {
                file(thumb_media_id) || any(&[title, description, music_url, hq_music_url])
            }
            Self::News { articles, count } => {
                count.as_ref().is_some_and(Template::speaks_of_session)
                    || articles.iter().any(|it| any(&[&it.title, &it.description, &it.pic_url, &it.url]))
            }
            Self::Several(actions) | Self::RoundRobin { actions, .. } => {
                actions.iter().any(Self::speaks_of_session)
            }
            Self::Random(choices) => choices.iter().any(|choice| choice.then.speaks_of_session()),
            Self::TransferCustomerService { .. } | Self::TransferBizAiIvr | Self::None | Self::Handler(_) => {
                false
            }
        }
    }

    /// Whether what it says may take more than one answer, or more time than WeChat gives.
    pub(super) fn needs_delivery(&self) -> bool {
        let any = |actions: &[Self]| actions.iter().any(Self::needs_delivery);
        match self {
            Self::Handler(_) => true,
            Self::Several(actions) => actions.len() > 1 || any(actions),
            Self::RoundRobin { actions, .. } => any(actions),
            Self::Random(choices) => choices.iter().any(|choice| choice.then.needs_delivery()),
            Self::Text(text) => text.source().len() > MAX_TEXT_BYTES,
            _ => false,
        }
    }

    /// The handler that works the answer out, if one does.
    #[must_use]
    pub fn handling(&self) -> Option<&Handling> {
        match self {
            Self::Handler(handling) => Some(handling),
            _ => None,
        }
    }

    /// Whether the reply follows from the config and the message alone: nothing has to be asked or uploaded for it.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        match self {
            Self::Image { media_id } | Self::Voice { media_id } | Self::Video { media_id, .. } => {
                media_id.is_known()
            }
            Self::Music { thumb_media_id, .. } => thumb_media_id.is_known(),
            Self::Several(actions) | Self::RoundRobin { actions, .. } => actions.iter().all(Self::is_pure),
            Self::Random(choices) => choices.iter().all(|choice| choice.then.is_pure()),
            Self::Handler(_) => false,
            Self::Text(_)
            | Self::News { .. }
            | Self::TransferCustomerService { .. }
            | Self::TransferBizAiIvr
            | Self::None => true,
        }
    }
}

impl ArticleTemplate {
    fn fill(&self, scope: &Scope<'_>) -> Result<Article, TemplateError> {
        let fill = |template: &Template| template.render(scope).map(Cow::into_owned);
        Ok(Article {
            title: fill(&self.title)?,
            description: fill(&self.description)?,
            pic_url: fill(&self.pic_url)?,
            url: fill(&self.url)?,
        })
    }
}
