//! What a rule does: today a reply that follows from the config and the message alone.

use serde::{Deserialize, Serialize};

use super::template::{Scope, Template, TemplateError};
use crate::wechat::reply::{Article, Reply};

/// What a rule does when its condition holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    /// A text.
    Text(Template),
    /// A picture.
    Image {
        /// Of a temporary or permanent material.
        media_id: Template,
    },
    /// A recording.
    Voice {
        /// Of a temporary or permanent material.
        media_id: Template,
    },
    /// A film.
    Video {
        /// Of a temporary or permanent material.
        media_id: Template,
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
        thumb_media_id: Template,
    },
    /// Articles.
    News(Vec<ArticleTemplate>),
    /// Hands the message over to the human customer service (客服).
    TransferCustomerService {
        /// Only to this agent.
        kf_account: Option<String>,
    },
    /// Hands the message over to the platform's AI reply (公众号智能回复).
    TransferBizAiIvr,
    /// Nothing: `success`.
    None,
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

impl Action {
    /// The reply to the message in `scope`; `None` is `success`.
    ///
    /// # Errors
    ///
    /// If a template cannot be filled in.
    pub fn reply(&self, scope: &Scope<'_>) -> Result<Option<Reply>, TemplateError> {
        let fill = |template: &Template| template.render(scope).map(std::borrow::Cow::into_owned);
        Ok(Some(match self {
            Self::Text(text) => Reply::Text { content: fill(text)? },
            Self::Image { media_id } => Reply::Image { media_id: fill(media_id)? },
            Self::Voice { media_id } => Reply::Voice { media_id: fill(media_id)? },
            Self::Video { media_id, title, description } => Reply::Video {
                media_id: fill(media_id)?,
                title: fill(title)?,
                description: fill(description)?,
            },
            Self::Music { title, description, music_url, hq_music_url, thumb_media_id } => Reply::Music {
                title: fill(title)?,
                description: fill(description)?,
                music_url: fill(music_url)?,
                hq_music_url: fill(hq_music_url)?,
                thumb_media_id: fill(thumb_media_id)?,
            },
            Self::News(articles) => Reply::News {
                articles: articles.iter().map(|article| article.fill(scope)).collect::<Result<_, _>>()?,
            },
            Self::TransferCustomerService { kf_account } => {
                Reply::TransferCustomerService { kf_account: kf_account.clone() }
            }
            Self::TransferBizAiIvr => Reply::TransferBizAiIvr,
            Self::None => return Ok(None),
        }))
    }

    /// All templates of the action, for the check of a config.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(text) => vec![text],
            Self::Image { media_id } | Self::Voice { media_id } => vec![media_id],
            Self::Video { media_id, title, description } => vec![media_id, title, description],
            Self::Music { title, description, music_url, hq_music_url, thumb_media_id } => {
                vec![title, description, music_url, hq_music_url, thumb_media_id]
            }
            Self::News(articles) => articles
                .iter()
                .flat_map(|article| [&article.title, &article.description, &article.pic_url, &article.url])
                .collect(),
            Self::TransferCustomerService { .. } | Self::TransferBizAiIvr | Self::None => Vec::new(),
        }
    }
}

impl ArticleTemplate {
    fn fill(&self, scope: &Scope<'_>) -> Result<Article, TemplateError> {
        let fill = |template: &Template| template.render(scope).map(std::borrow::Cow::into_owned);
        Ok(Article {
            title: fill(&self.title)?,
            description: fill(&self.description)?,
            pic_url: fill(&self.pic_url)?,
            url: fill(&self.url)?,
        })
    }
}
