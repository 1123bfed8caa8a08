//! The facts come from Redis 8.2; the searches are held against all points one by one.

use super::*;
use crate::base::prng::Prng;

const PALERMO: Point = Point { lon: 13.361389, lat: 38.115556 };
const CATANIA: Point = Point { lon: 15.087269, lat: 37.502669 };

/// A number from `min` to `max`.
fn between(prng: &mut Prng, min: f64, max: f64) -> f64 {
    min + (max - min) * (prng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn anywhere(prng: &mut Prng, lat_max: f64) -> Point {
    Point { lon: between(prng, -LON_MAX, LON_MAX), lat: between(prng, -lat_max, lat_max) }
}

#[test]
fn scores_and_texts_are_those_of_redis() {
    assert_eq!(PALERMO.score(), 3479099956230698.0);
    assert_eq!(CATANIA.score(), 3479447370796909.0);
    assert_eq!(Point::of_score(PALERMO.score()), Point { lon: 13.361389338970184, lat: 38.1155563954963 });
    assert_eq!(&Point::of_score(PALERMO.score()).geohash(), b"sqc8b49rny0");
    assert_eq!(Point { lon: LON_MAX, lat: LAT_MAX }.score(), 13510798882111488.0);
    let distance = Point::of_score(PALERMO.score()).distance(Point::of_score(CATANIA.score()));
    assert_eq!(format!("{distance:.4}"), "166274.1516");
}

#[test]
fn any_score_is_some_point() {
    let (east, west) = (180.0, -179.99999731779099);
    let (north, south) = (LAT_MAX, -85.05112751263943);
    let rows = [
        (1e300, west, south),
        (-5.0, east, north),
        (f64::INFINITY, west, south),
        (f64::NEG_INFINITY, east, south),
        (1.7, west, -85.05112497791825),
        (4503599627370496.0, west, north),
        (18446744073709551616.0, west, south),
        (9223372036854775808.0, east, south),
    ];
    for (score, lon, lat) in rows {
        assert_eq!(Point::of_score(score), Point { lon, lat }, "{score}");
    }
}

#[test]
fn limits_are_part_of_the_map() {
    assert!(Point::checked(180.0, -LAT_MAX).is_some());
    assert!(Point::checked(180.000001, 0.0).is_none());
    assert!(Point::checked(0.0, -85.0511288).is_none());
    assert!(Point::checked(f64::NAN, 0.0).is_none());
}

#[test]
fn a_point_stays_in_its_square() {
    let mut prng = Prng::seeded(1);
    for _ in 0..100_000 {
        let point = anywhere(&mut prng, LAT_MAX);
        let middle = Point::of_score(point.score());
        let (lon, lat) = (360.0 / 2f64.powi(27), LAT_MAX / 2f64.powi(26));
        assert!((middle.lon - point.lon).abs() <= lon * 1.0001 && (middle.lat - point.lat).abs() <= lat * 1.0001);
        assert_eq!(middle.score(), point.score());
    }
}

#[test]
fn distances_are_those_of_vectors() {
    let mut prng = Prng::seeded(2);
    for _ in 0..10_000 {
        let (a, b) = (anywhere(&mut prng, LAT_MAX), anywhere(&mut prng, LAT_MAX));
        let vector = |p: Point| {
            let (lon, lat) = (p.lon.to_radians(), p.lat.to_radians());
            [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
        };
        let (a_xyz, b_xyz) = (vector(a), vector(b));
        let chord = a_xyz.iter().zip(b_xyz).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
        let expected = 2.0 * EARTH_RADIUS * (chord / 2.0).min(1.0).asin();
        assert!((a.distance(b) - expected).abs() < 1.0, "{a:?} {b:?}");
        assert_eq!(a.distance(a), 0.0);
    }
    let antipodes = Point { lon: 0.0, lat: 45.0 }.distance(Point { lon: 180.0, lat: -45.0 });
    assert!((antipodes - EARTH_RADIUS * PI).abs() < 1.0);
}

/// A search whose box does not reach a pole.
fn search(prng: &mut Prng) -> Search {
    let size = 10f64.powf(between(prng, 0.0, 5.8));
    let shape = if prng.chance(1, 2) {
        Shape::Circle { radius: size }
    } else {
        Shape::Box { width: size * between(prng, 0.1, 2.0), height: size * between(prng, 0.1, 2.0) }
    };
    let mut center = anywhere(prng, 70.0);
    if prng.chance(1, 4) {
        center.lon = if prng.chance(1, 2) { 179.999 } else { -180.0 };
    }
    Search { center, shape, unit: 1.0 }
}

#[test]
fn ranges_hold_every_point_inside_once() {
    let mut prng = Prng::seeded(3);
    for _ in 0..2_000 {
        let search = search(&mut prng);
        let ranges: Vec<Range<f64>> = search.scores().collect();
        for _ in 0..30 {
            let spread = between(&mut prng, 0.0, 12.0) * 10f64.powf(between(&mut prng, -6.0, 0.0));
            let (dx, dy) = (between(&mut prng, -spread, spread), between(&mut prng, -spread, spread));
            let lon = (search.center.lon + dx + 540.0).rem_euclid(360.0) - 180.0;
            let Some(point) = Point::checked(lon, search.center.lat + dy) else { continue };
            let score = point.score();
            let inside = search.distance(Point::of_score(score)).is_some();
            let found = ranges.iter().filter(|range| range.contains(&score)).count();
            assert!(found <= 1 && (found == 1 || !inside), "{search:?} {point:?} in {found} ranges");
        }
    }
}

#[test]
fn ranges_never_overlap() {
    let mut prng = Prng::seeded(4);
    for turn in 0..20_000 {
        let mut search = search(&mut prng);
        search.center = match turn % 4 {
            0 => Point { lon: LON_MAX, lat: LAT_MAX },
            1 => Point { lon: -LON_MAX, lat: -LAT_MAX },
            _ => anywhere(&mut prng, LAT_MAX),
        };
        search.unit = *prng.pick(&[0.0, 1.0, 1e3, 1e300]).unwrap_or(&1.0);
        let mut ranges: Vec<Range<f64>> = search.scores().collect();
        ranges.sort_by(|a, b| a.start.total_cmp(&b.start));
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{search:?} {ranges:?}");
    }
}
