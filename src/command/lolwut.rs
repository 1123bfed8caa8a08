//! LOLWUT: works of art. Version 5 is Georg Nees's "Schotter": rows of squares that fall into disorder, drawn with Braille
//! dots. Version 6 is a skyline by night, drawn with coloured spaces. Without a version there are dice, our own. Geometry,
//! limits and the words below a work are Redis's; where it draws by chance, so do we.

use std::f32::consts::SQRT_2;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

use super::spec::Outcome;
use crate::base::num;
use crate::base::prng::Prng;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::REDIS_VERSION;
use crate::server::ctx::{Ctx, Next};

/// Columns of a terminal, at most.
const COLUMNS_MAX: i64 = 1000;
/// Squares in a row and rows of squares, at most.
const SQUARES_MAX: i64 = 200;
/// Rows of a terminal, at most.
const ROWS_MAX: i64 = 1000;
/// Points of a picture of squares, at most: 16 MB, in which more than two rows of the largest squares have room.
const POINTS_MAX: usize = 1 << 24;
/// Dice side by side and on top of each other, at most and if nothing is said.
const DICE_MAX: i64 = 16;
const DICE_ACROSS: i64 = 5;
const DICE_DOWN: i64 = 2;

pub(super) fn lolwut(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let has_version = args.len() > 2 && args.is(1, "VERSION");
    let version = has_version.then(|| num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)).transpose()?;
    let first = if has_version { 3 } else { 1 };
    // A number that follows the version: which one, what it is if it is not there, and the most that is taken.
    let number = |nth: usize, usual: i64, most: i64| -> Result<usize, ReplyError> {
        let given =
            args.get(first + nth).map(|arg| num::parse_i64(arg).ok_or(ReplyError::NOT_AN_INTEGER)).transpose()?;
        Ok(given.unwrap_or(usual).clamp(1, most) as usize)
    };
    let prng = &mut ctx.server.prng;
    let mut text = match version {
        None => {
            let (across, down) = (number(0, DICE_ACROSS, DICE_MAX)?, number(1, DICE_DOWN, DICE_MAX)?);
            let dice = throw_dice(prng, across, down);
            format!("{dice}\nAlea iacta est. AleaDB ver. {}. ", env!("CARGO_PKG_VERSION"))
        }
        Some(5) => {
            let (columns, across) = (number(0, 66, COLUMNS_MAX)?, number(1, 8, SQUARES_MAX)?);
            let squares = schotter(prng, columns, across, number(2, 12, SQUARES_MAX)?);
            format!("{squares}\nGeorg Nees - schotter, plotter on paper, 1968. ")
        }
        Some(6) => {
            let (columns, rows) = (number(0, 80, COLUMNS_MAX)?, number(1, 20, ROWS_MAX)?);
            let skyline = skyline(prng, columns, rows);
            format!(
                "{skyline}\nDedicated to the 8 bit game developers of past and present.\n\
                 Original 8 bit image from Plaguemon by hikikomori. "
            )
        }
        Some(_) => String::new(),
    };
    text.push_str(&format!("Redis ver. {REDIS_VERSION}\n"));
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

/// A picture of coloured points. What is drawn outside of it is not seen.
struct Canvas {
    width: usize,
    height: usize,
    points: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize, color: u8) -> Canvas {
        Canvas { width, height, points: vec![color; width * height] }
    }

    fn index(&self, x: i64, y: i64) -> Option<usize> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        (x < self.width && y < self.height).then_some(x + y * self.width)
    }

    fn point(&self, x: i64, y: i64) -> u8 {
        self.index(x, y).map_or(0, |index| self.points[index])
    }

    fn draw(&mut self, x: i64, y: i64, color: u8) {
        if let Some(index) = self.index(x, y) {
            self.points[index] = color;
        }
    }

    /// A line between two points, both of them included, by Bresenham's algorithm.
    fn line(&mut self, from: (i64, i64), to: (i64, i64)) {
        let ((mut x, mut y), (dx, dy)) = (from, ((to.0 - from.0).abs(), (to.1 - from.1).abs()));
        let (step_x, step_y) = (if from.0 < to.0 { 1 } else { -1 }, if from.1 < to.1 { 1 } else { -1 });
        let mut error = dx - dy;
        loop {
            self.draw(x, y, 1);
            if (x, y) == to {
                return;
            }
            let twice = 2 * error;
            if twice > -dy {
                error -= dy;
                x += step_x;
            }
            if twice < dx {
                error += dx;
                y += step_y;
            }
        }
    }

    /// A square around a point, turned by an angle in radians.
    fn square(&mut self, x: i64, y: i64, side: f32, angle: f32) {
        // From the middle to a corner.
        let radius = f64::from((side / SQRT_2).round());
        let corner = |nth: usize| {
            let at = FRAC_PI_4 + f64::from(angle) + nth as f64 * FRAC_PI_2;
            let place = |part: f64, middle: i64| (part * radius + middle as f64).round() as i64;
            (place(at.sin(), x), place(at.cos(), y))
        };
        (0..4).for_each(|nth| self.line(corner(nth), corner((nth + 1) % 4)));
    }

    /// Braille characters of two by four points each.
    fn braille(&self) -> String {
        /// The points of a character in the order of its bits.
        const DOTS: [(i64, i64); 8] = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
        let mut text = String::new();
        for y in (0..self.height).step_by(4) {
            for x in (0..self.width).step_by(2) {
                let set = |&(_, (dx, dy)): &(u32, (i64, i64))| self.point(x as i64 + dx, y as i64 + dy) != 0;
                let bits: u32 = (0u32..).zip(DOTS).filter(set).map(|(bit, _)| 1 << bit).sum();
                text.extend(char::from_u32(0x2800 + bits));
            }
            if y + 1 != self.height {
                text.push('\n');
            }
        }
        text
    }

    /// Spaces in four shades, both the letter's colour and the ground's, as terminals differ in what they show of a space.
    fn shades(&self) -> String {
        const SHADES: [&str; 4] = ["0;30;40m", "0;90;100m", "0;37;47m", "0;97;107m"];
        let row = |points: &[u8]| -> String {
            points.iter().map(|&color| format!("\u{1b}[{} \u{1b}[0m", SHADES[usize::from(color & 3)])).collect()
        };
        self.points.chunks(self.width).map(row).collect::<Vec<_>>().join("\n")
    }
}

/// Squares side by side and below each other; from the third row on, the further down the more they are moved and turned.
fn schotter(prng: &mut Prng, columns: usize, across: usize, down: usize) -> String {
    let width = 2 * columns;
    let padding = if width > 4 { 2.0 } else { 0.0 };
    let side = (width as f32 - 2.0 * padding) / across as f32;
    // COMPAT: Redis draws as many rows as asked for, on a canvas of up to 800 MB. At least one fits.
    let down = down.min(((POINTS_MAX / width) as f32 / side) as usize - 1);
    let height = (side * down as f32 + 2.0 * padding) as usize;
    let mut canvas = Canvas::new(width, height, 0);
    let mut disorder = |row: usize| {
        let most = row as f64 / down as f64;
        let amount = (prng.below(1 << 31) as f64 / (1u64 << 31) as f64 * most) as f32;
        if prng.below(2) == 1 { -amount } else { amount }
    };
    for row in 0..down {
        for column in 0..across {
            // Middles are whole points, rounded down before and after they are moved.
            let place = |nth: usize| (nth as f32 * side + side / 2.0 + padding).trunc();
            let (mut x, mut y, mut angle) = (place(column), place(row), 0.0);
            if row > 1 {
                angle = disorder(row);
                x += disorder(row) * side / 3.0;
                y += disorder(row) * side / 3.0;
            }
            canvas.square(x as i64, y as i64, side, angle);
        }
    }
    canvas.braille()
}

/// A building: from where on it stands, and its size and shade. Those in front have windows.
struct Skyscraper {
    left: i64,
    width: i64,
    height: i64,
    color: u8,
    windows: bool,
}

impl Skyscraper {
    fn draw(&self, canvas: &mut Canvas, prng: &mut Prng) {
        let (ground, roof) = (canvas.height as i64 - 1, canvas.height as i64 - self.height);
        for y in (roof..=ground).rev() {
            for x in self.left..self.left + self.width {
                // What is two points or more away from the left and from the right.
                let inside = x > self.left + 1 && x < self.left + self.width - 2;
                // The roof is narrower.
                if y == roof && !inside {
                    continue;
                }
                let (right, below) = (x - self.left - 1, y - roof - 1);
                let is_window = self.windows && inside && y > roof + 1 && y < ground - 1;
                // Windows are two points wide, for points are higher than wide. Their shade is that of their left half.
                let color = match is_window && right / 2 % 2 == 1 && below % 2 == 1 {
                    true if right % 2 == 1 => canvas.point(x - 1, y),
                    true => 1 + prng.below(2) as u8,
                    false => self.color,
                };
                canvas.draw(x, y, color);
            }
        }
    }
}

/// Buildings behind each other, the lightest at the back.
fn skyline(prng: &mut Prng, columns: usize, rows: usize) -> String {
    /// The first building of each row may begin so far to the left of the picture.
    const OUTSIDE: i64 = -10;
    let mut canvas = Canvas::new(columns, rows, 3);
    let (columns, rows) = (columns as i64, rows as i64);
    let chance = |prng: &mut Prng, below: i64| prng.below(below as u64) as i64;
    for color in [2, 1] {
        let mut at = OUTSIDE;
        while at < columns {
            at += chance(prng, 8);
            let width = 10 + chance(prng, 9);
            let height = rows / 2 + chance(prng, rows) / if color == 2 { 2 } else { 3 };
            Skyscraper { left: at, width, height, color, windows: false }.draw(&mut canvas, prng);
            at += if color == 2 { width / 2 } else { width + 1 };
        }
    }
    let mut at = OUTSIDE;
    while at < columns {
        at += chance(prng, 8);
        let mut width = 5 + chance(prng, 14);
        if width % 4 != 0 {
            width += width % 3;
        }
        let height = rows / 3 + chance(prng, rows) / 2;
        Skyscraper { left: at, width, height, color: 0, windows: true }.draw(&mut canvas, prng);
        at += width + 5;
    }
    canvas.shades()
}

/// The three rows of pips of each face.
const FACES: [[&str; 3]; 6] = [
    ["       ", "   ●   ", "       "],
    [" ●     ", "       ", "     ● "],
    [" ●     ", "   ●   ", "     ● "],
    [" ●   ● ", "       ", " ●   ● "],
    [" ●   ● ", "   ●   ", " ●   ● "],
    [" ●   ● ", " ●   ● ", " ●   ● "],
];

fn throw_dice(prng: &mut Prng, across: usize, down: usize) -> String {
    let mut text = String::new();
    let repeat = |text: &mut String, part: &str| {
        text.push_str(&vec![part; across].join(" "));
        text.push('\n');
    };
    for _ in 0..down {
        let faces: Vec<_> = (0..across).map(|_| FACES[prng.below(6) as usize]).collect();
        repeat(&mut text, "╭───────╮");
        for row in 0..3 {
            let pips: Vec<String> = faces.iter().map(|face| format!("│{}│", face[row])).collect();
            text.push_str(&pips.join(" "));
            text.push('\n');
        }
        repeat(&mut text, "╰───────╯");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_the_first_two_rows_stand_in_order() {
        // What Redis 8.6 draws for `LOLWUT VERSION 5 1 1 1` and `5 10 2 2`; the second row is not moved yet.
        assert_eq!(schotter(&mut Prng::seeded(1), 1, 1, 1), "\u{280b}\n");
    }

    #[test]
    fn no_picture_of_squares_is_larger_than_its_limit() {
        for columns in [1, 2, 3, 500, 1000] {
            for across in [1, 2, 200] {
                let picture = schotter(&mut Prng::seeded(1), columns, across, 200);
                assert!(picture.chars().count() <= POINTS_MAX / 8 + POINTS_MAX / columns, "{columns} {across}");
                assert!(!picture.is_empty());
            }
        }
    }

    #[test]
    fn windows_are_two_points_wide_and_never_of_the_walls_shade() {
        let mut canvas = Canvas::new(14, 12, 3);
        Skyscraper { left: 1, width: 12, height: 10, color: 0, windows: true }.draw(&mut canvas, &mut Prng::seeded(7));
        let lit: Vec<(i64, i64)> = (0..12)
            .flat_map(|y| (0..14).map(move |x| (x, y)))
            .filter(|&(x, y)| matches!(canvas.point(x, y), 1 | 2))
            .collect();
        assert!(!lit.is_empty());
        for &(x, y) in &lit {
            let other = if (x - 2) % 2 == 0 { x + 1 } else { x - 1 };
            assert_eq!(canvas.point(x, y), canvas.point(other, y), "{x} {y}");
        }
        assert_eq!(canvas.point(2, 2), 3, "the roof is narrower");
    }

    #[test]
    fn pictures_have_the_size_asked_for() {
        let text = skyline(&mut Prng::seeded(3), 7, 3);
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line.matches(' ').count() == 7));
        assert!(!text.ends_with('\n'));
    }
}
