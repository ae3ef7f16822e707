//! What a rule does: today a reply that follows from the config and the message alone.

use serde::{Deserialize, Serialize};

use super::media::MediaId;
use super::template::{Scope, Template, TemplateError};
use crate::wechat::reply::{Article, Reply};

/// What a rule does when its condition holds.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
    /// The reply to the message in `scope`; `None` is `success`.
    ///
    /// # Errors
    ///
    /// If a template cannot be filled in, or a file cannot be uploaded.
    pub fn reply(&self, scope: &Scope<'_>) -> Result<Option<Reply>, ActionError> {
        let fill = |template: &Template| template.render(scope).map(std::borrow::Cow::into_owned);
        Ok(Some(match self {
            Self::Text(text) => Reply::Text { content: fill(text)? },
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

    /// Whether the reply follows from the config and the message alone: nothing has to be asked or uploaded for it.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        !matches!(
            self,
            Self::Image { media_id: MediaId::File(_) }
                | Self::Voice { media_id: MediaId::File(_) }
                | Self::Video { media_id: MediaId::File(_), .. }
                | Self::Music { thumb_media_id: MediaId::File(_), .. }
        )
    }

    /// All templates of the action, for the check of a config.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(text) => vec![text],
            Self::Image { media_id } | Self::Voice { media_id } => media_id.template().into_iter().collect(),
            Self::Video { media_id, title, description } => {
                [title, description].into_iter().chain(media_id.template()).collect()
            }
            Self::Music { title, description, music_url, hq_music_url, thumb_media_id } => {
                let texts = [title, description, music_url, hq_music_url];
                texts.into_iter().chain(thumb_media_id.template()).collect()
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
