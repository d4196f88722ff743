//! Which points seem nearest to each of some rows, in single precision.

use ndarray::{Array2, s};
use pulp::{Simd, WithSimd};

/// Points that are multiplied with a row together: one to four vectors, on any machine.
const PANEL: usize = 16;
/// Panels that all rows of a block meet before the next: 100 KB in 50 dimensions, which stay in the second cache.
const PANELS: usize = 32;

/// Points y, ready to be multiplied: their coordinates and |y|², so that one product with (−2x, 1) gives |y|² − 2 x·y, the squared
/// distance but for |x|².
pub(crate) struct Points {
    /// Centred coordinates and squared length, `[points, dimensions + 1]`.
    values: Array2<f32>,
    /// The same, `[panels, dimensions + 1, PANEL]`; points beyond the last are infinitely far.
    panels: Vec<f32>,
}

impl Points {
    pub(crate) fn new(centred: &Array2<f64>) -> Self {
        let (n, d) = centred.dim();
        let mut values = Array2::zeros((n, d + 1));
        for (mut row, point) in values.rows_mut().into_iter().zip(centred.rows()) {
            let mut squared = 0.0;
            for (to, &from) in row.iter_mut().zip(point) {
                *to = from as f32;
                squared += f64::from(*to) * f64::from(*to);
            }
            row[d] = squared as f32;
        }
        let mut panels = vec![0.0; n.div_ceil(PANEL) * (d + 1) * PANEL];
        for (panel, packed) in panels.chunks_exact_mut((d + 1) * PANEL).enumerate() {
            packed[d * PANEL..].fill(f32::INFINITY);
            let points = values.slice(s![panel * PANEL..((panel + 1) * PANEL).min(n), ..]);
            for ((at, k), &value) in points.indexed_iter() {
                packed[k * PANEL + at] = value;
            }
        }
        Self { values, panels }
    }

    /// Coordinates and squared length.
    pub(crate) fn width(&self) -> usize {
        self.values.ncols()
    }

    pub(crate) fn squared_length(&self, point: usize) -> f64 {
        f64::from(self.values[[point, self.width() - 1]])
    }

    /// The `n_kept` points that seem nearest to each of `n_rows` points from `first` on, without themselves.
    pub(crate) fn seemingly_nearest(&self, first: usize, n_rows: usize, n_kept: usize) -> Vec<Nearest> {
        let mut nearest = vec![Nearest::new(n_kept); n_rows];
        pulp::Arch::new().dispatch(Scan {
            points: self,
            first,
            nearest: &mut nearest,
        });
        nearest
    }
}

/// All products of some rows with all points, which never leave the registers unless a row wants them.
struct Scan<'a> {
    points: &'a Points,
    first: usize,
    nearest: &'a mut [Nearest],
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as half of the registers hold, or a few more.
        match S::F32_LANES {
            16 => self.run::<S, 1, 12>(simd),
            8 => self.run::<S, 2, 6>(simd),
            4 => self.run::<S, 4, 3>(simd),
            _ => self.run::<S, 16, 1>(simd),
        }
    }
}

impl Scan<'_> {
    /// With `VECTORS` vectors to a panel and `ROWS` rows at once.
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const ROWS: usize>(self, simd: S) {
        let width = self.points.width();
        let groups = self.groups::<ROWS>();
        let (vectors, _) = S::as_simd_f32s(&self.points.panels);
        let (vectors, _) = vectors.as_chunks::<VECTORS>();
        for (chunk, panels) in vectors.chunks(PANELS * width).enumerate() {
            for (group, nearest) in groups.iter().zip(self.nearest.chunks_mut(ROWS)) {
                for (at, panel) in panels.chunks_exact(width).enumerate() {
                    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
                    for (rows, points) in group.iter().zip(panel) {
                        for (sums, &row) in sums.iter_mut().zip(rows) {
                            let row = simd.splat_f32s(row);
                            for (sum, &points) in sums.iter_mut().zip(points) {
                                *sum = simd.mul_add_f32s(row, points, *sum);
                            }
                        }
                    }
                    for (nearest, sums) in nearest.iter_mut().zip(&sums) {
                        let limit = simd.splat_f32s(nearest.limit);
                        let wanted = |&sum: &S::f32s| {
                            simd.first_true_m32s(simd.less_than_f32s(sum, limit)) < S::F32_LANES
                        };
                        if sums.iter().any(wanted) {
                            let first = (chunk * PANELS + at) * PANEL;
                            nearest.take(pulp::bytemuck::cast_slice(sums), first as u32);
                        }
                    }
                }
            }
        }
        for (at, nearest) in self.nearest.iter_mut().enumerate() {
            nearest.forget((self.first + at) as u32);
        }
    }

    /// The rows −2x and 1 in groups, coordinate by coordinate; rows beyond the last are 0.
    fn groups<const ROWS: usize>(&self) -> Vec<Vec<[f32; ROWS]>> {
        let width = self.points.width();
        let n_rows = self.nearest.len();
        (0..n_rows)
            .step_by(ROWS)
            .map(|start| {
                let mut group = vec![[0.0; ROWS]; width];
                for row in start..(start + ROWS).min(n_rows) {
                    let values = self.points.values.row(self.first + row);
                    for (to, &value) in group.iter_mut().zip(values) {
                        to[row - start] = -2.0 * value;
                    }
                    group[width - 1][row - start] = 1.0;
                }
                group
            })
            .collect()
    }
}

/// The smallest of the values shown to it.
#[derive(Debug, Clone)]
pub(crate) struct Nearest {
    /// Value and point, smallest first; one more than asked for, as one may be the row itself.
    best: Vec<(f32, u32)>,
    n_kept: usize,
    /// What a value has to undercut.
    limit: f32,
}

impl Nearest {
    fn new(n_kept: usize) -> Self {
        Self {
            best: Vec::with_capacity(n_kept + 2),
            n_kept: n_kept + 1,
            limit: f32::INFINITY,
        }
    }

    fn take(&mut self, values: &[f32], first: u32) {
        for (&value, point) in values.iter().zip(first..) {
            if value < self.limit {
                let at = self
                    .best
                    .iter()
                    .rposition(|&(kept, _)| kept <= value)
                    .map_or(0, |below| below + 1);
                self.best.insert(at, (value, point));
                self.best.truncate(self.n_kept);
                if self.best.len() == self.n_kept {
                    self.limit = self.best[self.n_kept - 1].0;
                }
            }
        }
    }

    fn forget(&mut self, point: u32) {
        self.best.retain(|&(_, other)| other != point);
    }

    pub(crate) fn points(&self) -> impl Iterator<Item = u32> {
        self.best.iter().map(|&(_, point)| point)
    }

    /// No point that is not among these has a smaller value.
    pub(crate) fn limit(&self) -> f32 {
        self.limit
    }
}
