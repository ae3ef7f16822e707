//! Handlers of several lengths behind every kind of door, with every way for answers that are late.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use super::{OTHERWISE, User, VERIFIED, WAITING, Workshop, config};
use crate::store::RedisServer;
use crate::support::{Door, FakeWechat, Site, available, free_port, sized};

const LATE: [&str; 4] = ["push", "hold", "fetch", "auto"];

/// Between two messages to a place.
const APART: Duration = Duration::from_millis(60);

/// How an answer reached its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// By the reply to this attempt.
    Attempt(usize),
    Push,
    Fetch,
}

#[derive(Debug)]
struct Figure {
    late: &'static str,
    seconds: u64,
    by: By,
    at: Duration,
}

/// One or two hosts with one account.
struct Place {
    name: &'static str,
    workshop: Workshop,
    fake: FakeWechat,
    port: u16,
    _redis: Option<RedisServer>,
    _sites: Vec<Site>,
}

impl Place {
    fn behind(name: &'static str, door: Door, seconds: &[u64]) -> Self {
        let (workshop, fake) = (Workshop::open(), FakeWechat::start());
        let site = Site::behind(door).with_config(&config(&fake, VERIFIED, &rules(&workshop, seconds), ""));
        let site = site.open();
        Self { name, workshop, fake, port: site.port(), _redis: None, _sites: vec![site] }
    }

    /// Two hosts with one Redis behind a balancer that gives each of WeChat's attempts to the other one.
    fn of_two_hosts(seconds: &[u64]) -> Self {
        let (workshop, fake, redis) = (Workshop::open(), FakeWechat::start(), RedisServer::start(&[]));
        let store = format!("[store]\nurl = \"{}\"", redis.url());
        let text = config(&fake, VERIFIED, &rules(&workshop, seconds), &store);
        let hosts = [(); 2].map(|()| Site::behind(Door::NginxUnix).with_config(&text).open());
        let port = free_port();
        let lines = format!(
            "upstream hosts {{ server 127.0.0.1:{}; server 127.0.0.1:{}; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://hosts; }} }}\n",
            hosts[0].port(),
            hosts[1].port()
        );
        let balancer = Site::behind(Door::NginxUnix).with_config(&text).with_nginx_lines(&lines).open();
        let sites = hosts.into_iter().chain([balancer]).collect();
        Self { name: "two hosts, one Redis", workshop, fake, port, _redis: Some(redis), _sites: sites }
    }

    /// One message whose handler takes so long.
    fn deliver(&self, late: &'static str, seconds: u64) -> Figure {
        let word = word(late, seconds);
        let (user, start) = (User::new(&word, self.port), Instant::now());
        let delivered = user.says(&word);
        let answer = format!("答 {word}");
        let (by, at) = match delivered.reply() {
            Some(reply) if reply == answer => (By::Attempt(delivered.attempts.len()), delivered.time()),
            Some(reply) => {
                assert_eq!(reply, WAITING, "{} {word}", self.name);
                let patience = Duration::from_secs(seconds + 30);
                assert_eq!(user.fetches_within(patience), answer, "{} {word}", self.name);
                (By::Fetch, start.elapsed())
            }
            None => {
                let patience = Duration::from_secs(seconds + 30);
                assert_eq!(
                    user.was_pushed(&self.fake, 1, patience),
                    [answer.as_str()],
                    "{} {word}",
                    self.name
                );
                (By::Push, start.elapsed())
            }
        };
        Figure { late, seconds, by, at }
    }

    /// After all of it: nobody got a second answer, and nothing ran twice.
    fn check(&self, figure: &Figure) {
        let word = word(figure.late, figure.seconds);
        let user = User::new(&word, self.port);
        assert_eq!(self.workshop.runs(&word), 1, "{}: {figure:?}", self.name);
        let pushed = self.fake.texts_to(&user.name).len();
        assert_eq!(pushed, usize::from(figure.by == By::Push), "{}: {figure:?}", self.name);
        assert_eq!(user.asks("继续").as_deref(), Some(OTHERWISE), "{}: {figure:?}", self.name);
    }
}

fn word(late: &str, seconds: u64) -> String {
    format!("{late}-{seconds}s")
}

fn rules(workshop: &Workshop, seconds: &[u64]) -> String {
    let more = |late| format!("late = \"{late}\"\ntimeout = \"90s\"");
    let of = |late| seconds.iter().map(move |&s| workshop.slow_rule(&word(late, s), s, &more(late)));
    LATE.into_iter().flat_map(of).collect()
}

/// Whether an answer that took so long may have come so, however slow the machine is.
fn is_possible(figure: &Figure) -> bool {
    let is_late = figure.seconds >= 8;
    match (figure.late, figure.by) {
        (_, By::Attempt(1)) => !is_late,
        ("push" | "auto", By::Push) | ("fetch", By::Fetch) => true,
        ("hold", By::Attempt(2 | 3)) => figure.seconds < 15,
        ("hold", By::Fetch) => figure.seconds >= 8,
        // A repeat finds what was decided for the first attempt, should that have been cut off at the last moment.
        (_, by) => by == By::Attempt(2) && !is_late,
    }
}

fn table(places: &[(&str, Vec<Figure>)]) -> String {
    let mut table =
        format!("{:24} {:>7}  {}\n", "door", "handler", LATE.map(|it| format!("{it:16}")).concat());
    for (name, figures) in places {
        for row in figures.chunks(LATE.len()) {
            let _ = write!(table, "{name:24} {:>5} s  ", row[0].seconds);
            for Figure { by, at, .. } in row {
                let by = match by {
                    By::Attempt(number) => format!("reply {number}"),
                    By::Push => "push".to_owned(),
                    By::Fetch => "fetch".to_owned(),
                };
                let _ = write!(table, "{:16}", format!("{:.1} s {by}", at.as_secs_f64()));
            }
            table.push('\n');
        }
    }
    table
}

#[test]
fn whatever_the_door_and_the_handler_each_user_gets_one_answer() {
    let seconds: &[u64] = sized(&[3, 8, 12, 20], &[3, 8, 12, 20, 60]);
    let doors = [
        ("Apache mod_cgi", Door::ApacheCgi),
        ("Apache mod_cgid", Door::ApacheCgid),
        ("Apache suexec", Door::ApacheSuexec),
        ("FastCGI under nginx", Door::NginxUnix),
        ("FastCGI under Apache", Door::ApacheProxyFcgi),
    ];
    let mut places: Vec<_> = doors
        .into_iter()
        .filter(|(_, door)| door.is_open())
        .map(|(name, door)| Place::behind(name, door, seconds))
        .collect();
    if Door::NginxUnix.is_open() && available("redis-server") {
        places.push(Place::of_two_hosts(seconds));
    }
    let figures: Vec<_> = thread::scope(|scope| {
        let cells = |place| {
            let cells = seconds.iter().flat_map(|&seconds| LATE.map(|late| (late, seconds)));
            let start = move |(number, (late, seconds))| {
                scope.spawn(move || {
                    // Not all of them are given up in the same moment.
                    thread::sleep(APART * number);
                    Place::deliver(place, late, seconds)
                })
            };
            (place.name, (0..).zip(cells).map(start).collect::<Vec<_>>())
        };
        let started: Vec<_> = places.iter().map(cells).collect();
        let figure = |cell: thread::ScopedJoinHandle<'_, _>| cell.join().expect("it was delivered");
        started.into_iter().map(|(name, cells)| (name, cells.into_iter().map(figure).collect())).collect()
    });
    println!("{}", table(&figures));
    for (place, (_, figures)) in places.iter().zip(&figures) {
        for figure in figures {
            assert!(is_possible(figure), "{}: {figure:?}", place.name);
            place.check(figure);
        }
    }
}
