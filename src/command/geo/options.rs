//! What GEOSEARCH, GEORADIUS and their kin are asked for.

use super::{point, unit};
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::store::types::ZSet;
use crate::store::types::geo::{Point, Search, Shape};

/// Where a command has its centre and shape, and whether it may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// GEOSEARCH: both are options.
    Search,
    /// GEOSEARCHSTORE: the same, and the first key is stored to.
    SearchStore,
    /// GEORADIUS, and without storing GEORADIUS_RO.
    Radius { stores: bool },
    /// GEORADIUSBYMEMBER, and without storing GEORADIUSBYMEMBER_RO.
    ByMember { stores: bool },
}

impl Form {
    /// Index of the key that is searched.
    pub fn source(self) -> usize {
        if self == Form::SearchStore { 2 } else { 1 }
    }

    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    /// Index of the first option.
    fn first_option(self) -> usize {
        match self {
            Form::Search => 2,
            Form::SearchStore => 3,
            Form::Radius { .. } => 6,
            Form::ByMember { .. } => 5,
        }
    }
}

/// The order of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Nearest,
    Farthest,
}

/// Where the search is centred.
#[derive(Clone, Copy, Debug)]
enum Center {
    /// A member's point; none if the key to search is not there.
    Member(Option<Point>),
    Given(Point),
}

/// What a line asks for.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    pub coordinates: bool,
    pub distances: bool,
    pub hashes: bool,
    pub order: Option<Order>,
    /// Results at most, if limited.
    pub count: Option<usize>,
    /// Any results will do, not only the nearest.
    pub any: bool,
    /// Key to store the results in.
    pub store: Option<&'a [u8]>,
    /// Distances are stored instead of points.
    pub store_distances: bool,
    center: Option<Center>,
    /// The shape and the metres in its unit.
    shape: Option<(Shape, f64)>,
}

/// A length.
fn length(text: &[u8], malformed: &'static str) -> Result<f64, ReplyError> {
    num::parse_f64(text).ok_or(ReplyError::new(malformed))
}

/// A radius and its unit.
fn circle(args: Args<'_>, first: usize) -> Result<(Shape, f64), ReplyError> {
    let radius = length(args.at(first), "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(ReplyError::new("ERR radius cannot be negative"));
    }
    Ok((Shape::Circle { radius }, unit(args.at(first + 1))?))
}

/// A width, a height and their unit.
fn rectangle(args: Args<'_>, first: usize) -> Result<(Shape, f64), ReplyError> {
    let width = length(args.at(first), "ERR need numeric width")?;
    let height = length(args.at(first + 1), "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(ReplyError::new("ERR height or width cannot be negative"));
    }
    Ok((Shape::Box { width, height }, unit(args.at(first + 2))?))
}

/// The point of a member, which has to be there if the sorted set is.
fn of_member(zset: Option<&ZSet>, member: &[u8]) -> Result<Option<Point>, ReplyError> {
    let Some(zset) = zset else { return Ok(None) };
    let score = zset.score(member).ok_or(ReplyError::new("ERR could not decode requested zset member"))?;
    Ok(Some(Point::of_score(score)))
}

impl<'a> Options<'a> {
    /// Reads a line; `zset` is what its key holds.
    pub fn parse(args: Args<'a>, form: Form, zset: Option<&ZSet>) -> Result<Options<'a>, ReplyError> {
        let mut options = Options::default();
        match form {
            Form::Search => {}
            Form::SearchStore => options.store = Some(args.at(1)),
            Form::Radius { .. } => {
                options.center = Some(Center::Given(point(args, 2)?));
                options.shape = Some(circle(args, 4)?);
            }
            // Without the key, neither is looked at.
            Form::ByMember { .. } if zset.is_none() => {}
            Form::ByMember { .. } => {
                options.center = Some(Center::Member(of_member(zset, args.at(2))?));
                options.shape = Some(circle(args, 3)?);
            }
        }
        let mut at = form.first_option();
        while at < args.len() {
            at += options.read(args, at, form, zset)?;
        }
        options.check(args, form)?;
        Ok(options)
    }

    /// Reads the option at an index. Returns how many arguments it takes.
    fn read(&mut self, args: Args<'a>, at: usize, form: Form, zset: Option<&ZSet>) -> Result<usize, ReplyError> {
        let behind = args.len() - at - 1;
        match () {
            () if args.is(at, "WITHDIST") => self.distances = true,
            () if args.is(at, "WITHHASH") => self.hashes = true,
            () if args.is(at, "WITHCOORD") => self.coordinates = true,
            () if args.is(at, "ANY") => self.any = true,
            () if args.is(at, "ASC") => self.order = Some(Order::Nearest),
            () if args.is(at, "DESC") => self.order = Some(Order::Farthest),
            () if form == Form::SearchStore && args.is(at, "STOREDIST") => self.store_distances = true,
            () if behind >= 1 && args.is(at, "COUNT") => {
                let count = num::parse_i64(args.at(at + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
                let count = usize::try_from(count).ok().filter(|&count| count > 0);
                self.count = Some(count.ok_or(ReplyError::new("ERR COUNT must be > 0"))?);
                return Ok(2);
            }
            () if form.is_search() => return self.read_area(args, at, zset),
            () => return self.read_store(args, at, form),
        }
        Ok(1)
    }

    fn read_store(&mut self, args: Args<'a>, at: usize, form: Form) -> Result<usize, ReplyError> {
        let stores = matches!(form, Form::Radius { stores: true } | Form::ByMember { stores: true });
        let distances = args.is(at, "STOREDIST");
        if !stores || at + 1 == args.len() || !(distances || args.is(at, "STORE")) {
            return Err(ReplyError::SYNTAX);
        }
        self.store = Some(args.at(at + 1));
        self.store_distances = distances;
        Ok(2)
    }

    fn read_area(&mut self, args: Args<'a>, at: usize, zset: Option<&ZSet>) -> Result<usize, ReplyError> {
        let behind = args.len() - at - 1;
        match () {
            () if behind >= 1 && args.is(at, "FROMMEMBER") && !matches!(self.center, Some(Center::Given(_))) => {
                self.center = Some(Center::Member(of_member(zset, args.at(at + 1))?));
                Ok(2)
            }
            () if behind >= 2 && args.is(at, "FROMLONLAT") && !matches!(self.center, Some(Center::Member(_))) => {
                self.center = Some(Center::Given(point(args, at + 1)?));
                Ok(3)
            }
            () if behind >= 2 && args.is(at, "BYRADIUS") && !matches!(self.shape, Some((Shape::Box { .. }, _))) => {
                self.shape = Some(circle(args, at + 1)?);
                Ok(3)
            }
            () if behind >= 3 && args.is(at, "BYBOX") && !matches!(self.shape, Some((Shape::Circle { .. }, _))) => {
                self.shape = Some(rectangle(args, at + 1)?);
                Ok(4)
            }
            () => Err(ReplyError::SYNTAX),
        }
    }

    fn check(&self, args: Args<'_>, form: Form) -> Result<(), ReplyError> {
        if self.store.is_some() && (self.distances || self.hashes || self.coordinates) {
            let what = if form == Form::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(ReplyError::owned(text));
        }
        if form.is_search() {
            let missing = match () {
                () if self.center.is_none() => Some("FROMMEMBER or FROMLONLAT"),
                () if self.shape.is_none() => Some("BYRADIUS and BYBOX"),
                () => None,
            };
            if let Some(options) = missing {
                let before = format!("ERR exactly one of {options} can be specified for ");
                return Err(ReplyError::about(&before, args.at(0), ""));
            }
        }
        if self.any && self.count.is_none() {
            return Err(ReplyError::new("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// Metres in the unit of the request.
    pub fn unit(&self) -> f64 {
        self.shape.map_or(1.0, |(_, unit)| unit)
    }

    /// What to search for; `None` if the key to search is not there.
    pub fn search(&self) -> Option<Search> {
        let center = match self.center? {
            Center::Given(point) | Center::Member(Some(point)) => point,
            Center::Member(None) => return None,
        };
        let (shape, unit) = self.shape?;
        Some(Search { center, shape, unit })
    }
}
