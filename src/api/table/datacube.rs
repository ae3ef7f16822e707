//! Statistics (数据统计).

use super::prelude::*;

const USERS: &str = "Analytics/User_Analysis_Data_Interface.html";
const MESSAGES: &str = "Analytics/Message_analysis_data_interface.html";
const CALLS: &str = "Analytics/Analytics_API.html";
const ARTICLES: &str = "Analytics/Graphic_Analysis_Data_Interface.html";

/// `2014-12-02`
fn is_date(date: &str) -> bool {
    date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok()
}

const DATES: &[Field] = &[
    text("begin_date").required().form(is_date, "a date", "2014-12-02").errcode(61500),
    text("end_date").required().form(is_date, "a date", "2014-12-02").errcode(61500),
];

/// Statistics of at most so many `days` a call; where WeChat's pages differ, the smaller number.
const fn figures(path: &'static str, days: i64, does: &'static str, page: &'static str) -> Endpoint {
    let endpoint = post(path, does).page(page).who(Who("-+-+-")).repeatable().fields(DATES);
    endpoint.span("begin_date", "end_date", Most::Days(days), 61501).past("end_date", 61501)
}

pub(super) const ENDPOINTS: &[Endpoint] = &[
    figures("/datacube/getusersummary", 7, "Who came and went", USERS),
    figures("/datacube/getusercumulate", 7, "How many follow", USERS),
    figures("/datacube/getupstreammsg", 7, "Messages of users by day", MESSAGES),
    figures("/datacube/getupstreammsghour", 1, "Messages of users by hour", MESSAGES),
    figures("/datacube/getupstreammsgweek", 1, "Messages of users by week", MESSAGES),
    figures("/datacube/getupstreammsgmonth", 1, "Messages of users by month", MESSAGES),
    figures("/datacube/getupstreammsgdist", 15, "How many users sent how much, by day", MESSAGES),
    figures("/datacube/getupstreammsgdistweek", 15, "How many users sent how much, by week", MESSAGES),
    figures("/datacube/getupstreammsgdistmonth", 15, "How many users sent how much, by month", MESSAGES),
    figures("/datacube/getinterfacesummary", 30, "Callbacks, failures and times by day", CALLS),
    figures("/datacube/getinterfacesummaryhour", 1, "Callbacks, failures and times by hour", CALLS),
    figures("/datacube/getarticleread", 1, "Readers of articles by source", ARTICLES),
    figures("/datacube/getarticleshare", 1, "Who shared articles", ARTICLES),
    figures("/datacube/getbizsummary", 30, "All articles together by day", ARTICLES),
    figures("/datacube/getarticletotaldetail", 1, "Each article from its publication on", ARTICLES),
    figures("/datacube/getarticlesummary", 1, "Articles by day (no longer kept up)", ARTICLES),
    figures("/datacube/getarticletotal", 1, "Articles in total (no longer kept up)", ARTICLES),
    figures("/datacube/getuserread", 3, "Reading by day (no longer kept up)", ARTICLES),
    figures("/datacube/getuserreadhour", 1, "Reading by hour (no longer kept up)", ARTICLES),
    figures("/datacube/getusershare", 7, "Sharing by day (no longer kept up)", ARTICLES),
    figures("/datacube/getusersharehour", 1, "Sharing by hour (no longer kept up)", ARTICLES),
];
