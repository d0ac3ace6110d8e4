//! Random faults from a seed: pushes, words, kills, sleeps, lost and doubled deliveries, over one server or several.

use std::fmt;
use std::time::Duration;

use liftlock::clock;
use rustix::process::Signal;

use super::drive::{Keeper, wrong};
use super::rig::{Deadline, Door, Eyes, GLANCE, Plan, Push, Seen, Server, Yard, deliver, request};

/// What is to be done to a yard.
#[derive(Debug, Clone)]
pub(crate) struct Torture {
    pub(crate) plan: Plan,
    /// The same seed makes the same choices; what comes of them depends on the machine too.
    pub(crate) seed: u64,
    /// Faults are made for so long; then everything must come to its end.
    pub(crate) faults_for: Duration,
    /// Servers; more than one only on `PostgreSQL`.
    pub(crate) servers: usize,
    /// Most pushes, so that the end comes soon.
    pub(crate) pushes: usize,
}

/// What was done, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) pushes: usize,
    pub(crate) kills: usize,
    pub(crate) sleeps: usize,
    pub(crate) told_again: usize,
    pub(crate) replays: usize,
    pub(crate) events: usize,
    pub(crate) deploys: usize,
    /// Deploys that were lost with their server, and retried by a person.
    pub(crate) lost: usize,
    /// Comments said twice with the same text; at least once is what is promised.
    pub(crate) doubles: usize,
    pub(crate) seconds: u64,
    /// What must never be.
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pushes, {} kills, {} sleeps, {} told again, {} replays: {} events, {} deploys, {} lost and retried, \
             {} comments doubled, {} wrong, {} s",
            self.pushes,
            self.kills,
            self.sleeps,
            self.told_again,
            self.replays,
            self.events,
            self.deploys,
            self.lost,
            self.doubles,
            self.wrong.len(),
            self.seconds
        )
    }
}

/// `SplitMix64`: small, and good enough to choose faults.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let sides = u64::try_from(sides.max(1)).unwrap();
        usize::try_from((z ^ (z >> 31)) % sides).unwrap()
    }
}

/// A server and its door.
struct Post {
    door: Door,
    server: Server,
    /// When it wakes up again.
    asleep: Option<std::time::Instant>,
}

struct World {
    torture: Torture,
    yard: Yard,
    dice: Dice,
    posts: Vec<Post>,
    keeper: Keeper,
    /// Pushes that no server has acknowledged yet.
    untold: Vec<Push>,
    eyes: Eyes,
    summary: Summary,
}

/// Does all of it; the summary says what was wrong.
pub(crate) async fn torture(torture: Torture) -> Summary {
    let begun = clock::monotonic();
    let mut world = World::new(torture).await;
    while begun.elapsed() < world.torture.faults_for {
        world.fault().await;
        world.go_on().await;
    }
    let seen = world.come_to_an_end().await;
    let World { mut summary, mut posts, yard, keeper, .. } = world;
    for post in &mut posts {
        post.server.kill();
    }
    yard.verify(&Door::new());
    let (doubled, found) =
        wrong(&yard, &seen, &keeper).into_iter().partition(|w| w.starts_with("said twice"));
    let doubled: Vec<String> = doubled;
    summary.wrong = found;
    summary.doubles = doubled.len();
    if summary.doubles > summary.kills + summary.sleeps {
        summary.wrong.extend(doubled);
    }
    summary.events = seen.events.len();
    summary.deploys = yard.runs().iter().filter(|r| r.what == "begin").count();
    summary.lost = keeper.retries;
    summary.seconds = begun.elapsed().as_secs();
    if !summary.wrong.is_empty() {
        summary.wrong.push(seen.shown());
    }
    summary
}

impl World {
    async fn new(torture: Torture) -> Self {
        let yard = Yard::new(torture.plan.clone());
        let post = |_| {
            let door = Door::new();
            let server = yard.serve(&door);
            Post { door, server, asleep: None }
        };
        let posts = (0..torture.servers).map(post).collect();
        let (dice, eyes) = (Dice(torture.seed), yard.eyes().await);
        let (keeper, summary) = (Keeper::default(), Summary::default());
        Self { torture, yard, dice, posts, keeper, untold: Vec::new(), eyes, summary }
    }

    async fn fault(&mut self) {
        match self.dice.roll(10) {
            0..=2 if self.summary.pushes < self.torture.pushes => self.push(),
            3 | 4 => self.tell_again(),
            5 => self.replay().await,
            6 | 7 => self.kill(),
            8 => self.put_to_sleep(),
            _ => {}
        }
        // Between two faults some work is to be under way, as long as the dice say.
        let until = Duration::from_millis(u64::try_from(self.dice.roll(400)).unwrap());
        let begun = clock::monotonic();
        while begun.elapsed() < until {
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn push(&mut self) {
        let all = self.torture.plan.repositories.clone();
        let Some(name) = all.get(self.dice.roll(all.len())) else { return };
        self.summary.pushes += 1;
        let subject = format!("fix: change {}", self.summary.pushes);
        let push = self.yard.push(name, &subject, "page");
        self.keeper.pushes.push(push.clone());
        let at = self.dice.roll(self.untold.len() + 1);
        self.untold.insert(at, push);
    }

    fn tell_again(&mut self) {
        let Some(push) = self.keeper.pushes.get(self.dice.roll(self.keeper.pushes.len())) else { return };
        let told = push.delivery();
        if deliver(&self.awake().door, &told).is_ok() {
            self.summary.told_again += 1;
        }
    }

    async fn replay(&mut self) {
        let seen = self.eyes.look().await;
        let Some(delivery) = seen.deliveries.get(self.dice.roll(seen.deliveries.len())) else { return };
        let path = format!("/api/deliveries/{}/replay", delivery.seq);
        if request(&self.awake().door, "POST", &path, &[], "{}").is_ok() {
            self.summary.replays += 1;
        }
    }

    fn kill(&mut self) {
        let which = self.dice.roll(self.posts.len());
        let Some(post) = self.posts.get_mut(which) else { return };
        post.server.kill();
        post.server = self.yard.serve(&post.door);
        post.asleep = None;
        self.summary.kills += 1;
    }

    fn put_to_sleep(&mut self) {
        let which = self.dice.roll(self.posts.len());
        let wakes = clock::monotonic() + Duration::from_millis(u64::try_from(self.dice.roll(3_000)).unwrap());
        let Some(post) = self.posts.get_mut(which).filter(|post| post.asleep.is_none()) else { return };
        post.server.signal(Signal::STOP);
        post.asleep = Some(wakes);
        self.summary.sleeps += 1;
    }

    /// A server that is awake; when all sleep, the first wakes up now.
    fn awake(&mut self) -> &Post {
        let at = self.posts.iter().position(|post| post.asleep.is_none()).unwrap_or(0);
        let post = self.posts.get_mut(at).expect("there is a server");
        if post.asleep.take().is_some() {
            post.server.signal(Signal::CONT);
        }
        post
    }

    /// Wakes who has slept enough, starts who died, tells what is untold, lets ana speak.
    async fn go_on(&mut self) -> Seen {
        let now = clock::monotonic();
        for post in &mut self.posts {
            if post.asleep.is_some_and(|wakes| wakes <= now) {
                post.server.signal(Signal::CONT);
                post.asleep = None;
            }
            let ended = post.server.ended();
            assert!(ended.is_none(), "a server ended by itself: {ended:?}\n{}", post.server.log_tail());
        }
        let mut untold = std::mem::take(&mut self.untold);
        let door = &self.awake().door;
        untold.retain(|push| !matches!(deliver(door, &push.delivery()), Ok(200 | 202)));
        self.untold = untold;
        let seen = self.eyes.look().await;
        let mut keeper = std::mem::take(&mut self.keeper);
        keeper.act(&seen, &self.awake().door);
        self.keeper = keeper;
        seen
    }

    async fn come_to_an_end(&mut self) -> Seen {
        for post in &mut self.posts {
            post.server.signal(Signal::CONT);
            post.asleep = None;
        }
        let deadline = Deadline::new();
        loop {
            let seen = self.go_on().await;
            if self.untold.is_empty() && self.keeper.content(&seen) {
                return seen;
            }
            let servers: Vec<&Server> = self.posts.iter().map(|post| &post.server).collect();
            deadline.check("everything is live", &seen, &self.yard, &servers);
            tokio::time::sleep(GLANCE).await;
        }
    }
}
