//! Points on the globe: the rows of their commands, and what the handlers share. The points are members of sorted sets.
//!
//! - `point`: single points: GEOADD, GEODIST, GEOHASH, GEOPOS. `search`: all that look for points around another;
//!   `slices`: the same slice by slice, where there are many.
//! - `options`: the options of those.

mod options;
mod point;
mod search;
mod slices;

use super::spec::{Access, Category, Group, KeySpec, Spec, keyfind};
use super::zset;
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::store::types::geo::Point;

const fn row(spec: Spec, since: &'static str) -> Spec {
    spec.group(Group::Geo, Category::GEO, since)
}

const READ: Access = Access::RO.with(Access::ACCESS);
const OVERWRITE: Access = Access::OW.with(Access::UPDATE);
const READ_ONE: &[KeySpec] = &[KeySpec::one(READ, 1)];

const SEARCH_COST: &str =
    "O(N+log(M)) for a sorted set of M members, N of which are in the squares of the grid that are searched.";
const UPPERCASE: (&str, &str) = ("7.0.0", "Added support for uppercase unit names.");
const RADIUS_HISTORY: &[(&str, &str)] = &[("6.2.0", "Added the `ANY` option for `COUNT`."), UPPERCASE];

/// The rows.
pub const ROWS: &[Spec] = &[
    row(Spec::write("GEOADD", -5, point::geoadd).in_pieces(), "3.2.0")
        .denyoom()
        .keys(&[KeySpec::one(Access::RW.with(Access::UPDATE), 1)])
        .doc(
            "Adds members at points on the globe to a sorted set, which is created if need be, or moves them.",
            "O(log(N)) for each member, in a sorted set of N members.",
            "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        )
        .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")]),
    row(Spec::read("GEODIST", -4, point::geodist), "3.2.0").keys(READ_ONE).doc(
        "Returns the distance of two members.",
        "O(1)",
        "key member1 member2 [M | KM | FT | MI]",
    ),
    row(Spec::read("GEOHASH", -2, point::geohash), "3.2.0").keys(READ_ONE).doc(
        "Returns the geohash texts of members.",
        "O(1) for each member.",
        "key [member [member ...]]",
    ),
    row(Spec::read("GEOPOS", -2, point::geopos), "3.2.0").keys(READ_ONE).doc(
        "Returns the longitudes and latitudes of members.",
        "O(1) for each member.",
        "key [member [member ...]]",
    ),
    row(Spec::read("GEOSEARCH", -7, search::geosearch), "6.2.0")
        .keys(READ_ONE)
        .doc(
            "Returns the members in a circle or a box around a member or a point.",
            SEARCH_COST,
            "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width \
             height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        )
        .history(&[UPPERCASE]),
    row(Spec::write("GEOSEARCHSTORE", -8, search::geosearchstore), "6.2.0")
        .denyoom()
        .keys(&[KeySpec::one(OVERWRITE, 1), KeySpec::one(READ, 2)])
        .doc(
            "Stores the members in a circle or a box around a member or a point in another key.",
            SEARCH_COST,
            "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | \
             BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        )
        .history(&[UPPERCASE]),
    row(Spec::write("GEORADIUS", -6, search::georadius), "3.2.0")
        .denyoom()
        .keys(&[KeySpec::one(READ, 1), KeySpec::after(OVERWRITE, "STORE", 6), KeySpec::after(OVERWRITE, "STOREDIST", 6)])
        .find_keys(keyfind::georadius)
        .doc(
            "Returns the members around a point, or stores them in another key.",
            SEARCH_COST,
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
             [ASC | DESC] [STORE key | STOREDIST key]",
        )
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .history(RADIUS_HISTORY),
    row(Spec::read("GEORADIUS_RO", -6, search::georadius_ro), "3.2.10")
        .keys(READ_ONE)
        .doc(
            "Returns the members around a point.",
            SEARCH_COST,
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
             [ASC | DESC]",
        )
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
        .history(RADIUS_HISTORY),
    row(Spec::write("GEORADIUSBYMEMBER", -5, search::georadiusbymember), "3.2.0")
        .denyoom()
        .keys(&[KeySpec::one(READ, 1), KeySpec::after(OVERWRITE, "STORE", 5), KeySpec::after(OVERWRITE, "STOREDIST", 5)])
        .find_keys(keyfind::georadiusbymember)
        .doc(
            "Returns the members around a member, or stores them in another key.",
            SEARCH_COST,
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] \
             [STORE key | STOREDIST key]",
        )
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .history(RADIUS_HISTORY),
    row(Spec::read("GEORADIUSBYMEMBER_RO", -5, search::georadiusbymember_ro), "3.2.10")
        .keys(READ_ONE)
        .doc(
            "Returns the members around a member.",
            SEARCH_COST,
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        )
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .history(RADIUS_HISTORY),
];

/// Reads a longitude and a latitude.
fn point(args: Args<'_>, first: usize) -> Result<Point, ReplyError> {
    let number = |text| num::parse_f64(text).ok_or(ReplyError::NOT_A_FLOAT);
    let (lon, lat) = (number(args.at(first))?, number(args.at(first + 1))?);
    let invalid = || ReplyError::owned(format!("ERR invalid longitude,latitude pair {lon:.6},{lat:.6}"));
    Point::checked(lon, lat).ok_or_else(invalid)
}

/// Reads the name of a unit: the metres in it.
fn unit(name: &[u8]) -> Result<f64, ReplyError> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let named = UNITS.iter().find(|(unit, _)| name.eq_ignore_ascii_case(unit.as_bytes()));
    named.map(|&(_, metres)| metres).ok_or(ReplyError::new("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Writes a distance with four decimals.
fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    // Halves go to the even digit, after the product has been rounded.
    let scaled = (distance * 10_000.0).round_ties_even() as u64;
    let mut text = Vec::with_capacity(24);
    num::write_u64(&mut text, scaled / 10_000);
    text.push(b'.');
    text.extend([1_000, 100, 10, 1].map(|place| b'0' + (scaled / place % 10) as u8));
    reply.bulk(&text);
}

/// Writes a longitude and a latitude.
fn write_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    reply.double(point.lon);
    reply.double(point.lat);
}
