//! Points on the globe as scores of sorted sets: 26 bits of latitude and of longitude, interleaved, so that neighbours on
//! the globe mostly have close scores and a square of the grid is one range of scores.
//!
//! The arithmetic is Redis's operation by operation: scores, digits of coordinates and distances, and which squares a search
//! looks at and in which order, all show in replies.
//!
//! Angles are degrees, distances metres, the globe a sphere. Used by the geo commands. Knows nothing of sorted sets beyond that
//! a score is a double, and nothing of keys and replies.

use std::f64::consts::PI;
use std::ops::Range;

/// Longitudes range from minus this to this.
pub const LON_MAX: f64 = 180.0;
/// Latitudes range from minus this to this: where the Mercator map of the world is a square.
pub const LAT_MAX: f64 = 85.051_128_78;
/// Halvings of each axis in a score.
const STEPS: u32 = 26;
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the width of the Mercator map.
const MAP_HALF: f64 = 20_037_726.37;
const RADIAN: f64 = PI / 180.0;
/// Characters of a geohash text.
const GEOHASH_CHARS: usize = 11;
const GEOHASH_ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// The ranges of both axes that a grid divides.
#[derive(Clone, Copy, Debug)]
struct Frame {
    lon_max: f64,
    lat_max: f64,
}

const MERCATOR: Frame = Frame { lon_max: LON_MAX, lat_max: LAT_MAX };
/// What geohash texts divide.
const GLOBE: Frame = Frame { lon_max: 180.0, lat_max: 90.0 };

/// Puts a zero above each bit.
fn spread(n: u32) -> u64 {
    let mut n = u64::from(n);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        n = (n | n << shift) & mask;
    }
    n
}

/// Every second bit, from the lowest on.
fn squeeze(bits: u64) -> u32 {
    let mut n = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        n = (n | n >> shift) & mask;
    }
    n as u32
}

/// A square of the grid that so many halvings of each axis give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Column and row from the south-west, interleaved; the row has the lowest bit. At the very east and north they are one
    /// beyond the grid.
    bits: u64,
    step: u32,
}

/// The ends of a cell or of a search on both axes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    lon_min: f64,
    lon_max: f64,
    lat_min: f64,
    lat_max: f64,
}

impl Cell {
    fn of(point: Point, frame: Frame, step: u32) -> Cell {
        let place = |value: f64, max: f64| ((value + max) / (max + max) * (1u64 << step) as f64) as u32;
        let (column, row) = (place(point.lon, frame.lon_max), place(point.lat, frame.lat_max));
        Cell { bits: spread(row) | spread(column) << 1, step }
    }

    fn row(self) -> u32 {
        squeeze(self.bits)
    }

    fn column(self) -> u32 {
        squeeze(self.bits >> 1)
    }

    fn bounds(self) -> Bounds {
        let edge = |n: u32, max: f64| -max + f64::from(n) / (1u64 << self.step) as f64 * (max + max);
        let (column, row) = (self.column(), self.row());
        Bounds {
            lon_min: edge(column, LON_MAX),
            lon_max: edge(column.wrapping_add(1), LON_MAX),
            lat_min: edge(row, LAT_MAX),
            lat_max: edge(row.wrapping_add(1), LAT_MAX),
        }
    }

    /// A neighbour, or the cell itself. Beyond an edge the grid goes on at the opposite one.
    fn beside(self, direction: Direction) -> Cell {
        let last = (1u32 << self.step) - 1;
        let along = |n: u32, by: i32| if by == 0 { n } else { n.wrapping_add_signed(by) & last };
        let (column, row) = (along(self.column(), direction.east), along(self.row(), direction.north));
        Cell { bits: spread(row) | spread(column) << 1, ..self }
    }

    /// The scores of the points inside.
    fn scores(self) -> Range<f64> {
        let shift = 2 * (STEPS - self.step);
        (self.bits << shift) as f64..((self.bits + 1) << shift) as f64
    }
}

/// Steps to a neighbour.
#[derive(Clone, Copy, Debug)]
struct Direction {
    east: i32,
    north: i32,
}

/// A cell and its neighbours, in the order in which they are searched.
const DIRECTIONS: [Direction; 9] = [
    Direction { east: 0, north: 0 },
    Direction { east: 0, north: 1 },
    Direction { east: 0, north: -1 },
    Direction { east: 1, north: 0 },
    Direction { east: -1, north: 0 },
    Direction { east: 1, north: 1 },
    Direction { east: -1, north: 1 },
    Direction { east: 1, north: -1 },
    Direction { east: -1, north: -1 },
];

/// A point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees east, at most [`LON_MAX`] either way.
    pub lon: f64,
    /// Degrees north, at most [`LAT_MAX`] either way.
    pub lat: f64,
}

impl Point {
    /// The point of a longitude and a latitude, if they are within the limits.
    pub fn checked(lon: f64, lat: f64) -> Option<Point> {
        (lon.abs() <= LON_MAX && lat.abs() <= LAT_MAX).then_some(Point { lon, lat })
    }

    /// The middle of the square that a score stands for; of any score, also of one that never came from a point. O(1).
    pub fn of_score(score: f64) -> Point {
        let bounds = Cell { bits: whole(score), step: STEPS }.bounds();
        Point {
            lon: ((bounds.lon_min + bounds.lon_max) / 2.0).clamp(-LON_MAX, LON_MAX),
            lat: ((bounds.lat_min + bounds.lat_max) / 2.0).clamp(-LAT_MAX, LAT_MAX),
        }
    }

    /// The score that stands for the point. O(1).
    pub fn score(self) -> f64 {
        Cell::of(self, MERCATOR, STEPS).bits as f64
    }

    /// The geohash text of the point. Its last character is always `0`, as 52 bits make ten characters.
    pub fn geohash(self) -> [u8; GEOHASH_CHARS] {
        let bits = Cell::of(self, GLOBE, STEPS).bits;
        std::array::from_fn(|n| {
            let shift = (2 * STEPS).checked_sub(5 * (n as u32 + 1));
            GEOHASH_ALPHABET[shift.map_or(0, |shift| bits >> shift & 31) as usize]
        })
    }

    /// The great-circle distance by the haversine formula.
    pub fn distance(self, other: Point) -> f64 {
        let v = ((other.lon * RADIAN - self.lon * RADIAN) / 2.0).sin();
        if v == 0.0 {
            return self.distance_in_latitude(other);
        }
        let (lat, other_lat) = (self.lat * RADIAN, other.lat * RADIAN);
        let u = ((other_lat - lat) / 2.0).sin();
        let a = u * u + lat.cos() * other_lat.cos() * v * v;
        // Between antipodes rounding may give more than one.
        2.0 * EARTH_RADIUS * a.sqrt().min(1.0).asin()
    }

    fn distance_in_latitude(self, other: Point) -> f64 {
        EARTH_RADIUS * (other.lat * RADIAN - self.lat * RADIAN).abs()
    }
}

/// A score without its fraction, as the bits of a cell. Scores that fit no integer become what x86 processors make of
/// them, which clients of Redis see.
fn whole(score: f64) -> u64 {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if score >= TWO_63 {
        return if score < 2.0 * TWO_63 { score as u64 } else { 0 };
    }
    score as i64 as u64
}

/// What a search looks for around its centre, in the unit of its request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All that is no farther.
    Circle {
        /// The distance.
        radius: f64,
    },
    /// All that is within half of these along the meridian and along the point's own circle of latitude.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// A search for points.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The centre.
    pub center: Point,
    /// What is inside.
    pub shape: Shape,
    /// Metres in the unit of the shape.
    pub unit: f64,
}

impl Search {
    /// The distance of a point from the centre, if the point is inside. O(1).
    #[inline]
    pub fn distance(&self, point: Point) -> Option<f64> {
        let Search { center, shape, unit } = *self;
        match shape {
            Shape::Circle { radius } => {
                let distance = center.distance(point);
                (distance <= radius * unit).then_some(distance)
            }
            Shape::Box { width, height } => {
                let beside = Point { lon: center.lon, lat: point.lat };
                let inside = point.distance_in_latitude(center) <= height * unit / 2.0
                    && point.distance(beside) <= width * unit / 2.0;
                inside.then(|| center.distance(point))
            }
        }
    }

    /// The ranges of scores in which all points inside are, except close to the poles, where some may be missed. No two
    /// overlap.
    pub fn scores(&self) -> impl Iterator<Item = Range<f64>> {
        let wanted = self.bounds();
        let cell = self.cell(&wanted);
        let middle = cell.bounds();
        let mut last = None;
        DIRECTIONS.into_iter().filter_map(move |direction| {
            if cell.step >= 2 && is_beyond(&wanted, &middle, direction) {
                return None;
            }
            let cell = cell.beside(direction);
            // On a grid of two by two, the neighbours on both sides are the same.
            (last.replace(cell) != Some(cell)).then(|| cell.scores())
        })
    }

    /// The ends of the shape on both axes. Towards the pole a width spans more degrees.
    fn bounds(&self) -> Bounds {
        let Search { center, shape, unit } = *self;
        let (width, height) = match shape {
            Shape::Circle { radius } => (unit * radius, unit * radius),
            Shape::Box { width, height } => (unit * (width / 2.0), unit * (height / 2.0)),
        };
        let lat_delta = height / EARTH_RADIUS / RADIAN;
        let farthest = if center.lat < 0.0 { center.lat - lat_delta } else { center.lat + lat_delta };
        let lon_delta = width / EARTH_RADIUS / (farthest * RADIAN).cos() / RADIAN;
        Bounds {
            lon_min: center.lon - lon_delta,
            lon_max: center.lon + lon_delta,
            lat_min: center.lat - lat_delta,
            lat_max: center.lat + lat_delta,
        }
    }

    /// The cell in the middle: as small as it can be for it and its neighbours to hold the shape.
    fn cell(&self, wanted: &Bounds) -> Cell {
        let step = self.steps();
        let cell = Cell::of(self.center, MERCATOR, step);
        let beside = |east, north| cell.beside(Direction { east, north }).bounds();
        let too_small = beside(0, 1).lat_max < wanted.lat_max
            || beside(0, -1).lat_min > wanted.lat_min
            || beside(1, 0).lon_max < wanted.lon_max
            || beside(-1, 0).lon_min > wanted.lon_min;
        if too_small && step > 1 { Cell::of(self.center, MERCATOR, step - 1) } else { cell }
    }

    /// Roughly how many halvings of the map leave cells as large as the shape.
    fn steps(&self) -> u32 {
        let mut distance = self.unit
            * match self.shape {
                Shape::Circle { radius } => radius,
                Shape::Box { width, height } => {
                    let (x, y) = (width / 2.0, height / 2.0);
                    (x * x + y * y).sqrt()
                }
            };
        if distance == 0.0 {
            return STEPS;
        }
        let mut steps = -1;
        while distance < MAP_HALF {
            distance *= 2.0;
            steps += 1;
        }
        let lat = self.center.lat.abs();
        steps -= i32::from(lat > 66.0) + i32::from(lat > 80.0);
        steps.clamp(1, STEPS as i32) as u32
    }
}

/// True if a shape ends inside of the middle cell, so that nothing of it is in the neighbours of that side.
fn is_beyond(wanted: &Bounds, middle: &Bounds, direction: Direction) -> bool {
    direction.north < 0 && middle.lat_min < wanted.lat_min
        || direction.north > 0 && middle.lat_max > wanted.lat_max
        || direction.east < 0 && middle.lon_min < wanted.lon_min
        || direction.east > 0 && middle.lon_max > wanted.lon_max
}

#[cfg(test)]
#[path = "geo/tests.rs"]
mod tests;
